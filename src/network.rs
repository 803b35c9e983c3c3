//! Which subnets the load balancer stands in.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_ec2 as ec2;
use ec2::types::{Filter, RouteState, RouteTable};
use ipnet::IpNet;

use crate::environment::Zones;
use crate::error::{Call, Error, Result};

/// Addresses that ELB wants free in each subnet (ELB user guide, subnets for your load balancer).
const FREE_ADDRESSES: i32 = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    /// Availability Zone.
    pub zone: String,
    pub cidrs: Vec<IpNet>,
    /// Its route table leads to an internet gateway.
    pub public: bool,
    pub free_addresses: i32,
}

impl Subnet {
    fn of(described: &ec2::types::Subnet, tables: &[RouteTable]) -> Self {
        let id = described.subnet_id().unwrap_or_default();
        let v6 = described.ipv6_cidr_block_association_set().iter().filter_map(|block| block.ipv6_cidr_block());
        Subnet {
            id: id.into(),
            zone: described.availability_zone().unwrap_or_default().into(),
            cidrs: described.cidr_block().into_iter().chain(v6).filter_map(|cidr| cidr.parse().ok()).collect(),
            public: is_public(tables, id),
            free_addresses: described.available_ip_address_count().unwrap_or_default(),
        }
    }
}

/// All subnets of a VPC.
pub async fn subnets(client: &ec2::Client, vpc: &str) -> Result<Vec<Subnet>> {
    let of_vpc = || Filter::builder().name("vpc-id").values(vpc).build();
    let (tables, subnets) = tokio::join!(
        client.describe_route_tables().filters(of_vpc()).into_paginator().items().send().try_collect(),
        client.describe_subnets().filters(of_vpc()).into_paginator().items().send().try_collect(),
    );
    let (tables, subnets) = (tables.call("ec2:DescribeRouteTables")?, subnets.call("ec2:DescribeSubnets")?);
    let mut subnets: Vec<Subnet> = subnets.iter().map(|subnet| Subnet::of(subnet, &tables)).collect();
    subnets.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(subnets)
}

/// A subnet without a route table of its own uses the VPC's main one.
fn is_public(tables: &[RouteTable], subnet: &str) -> bool {
    let own = tables.iter().find(|table| table.associations().iter().any(|link| link.subnet_id() == Some(subnet)));
    let main = || tables.iter().find(|table| table.associations().iter().any(|link| link.main() == Some(true)));
    own.or_else(main).is_some_and(|table| {
        table.routes().iter().any(|route| {
            route.destination_cidr_block() == Some("0.0.0.0/0")
                && route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-"))
                && route.state() != Some(&RouteState::Blackhole)
        })
    })
}

/// One public subnet in each zone that the load balancer is to stand in; `targets` are the zones of the instances.
///
/// Without a wish: the zones of the targets (a target elsewhere gets no traffic), filled up to two with the first
/// ones by name; in each zone the subnet with the lowest id, so that the same VPC always gives the same answer.
///
/// # Errors
/// [`Error::InvalidInput`] with the path of the field, the subnet and the zone.
pub fn choose<'a>(
    all: &'a [Subnet],
    wanted: Option<&[String]>,
    zones: Option<Zones>,
    targets: &[String],
) -> Result<Vec<&'a Subnet>> {
    let chosen = match wanted {
        Some(ids) => given(all, ids)?,
        None => default(all, zones, targets)?,
    };
    for (index, zone) in targets.iter().enumerate() {
        if !chosen.iter().any(|subnet| subnet.zone == *zone) {
            return Err(Error::input(
                format!("$.instances[{index}]"),
                format!(
                    "lies in Availability Zone {zone}, where the load balancer has no public subnet, so it would get no traffic. Add a subnet there with a route to an internet gateway (and {FREE_ADDRESSES} free addresses), or name one in \"subnets\""
                ),
            ));
        }
    }
    Ok(chosen)
}

/// A dualstack load balancer needs an IPv6 range in each of its subnets (ELB user guide, IP address types).
///
/// # Errors
/// [`Error::InvalidInput`], naming the subnet.
pub fn check_ipv6(chosen: &[&Subnet]) -> Result<()> {
    let is_v6 = |range: &IpNet| matches!(range, IpNet::V6(_));
    match chosen.iter().find(|subnet| !subnet.cidrs.iter().any(is_v6)) {
        Some(subnet) => Err(Error::input(
            "$.ipAddressType",
            format!(
                "dualstack needs an IPv6 range in every subnet, and {} has none; add one, or name others in \"subnets\"",
                subnet.id
            ),
        )),
        None => Ok(()),
    }
}

fn given<'a>(all: &'a [Subnet], ids: &[String]) -> Result<Vec<&'a Subnet>> {
    let mut chosen: Vec<&Subnet> = vec![];
    for (index, id) in ids.iter().enumerate() {
        let wrong = |problem: String| Err(Error::input(format!("$.subnets[{index}]"), problem));
        let Some(subnet) = all.iter().find(|subnet| subnet.id == *id) else {
            return wrong(format!("{id} is not a subnet of the instances' VPC"));
        };
        if !subnet.public {
            return wrong(format!(
                "{id} has no route to an internet gateway; an internet-facing load balancer would never become active there. Add the route 0.0.0.0/0 → igw-… to its route table"
            ));
        }
        if subnet.free_addresses < FREE_ADDRESSES {
            return wrong(format!(
                "{id} has {} free addresses; a load balancer needs {FREE_ADDRESSES}",
                subnet.free_addresses
            ));
        }
        if let Some(other) = chosen.iter().find(|other| other.zone == subnet.zone) {
            return wrong(format!(
                "{id} lies in {}, as does {}; a load balancer takes one subnet in each zone",
                subnet.zone, other.id
            ));
        }
        chosen.push(subnet);
    }
    Ok(chosen)
}

fn default<'a>(all: &'a [Subnet], zones: Option<Zones>, targets: &[String]) -> Result<Vec<&'a Subnet>> {
    let mut first_of_zone: BTreeMap<&str, &Subnet> = BTreeMap::new();
    for subnet in all.iter().filter(|subnet| subnet.public && subnet.free_addresses >= FREE_ADDRESSES) {
        first_of_zone.entry(&subnet.zone).or_insert(subnet);
    }
    if first_of_zone.len() < 2 {
        let ids = |is: fn(&Subnet) -> bool| {
            let ids: Vec<&str> = all.iter().filter(|subnet| is(subnet)).map(|subnet| subnet.id.as_str()).collect();
            ids.join(", ")
        };
        let full = ids(|subnet| subnet.public && subnet.free_addresses < FREE_ADDRESSES);
        let notes: Vec<String> =
            [("without that route", ids(|subnet| !subnet.public)), ("without those addresses", full)]
                .into_iter()
                .filter(|(_, ids)| !ids.is_empty())
                .map(|(what, ids)| format!("; {what}: {ids}"))
                .collect();
        return Err(Error::input(
            "$.instances",
            format!(
                "their VPC has public subnets in {} of the two Availability Zones that a load balancer needs. Add subnets with a route to an internet gateway and {FREE_ADDRESSES} free addresses{}",
                first_of_zone.len(),
                notes.concat()
            ),
        ));
    }
    if zones == Some(Zones::All) {
        return Ok(first_of_zone.into_values().collect());
    }
    let needed: HashSet<&str> = targets.iter().map(String::as_str).collect();
    let (mut chosen, others): (Vec<&Subnet>, Vec<&Subnet>) =
        first_of_zone.into_values().partition(|subnet| needed.contains(subnet.zone.as_str()));
    let missing = 2_usize.saturating_sub(chosen.len());
    chosen.extend(others.into_iter().take(missing));
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(id: &str, zone: &str, public: bool) -> Subnet {
        Subnet { id: id.into(), zone: zone.into(), cidrs: vec![], public, free_addresses: 250 }
    }

    fn vpc() -> Vec<Subnet> {
        vec![
            subnet("s1", "a", false),
            subnet("s2", "a", true),
            subnet("s3", "b", true),
            subnet("s4", "c", true),
            subnet("s5", "c", true),
        ]
    }

    fn ids(chosen: Result<Vec<&Subnet>>) -> Vec<&str> {
        chosen.unwrap().iter().map(|subnet| subnet.id.as_str()).collect()
    }

    fn path(chosen: Result<Vec<&Subnet>>) -> String {
        match chosen {
            Err(Error::InvalidInput { path, .. }) => path,
            other => panic!("{other:?}"),
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn the_targets_zones_filled_up_to_two() {
        let vpc = vpc();
        assert_eq!(ids(choose(&vpc, None, None, &strings(&["c"]))), ["s4", "s2"]);
        assert_eq!(ids(choose(&vpc, None, None, &strings(&["b", "c", "b"]))), ["s3", "s4"]);
        assert_eq!(ids(choose(&vpc, None, Some(Zones::All), &strings(&["c"]))), ["s2", "s3", "s4"]);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let mut vpc = vpc();
        assert_eq!(path(choose(&vpc, Some(&strings(&["s1", "s3"])), None, &[])), "$.subnets[0]");
        assert_eq!(path(choose(&vpc, Some(&strings(&["s4", "s5"])), None, &[])), "$.subnets[1]");
        assert_eq!(path(choose(&vpc, Some(&strings(&["s4", "s9"])), None, &[])), "$.subnets[1]");
        assert_eq!(path(choose(&vpc, Some(&strings(&["s2", "s3"])), None, &strings(&["b", "c"]))), "$.instances[1]");
        assert_eq!(path(choose(&vpc, None, None, &strings(&["d"]))), "$.instances[0]");
        vpc[2].free_addresses = 7;
        assert_eq!(path(choose(&vpc, Some(&strings(&["s2", "s3"])), None, &[])), "$.subnets[1]");
        assert_eq!(path(choose(&vpc[..2], None, None, &[])), "$.instances");
        let refused = choose(&vpc[..3], None, None, &[]).unwrap_err().to_string();
        assert!(
            refused.ends_with("8 free addresses; without that route: s1; without those addresses: s3"),
            "{refused}"
        );
        let v6 = Subnet { cidrs: vec!["2001:db8::/64".parse().unwrap()], ..subnet("s6", "a", true) };
        assert!(check_ipv6(&[&v6]).is_ok());
        assert!(check_ipv6(&[&v6, &vpc[0]]).is_err());
    }
}

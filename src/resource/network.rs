//! Which subnets the load balancer stands in.

use std::collections::BTreeMap;

use aws_sdk_ec2 as ec2;
use ec2::types::{BlockPublicAccessMode, Filter, Route, RouteState, RouteTable};
use ipnet::IpNet;

use crate::error::{Call, Error, Result};
use crate::spec::input::{IpAddressType, Zones};
use crate::spec::names;

/// Addresses that ELB wants free in each subnet, and the longest prefix of its IPv4 range (ELB user guide, subnets for your
/// load balancer).
const FREE_ADDRESSES: i32 = 8;
const LONGEST_PREFIX: u8 = 27;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    /// Availability Zone, or Local or Wavelength Zone.
    pub zone: String,
    pub cidrs: Vec<IpNet>,
    /// Its route table leads to an internet gateway: for IPv4, and for IPv6.
    pub public: bool,
    pub public_ipv6: bool,
    pub free_addresses: i32,
    /// The environment's load balancer stands in it.
    pub stood_in: bool,
    /// ARN of the Outpost that it lies on.
    pub outpost: Option<String>,
    /// VPC Block Public Access keeps the internet out.
    pub blocked: bool,
}

impl Subnet {
    fn of(described: &ec2::types::Subnet, tables: &[RouteTable]) -> Self {
        let id = described.subnet_id().unwrap_or_default();
        let v6 = described.ipv6_cidr_block_association_set().iter().filter_map(|block| block.ipv6_cidr_block());
        let block = described.block_public_access_states().and_then(|states| states.internet_gateway_block_mode());
        Subnet {
            id: id.into(),
            zone: described.availability_zone().unwrap_or_default().into(),
            cidrs: described.cidr_block().into_iter().chain(v6).filter_map(|cidr| cidr.parse().ok()).collect(),
            public: leads_out(tables, id, |route| route.destination_cidr_block() == Some("0.0.0.0/0")),
            public_ipv6: leads_out(tables, id, |route| route.destination_ipv6_cidr_block() == Some("::/0")),
            free_addresses: described.available_ip_address_count().unwrap_or_default(),
            stood_in: false,
            outpost: described.outpost_arn().filter(|arn| !arn.is_empty()).map(Into::into),
            blocked: block.is_some_and(|mode| *mode != BlockPublicAccessMode::Off),
        }
    }

    /// Why a load balancer cannot stand in it, with what to do; free addresses aside.
    fn fault(&self) -> Option<String> {
        let Subnet { id, zone, .. } = self;
        let prefix = self.cidrs.iter().find(|range| matches!(range, IpNet::V4(_))).map(IpNet::prefix_len);
        if !is_availability_zone(zone) {
            Some(format!(
                "{id} lies in {zone}, a Local or Wavelength Zone, and a load balancer's other zones would have to be such too; give subnets of Availability Zones"
            ))
        } else if let Some(outpost) = &self.outpost {
            Some(format!(
                "{id} lies on {outpost}; a load balancer of two zones stands in the region. Give subnets there"
            ))
        } else if let Some(prefix) = prefix.filter(|prefix| *prefix > LONGEST_PREFIX) {
            Some(format!("{id} is a /{prefix}; a load balancer needs at least a /{LONGEST_PREFIX}"))
        } else if self.blocked {
            Some(format!(
                "{id} is closed to the internet by VPC Block Public Access. Exclude the subnet or its VPC from that in the VPC settings"
            ))
        } else if !self.public {
            Some(format!(
                "{id} has no route to an internet gateway; an internet-facing load balancer would never become active there. Add the route 0.0.0.0/0 → igw-… to its route table"
            ))
        } else {
            None
        }
    }

    /// What its load balancer has taken of its addresses does not count against it.
    fn is_full(&self) -> bool {
        self.free_addresses < FREE_ADDRESSES && !self.stood_in
    }

    /// Why a dualstack load balancer cannot stand in it, though one of IPv4 can (ELB user guide, IP address types).
    fn ipv6_fault(&self) -> Option<String> {
        let Subnet { id, .. } = self;
        if !self.cidrs.iter().any(|range| matches!(range, IpNet::V6(_))) {
            Some(format!("{id} has no IPv6 range"))
        } else if !self.public_ipv6 {
            // An egress-only gateway lets nobody in.
            Some(format!("{id} has no route ::/0 → igw-…"))
        } else {
            None
        }
    }

    fn takes(&self, addresses: IpAddressType) -> bool {
        addresses == IpAddressType::Ipv4 || self.ipv6_fault().is_none()
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

/// Marks the subnets that the load balancer of a security group stands in. That is asked only where it makes a difference:
/// one that could be chosen has too few free addresses, some of which the load balancer may have taken itself.
pub async fn mark_stood_in(client: &ec2::Client, subnets: &mut [Subnet], group: Option<&str>) -> Result<()> {
    let Some(group) = group.filter(|_| subnets.iter().any(|subnet| subnet.is_full() && subnet.fault().is_none()))
    else {
        return Ok(());
    };
    let of_group = Filter::builder().name("group-id").values(group).build();
    let found = client.describe_network_interfaces().filters(of_group).into_paginator().items().send();
    let found: Vec<_> = found.try_collect().await.call("ec2:DescribeNetworkInterfaces")?;
    for subnet in subnets {
        subnet.stood_in = found.iter().any(|interface| {
            interface.subnet_id() == Some(&subnet.id)
                && interface.description().is_some_and(|text| text.starts_with(names::LOAD_BALANCER_INTERFACES))
        });
    }
    Ok(())
}

/// An Availability Zone's name is its region's and a letter, as in us-east-1a; that of a Local Zone (us-west-2-lax-1a) or a
/// Wavelength Zone (us-east-1-wl1-bos-wlz-1) goes on after the region's number (EC2 user guide, regions and zones).
fn is_availability_zone(zone: &str) -> bool {
    let (region, _) = zone.rsplit_once('-').unwrap_or_default();
    !region.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether such a route of the subnet leads to an internet gateway. A subnet without a route table of its own uses the
/// VPC's main one.
fn leads_out(tables: &[RouteTable], subnet: &str, is_default: fn(&Route) -> bool) -> bool {
    let own = tables.iter().find(|table| table.associations().iter().any(|link| link.subnet_id() == Some(subnet)));
    let main = || tables.iter().find(|table| table.associations().iter().any(|link| link.main() == Some(true)));
    own.or_else(main).is_some_and(|table| {
        table.routes().iter().any(|route| {
            is_default(route)
                && route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-"))
                && route.state() != Some(&RouteState::Blackhole)
        })
    })
}

/// One public subnet in each zone that the load balancer is to stand in; `targets` are the zones of the instances.
///
/// Without a wish: the zones of the targets (a target elsewhere gets no traffic), filled up to two with the first
/// ones by name; in each zone the subnet with the lowest id, so that the same VPC always gives the same answer. Those that
/// take the wanted addresses come before others.
///
/// # Errors
/// [`Error::InvalidInput`] with the path of the field, the subnet and the zone.
pub fn choose<'a>(
    all: &'a [Subnet],
    wanted: Option<&[String]>,
    zones: Option<Zones>,
    targets: &[String],
    addresses: IpAddressType,
) -> Result<Vec<&'a Subnet>> {
    for (index, zone) in targets.iter().enumerate() {
        if !is_availability_zone(zone) {
            let problem = format!(
                "lies in {zone}, a Local or Wavelength Zone, where no load balancer of two Availability Zones stands, so it would get no traffic. Give an instance in an Availability Zone"
            );
            return Err(Error::input(format!("$.instances[{index}]"), problem));
        }
    }
    let chosen = match wanted {
        Some(ids) => given(all, ids)?,
        None => default(all, zones, targets, addresses)?,
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
    if addresses == IpAddressType::Dualstack {
        check_ipv6(&chosen)?;
    }
    Ok(chosen)
}

fn check_ipv6(chosen: &[&Subnet]) -> Result<()> {
    let faults: Vec<String> = chosen.iter().filter_map(|subnet| subnet.ipv6_fault()).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::input(
        "$.ipAddressType",
        format!(
            "dualstack needs in every subnet an IPv6 range and the route ::/0 to an internet gateway: {}. Add it, or name others in \"subnets\"",
            faults.join("; ")
        ),
    ))
}

fn given<'a>(all: &'a [Subnet], ids: &[String]) -> Result<Vec<&'a Subnet>> {
    let mut chosen: Vec<&Subnet> = vec![];
    for (index, id) in ids.iter().enumerate() {
        let wrong = |problem: String| Err(Error::input(format!("$.subnets[{index}]"), problem));
        let Some(subnet) = all.iter().find(|subnet| subnet.id == *id) else {
            return wrong(format!("{id} is not a subnet of the instances' VPC"));
        };
        if let Some(fault) = subnet.fault() {
            return wrong(fault);
        }
        if subnet.is_full() {
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

fn default<'a>(
    all: &'a [Subnet],
    zones: Option<Zones>,
    targets: &[String],
    addresses: IpAddressType,
) -> Result<Vec<&'a Subnet>> {
    let mut best_of_zone: BTreeMap<&str, &Subnet> = BTreeMap::new();
    for subnet in all.iter().filter(|subnet| subnet.fault().is_none() && !subnet.is_full()) {
        let best = best_of_zone.entry(&subnet.zone).or_insert(subnet);
        if !best.takes(addresses) && subnet.takes(addresses) {
            *best = subnet;
        }
    }
    if best_of_zone.len() < 2 {
        let full = all.iter().filter(|subnet| subnet.fault().is_none() && subnet.is_full());
        let full = full.map(|subnet| format!("{} has {} free addresses", subnet.id, subnet.free_addresses));
        let others: Vec<String> = all.iter().filter_map(Subnet::fault).chain(full).collect();
        let others = if others.is_empty() { String::new() } else { format!(". {}", others.join("; ")) };
        return Err(Error::input(
            "$.instances",
            format!(
                "their VPC has public subnets in {} of the two Availability Zones that a load balancer needs. Add subnets with a route to an internet gateway and {FREE_ADDRESSES} free addresses{others}",
                best_of_zone.len(),
            ),
        ));
    }
    let (mut chosen, others): (Vec<&Subnet>, Vec<&Subnet>) =
        best_of_zone.into_values().partition(|subnet| targets.contains(&subnet.zone));
    let (able, unable): (Vec<&Subnet>, Vec<&Subnet>) = others.into_iter().partition(|subnet| subnet.takes(addresses));
    let missing = 2_usize.saturating_sub(chosen.len());
    match zones {
        // One that is not able is refused by name, where there are too few others.
        Some(Zones::All) => {
            let short = missing.saturating_sub(able.len());
            chosen.extend(able.into_iter().chain(unable.into_iter().take(short)));
            chosen.sort_by(|a, b| a.zone.cmp(&b.zone));
        }
        None => chosen.extend(able.into_iter().chain(unable).take(missing)),
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use IpAddressType::{Dualstack, Ipv4};

    fn subnet(id: &str, zone: &str, public: bool) -> Subnet {
        Subnet {
            id: id.into(),
            zone: zone.into(),
            cidrs: vec!["10.0.0.0/20".parse().unwrap()],
            public,
            public_ipv6: false,
            free_addresses: 250,
            stood_in: false,
            outpost: None,
            blocked: false,
        }
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

    fn refused(chosen: Result<Vec<&Subnet>>) -> (String, String) {
        match chosen {
            Err(Error::InvalidInput { path, problem }) => (path, problem),
            other => panic!("{other:?}"),
        }
    }

    fn path(chosen: Result<Vec<&Subnet>>) -> String {
        refused(chosen).0
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    fn ipv6(mut subnet: Subnet) -> Subnet {
        subnet.cidrs.push("2001:db8::/64".parse().unwrap());
        subnet.public_ipv6 = true;
        subnet
    }

    #[test]
    fn the_targets_zones_filled_up_to_two() {
        let vpc = vpc();
        assert_eq!(ids(choose(&vpc, None, None, &strings(&["c"]), Ipv4)), ["s4", "s2"]);
        assert_eq!(ids(choose(&vpc, None, None, &strings(&["b", "c", "b"]), Ipv4)), ["s3", "s4"]);
        assert_eq!(ids(choose(&vpc, None, Some(Zones::All), &strings(&["c"]), Ipv4)), ["s2", "s3", "s4"]);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let mut vpc = vpc();
        let named = |vpc: &[Subnet], ids: &[&str], targets: &[&str]| {
            path(choose(vpc, Some(&strings(ids)), None, &strings(targets), Ipv4))
        };
        assert_eq!(named(&vpc, &["s1", "s3"], &[]), "$.subnets[0]");
        assert_eq!(named(&vpc, &["s4", "s5"], &[]), "$.subnets[1]");
        assert_eq!(named(&vpc, &["s4", "s9"], &[]), "$.subnets[1]");
        assert_eq!(named(&vpc, &["s2", "s3"], &["b", "c"]), "$.instances[1]");
        assert_eq!(path(choose(&vpc, None, None, &strings(&["d"]), Ipv4)), "$.instances[0]");
        vpc[2].free_addresses = 7;
        assert_eq!(named(&vpc, &["s2", "s3"], &[]), "$.subnets[1]");
        assert_eq!(path(choose(&vpc[..2], None, None, &[], Ipv4)), "$.instances");
        let (_, problem) = refused(choose(&vpc[..3], None, None, &[], Ipv4));
        assert!(problem.contains("s1 has no route to an internet gateway"), "{problem}");
        assert!(problem.ends_with("s3 has 7 free addresses"), "{problem}");
    }

    #[test]
    fn a_subnet_that_elb_does_not_take_is_never_chosen_and_refused_by_name() {
        type Spoil = fn(&mut Subnet);
        let cases: [(Spoil, &str); 6] = [
            (|subnet| subnet.zone = "us-east-1-bos-1a".into(), "Local or Wavelength Zone"),
            (|subnet| subnet.zone = "us-east-1-wl1-bos-wlz-1".into(), "Local or Wavelength Zone"),
            (|subnet| subnet.outpost = Some("arn:aws:outposts:…:outpost/op-1".into()), "outpost/op-1"),
            (|subnet| subnet.cidrs = vec!["10.0.0.0/28".parse().unwrap()], "is a /28"),
            (|subnet| subnet.blocked = true, "Block Public Access"),
            (|subnet| subnet.public = false, "no route to an internet gateway"),
        ];
        for (spoil, word) in cases {
            let mut vpc =
                [subnet("s1", "us-east-1a", true), subnet("s2", "us-east-1a", true), subnet("s3", "us-east-1b", true)];
            spoil(&mut vpc[0]);
            assert_eq!(ids(choose(&vpc, None, None, &[], Ipv4)), ["s2", "s3"], "{word}");
            assert_eq!(ids(choose(&vpc, None, Some(Zones::All), &[], Ipv4)), ["s2", "s3"], "{word}");
            let (path, problem) = refused(choose(&vpc, Some(&strings(&["s3", "s1"])), None, &[], Ipv4));
            assert_eq!(path, "$.subnets[1]");
            assert!(problem.contains(word), "{problem}");
            // With no other in its zone the error says why this one will not do.
            let vpc = [vpc[0].clone(), vpc[2].clone()];
            assert!(refused(choose(&vpc, None, None, &[], Ipv4)).1.contains(word), "{word}");
        }
    }

    #[test]
    fn the_smallest_subnet_that_elb_takes_is_a_27() {
        let mut vpc = vpc();
        vpc[1].cidrs = vec!["10.0.0.0/27".parse().unwrap()];
        assert_eq!(ids(choose(&vpc, None, None, &strings(&["a"]), Ipv4)), ["s2", "s3"]);
    }

    #[test]
    fn an_instance_in_a_local_zone_would_get_no_traffic() {
        let (path, problem) = refused(choose(&vpc(), None, None, &strings(&["a", "us-east-1-bos-1a"]), Ipv4));
        assert_eq!(path, "$.instances[1]");
        assert!(problem.contains("us-east-1-bos-1a, a Local or Wavelength Zone"), "{problem}");
    }

    #[test]
    fn zones_are_told_apart_by_their_names() {
        for zone in ["us-east-1a", "ap-southeast-4c", "us-gov-west-1a", "cn-north-1b"] {
            assert!(is_availability_zone(zone), "{zone}");
        }
        for zone in ["us-west-2-lax-1a", "us-east-1-bos-1a", "us-east-1-wl1-bos-wlz-1", "eu-west-2-wl2-man-wlz-1"] {
            assert!(!is_availability_zone(zone), "{zone}");
        }
    }

    #[test]
    fn what_the_load_balancer_has_taken_itself_does_not_count_against_its_subnet() {
        let mut vpc = vpc();
        vpc[1].free_addresses = 7;
        assert_eq!(ids(choose(&vpc, None, None, &[], Ipv4)), ["s3", "s4"]);
        vpc[1].stood_in = true;
        assert_eq!(ids(choose(&vpc, None, None, &[], Ipv4)), ["s2", "s3"]);
        assert_eq!(ids(choose(&vpc, Some(&strings(&["s2", "s3"])), None, &[], Ipv4)), ["s2", "s3"]);
    }

    #[test]
    fn dualstack_stands_where_ipv6_comes_in() {
        let mut vpc = vpc();
        vpc[2] = ipv6(vpc[2].clone());
        vpc[4] = ipv6(vpc[4].clone());
        let vpc = vpc;
        // The second subnet of zone c, and not the first zone by name.
        assert_eq!(ids(choose(&vpc, None, None, &[], Dualstack)), ["s3", "s5"]);
        assert_eq!(ids(choose(&vpc, None, Some(Zones::All), &strings(&["c"]), Dualstack)), ["s3", "s5"]);
        assert_eq!(ids(choose(&vpc, None, None, &[], Ipv4)), ["s2", "s3"]);
        let (path, problem) = refused(choose(&vpc, None, None, &strings(&["a"]), Dualstack));
        assert_eq!(path, "$.ipAddressType");
        assert!(problem.contains("s2 has no IPv6 range"), "{problem}");
        let mut unrouted = vpc.clone();
        unrouted[4].public_ipv6 = false;
        let (path, problem) = refused(choose(&unrouted, Some(&strings(&["s3", "s5"])), None, &[], Dualstack));
        assert_eq!(path, "$.ipAddressType");
        assert!(problem.contains("s5 has no route ::/0 → igw-…"), "{problem}");
    }

    #[test]
    fn a_default_route_is_one_to_an_internet_gateway_that_is_there() {
        let route = |gateway: &str| Route::builder().destination_ipv6_cidr_block("::/0").gateway_id(gateway);
        let leads = |route: Route| {
            let main = ec2::types::RouteTableAssociation::builder().main(true).build();
            let table = RouteTable::builder().associations(main).routes(route).build();
            leads_out(&[table], "s1", |route| route.destination_ipv6_cidr_block() == Some("::/0"))
        };
        assert!(leads(route("igw-1").build()));
        assert!(!leads(route("igw-1").state(RouteState::Blackhole).build()));
        let egress_only = Route::builder().destination_ipv6_cidr_block("::/0");
        assert!(!leads(egress_only.egress_only_internet_gateway_id("eigw-1").build()));
    }
}

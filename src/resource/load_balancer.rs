//! The application load balancer.

use std::collections::BTreeSet;

use super::seen::Seen;
use super::tags::{self, KEEP_UNTIL, Tags};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::ids::LoadBalancerIds;
use crate::spec::input::IpAddressType;
use crate::spec::names;
use crate::step::{Outcome, Step, change};
use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    IpAddressType as ElbAddresses, LoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, Tag,
};

/// Drops headers whose names have other than letters, digits and hyphens: servers take `_` for `-`, and with it one header
/// for another (ELB user guide, load balancer attributes).
const DROP_INVALID_HEADERS: &str = "routing.http.drop_invalid_header_fields.enabled";

/// With it on AWS refuses the deletion (ELB user guide, deletion protection).
const DELETION_PROTECTION: &str = "deletion_protection.enabled";

impl From<&LoadBalancer> for LoadBalancerIds {
    fn from(described: &LoadBalancer) -> Self {
        LoadBalancerIds {
            arn: described.load_balancer_arn().unwrap_or_default().into(),
            dns_name: described.dns_name().unwrap_or_default().into(),
            canonical_hosted_zone_id: described.canonical_hosted_zone_id().unwrap_or_default().into(),
        }
    }
}

/// Finds the load balancer of this environment's name, whosever it is.
pub async fn named(client: &elb::Client, environment: &str) -> Result<Option<LoadBalancer>> {
    let answer = client
        .describe_load_balancers()
        .names(names::load_balancer(environment))
        .send()
        .await
        .call("elasticloadbalancing:DescribeLoadBalancers")
        .unless(&["LoadBalancerNotFound"])?;
    Ok(answer.and_then(|answer| answer.load_balancers.unwrap_or_default().into_iter().next()))
}

/// The environment's load balancer, where it stands.
#[derive(Debug)]
pub struct Found {
    described: LoadBalancer,
    tags: Tags,
}

impl Found {
    /// # Errors
    /// [`Error::NotOurs`].
    pub fn of(environment: &Environment, described: LoadBalancer, tags: Tags) -> Result<Found> {
        tags.check(environment, Kind::LoadBalancer, described.load_balancer_arn().unwrap_or_default())?;
        Ok(Found { described, tags })
    }

    pub fn ids(&self) -> LoadBalancerIds {
        LoadBalancerIds::from(&self.described)
    }

    pub fn arn(&self) -> &str {
        self.described.load_balancer_arn().unwrap_or_default()
    }

    /// Whether it serves.
    pub fn is_active(&self) -> bool {
        self.described.state().and_then(|state| state.code()) == Some(&LoadBalancerStateEnum::Active)
    }
}

/// Finds the load balancer of the environment's name.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Option<Found>> {
    let Some(described) = named(client, &environment.name).await? else { return Ok(None) };
    let arn = described.load_balancer_arn().unwrap_or_default();
    let tags = tags::by_arn(client, &[arn.to_owned()]).await?.remove(arn).unwrap_or_default();
    Found::of(environment, described, tags).map(Some)
}

/// Reads what `find` does not tell: whether it drops invalid headers; `None` where that is not set or none stands.
pub async fn drops_invalid_headers(client: &elb::Client, found: Option<&Found>) -> Result<Option<String>> {
    match found {
        Some(found) => attribute(client, found.arn(), DROP_INVALID_HEADERS).await,
        None => Ok(None),
    }
}

/// Creates an internet-facing application load balancer; what can be changed of it is for [`Difference::apply`].
pub async fn create(client: &elb::Client, environment: &Environment, security_group: &str) -> Result<LoadBalancerIds> {
    let keep_until = environment.input.keep_until.as_deref().map(kept_until);
    let answer = client
        .create_load_balancer()
        .name(environment.load_balancer_name())
        .r#type(LoadBalancerTypeEnum::Application)
        .scheme(LoadBalancerSchemeEnum::InternetFacing)
        .ip_address_type(address_type(environment))
        .set_subnets(Some(environment.subnets.clone()))
        .security_groups(security_group)
        .set_tags(Some(tags::of_elb(environment).into_iter().chain(keep_until).collect()))
        .send()
        .await
        .call("elasticloadbalancing:CreateLoadBalancer")
        .unless(&["DuplicateLoadBalancerName"])
        .appears_late(&["InvalidSecurityGroup", "InvalidSecurityGroup.NotFound"])?;
    let load_balancer = match answer {
        Some(created) => created.load_balancers().first().map(LoadBalancerIds::from),
        // Made beside us since we looked.
        None => find(client, environment).await?.map(|found| found.ids()),
    };
    load_balancer.ok_or_else(|| {
        Error::not_shown_yet("elasticloadbalancing:DescribeLoadBalancers", environment.load_balancer_name())
    })
}

fn address_type(environment: &Environment) -> ElbAddresses {
    match environment.input.ip_address_type {
        IpAddressType::Ipv4 => ElbAddresses::Ipv4,
        IpAddressType::Dualstack => ElbAddresses::Dualstack,
    }
}

async fn set_attributes(client: &elb::Client, environment: &Environment, arn: &str) -> Result<()> {
    let drops = environment.input.drop_invalid_headers.to_string();
    client
        .modify_load_balancer_attributes()
        .load_balancer_arn(arn)
        .attributes(LoadBalancerAttribute::builder().key(DROP_INVALID_HEADERS).value(drops).build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyLoadBalancerAttributes")
        .appears_late(&["LoadBalancerNotFound"])
        .map(drop)
}

/// Reads an attribute; `None` where it is not set.
async fn attribute(client: &elb::Client, arn: &str, key: &str) -> Result<Option<String>> {
    let answer = client.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
    let answer = answer.call("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
    let attribute = answer.attributes().iter().find(|is| is.key() == Some(key));
    Ok(attribute.and_then(|is| is.value()).map(Into::into))
}

/// How a load balancer differs from the environment's wish, by the calls that change it.
#[derive(Debug)]
pub struct Difference {
    row: Step,
    attributes: bool,
    security_groups: bool,
    /// Where it is to stand for now.
    place: Option<Place>,
    keep_until: bool,
    /// Availability Zones that the environment has left; [`leave_zones`] takes the load balancer out of them.
    pub former_zones: Vec<String>,
}

/// `drops` is what [`drops_invalid_headers`] has read; `security_group` is the load balancer's own.
pub fn differ(
    environment: &Environment,
    seen: &Seen,
    found: Option<&Found>,
    drops: Option<&str>,
    security_group: &str,
) -> Difference {
    let Some(Found { described, tags }) = found else { return Difference::missing() };
    let addresses = described.ip_address_type().map(|kind| kind.as_str());
    // Without the input's word the tag stays: the user may have set it by hand.
    let until = environment.input.keep_until.as_deref();
    let attributes = change("drop invalid headers", drops, environment.input.drop_invalid_headers);
    let security_groups =
        change("security groups", joined(described.security_groups().iter().map(String::as_str)), security_group);
    let (stands, wanted) = (Place::of(described), Place::wanted(environment));
    let subnets = change("subnets", stands.listed(), wanted.listed().unwrap_or_default());
    let addresses = change("IP addresses", addresses, address_type(environment));
    let keep_until = until.and_then(|until| change(KEEP_UNTIL, tags.get(KEEP_UNTIL), until));
    let meanwhile = Place::until_left(environment, seen, described);
    let moves = (subnets.is_some() || addresses.is_some()) && meanwhile != stands;
    Difference {
        attributes: attributes.is_some(),
        security_groups: security_groups.is_some(),
        place: moves.then_some(meanwhile),
        keep_until: keep_until.is_some(),
        former_zones: former_zones(environment, seen, described),
        row: Step::settled(
            Kind::LoadBalancer,
            described.load_balancer_arn(),
            [attributes, security_groups, subnets, addresses, keep_until].into_iter().flatten(),
        ),
    }
}

impl Difference {
    /// AWS makes it with all that it is told; attributes are told later.
    fn missing() -> Self {
        let row = Step::missing(Kind::LoadBalancer);
        let (place, former_zones) = (None, vec![]);
        Difference { row, attributes: true, security_groups: false, place, keep_until: false, former_zones }
    }

    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Changes the load balancer of this ARN, which stood or was made a moment ago; `security_group` is its own.
    pub async fn apply(
        &mut self,
        client: &elb::Client,
        environment: &Environment,
        seen: &Seen,
        arn: &str,
        security_group: &str,
    ) -> Result<()> {
        self.row.id = Some(arn.into());
        let just_made = self.row.outcome == Outcome::Created || !seen.complete;
        self.change(client, environment, arn, security_group).await.authorised_late(just_made)
    }

    async fn change(
        &self,
        client: &elb::Client,
        environment: &Environment,
        arn: &str,
        security_group: &str,
    ) -> Result<()> {
        if self.attributes {
            set_attributes(client, environment, arn).await?;
        }
        if self.security_groups {
            let call = client.set_security_groups().load_balancer_arn(arn).security_groups(security_group);
            call.send().await.call("elasticloadbalancing:SetSecurityGroups")?;
        }
        if let Some(place) = &self.place {
            place.set(client, arn).await?;
        }
        if self.keep_until {
            let call = client
                .add_tags()
                .resource_arns(arn)
                .set_tags(environment.input.keep_until.as_deref().map(|until| vec![kept_until(until)]));
            call.send().await.call("elasticloadbalancing:AddTags")?;
        }
        Ok(())
    }
}

/// `None` where there are none.
fn joined<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let ids: Vec<&str> = ids.collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}

/// Where a load balancer stands, as SetSubnets takes it: whole.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    subnets: BTreeSet<String>,
    addresses: ElbAddresses,
}

impl Place {
    fn of(found: &LoadBalancer) -> Self {
        let subnets = found.availability_zones().iter().filter_map(|zone| zone.subnet_id.clone()).collect();
        Place { subnets, addresses: found.ip_address_type().cloned().unwrap_or(ElbAddresses::Ipv4) }
    }

    fn wanted(environment: &Environment) -> Self {
        Place { subnets: environment.subnets.iter().cloned().collect(), addresses: address_type(environment) }
    }

    /// As wanted, and besides in the zones that a site which serves may have its targets in. A subnet there may have no IPv6
    /// range, so the load balancer becomes dualstack only when it has left them.
    fn until_left(environment: &Environment, seen: &Seen, found: &LoadBalancer) -> Self {
        let mut place = Place::wanted(environment);
        let left = former_zones(environment, seen, found);
        if !left.is_empty() {
            if found.ip_address_type() == Some(&ElbAddresses::Ipv4) {
                place.addresses = ElbAddresses::Ipv4;
            }
            let zones = found.availability_zones().iter();
            let left = zones.filter(|zone| zone.zone_name().is_some_and(|name| left.iter().any(|left| left == name)));
            place.subnets.extend(left.filter_map(|zone| zone.subnet_id.clone()));
        }
        place
    }

    fn listed(&self) -> Option<String> {
        joined(self.subnets.iter().map(String::as_str))
    }

    async fn set(&self, client: &elb::Client, arn: &str) -> Result<()> {
        let subnets = self.subnets.iter().cloned().collect();
        let call = client.set_subnets().load_balancer_arn(arn).set_subnets(Some(subnets));
        call.ip_address_type(self.addresses.clone()).send().await.call("elasticloadbalancing:SetSubnets").map(drop)
    }
}

/// Lists the zones that a load balancer stands in and that the environment has left. What has never served has left none.
fn former_zones(environment: &Environment, seen: &Seen, found: &LoadBalancer) -> Vec<String> {
    let zones = found.availability_zones().iter().filter_map(|zone| zone.zone_name.clone());
    zones.filter(|zone| seen.complete && !environment.zones.contains(zone)).collect()
}

/// Takes a load balancer out of all zones but the environment's. Again is safe.
pub async fn leave_zones(client: &elb::Client, environment: &Environment, arn: &str) -> Result<()> {
    Place::wanted(environment).set(client, arn).await
}

fn kept_until(until: &str) -> Tag {
    Tag::builder().key(KEEP_UNTIL).value(until).build()
}

/// Checks that the load balancer serves.
///
/// # Errors
/// [`Error::LoadBalancerProvisioning`] while it does not yet, [`Error::LoadBalancerFailed`] where it never will.
pub async fn check_active(client: &elb::Client, arn: &str) -> Result<()> {
    let answer = client
        .describe_load_balancers()
        .load_balancer_arns(arn)
        .send()
        .await
        .call("elasticloadbalancing:DescribeLoadBalancers")?;
    let state = answer.load_balancers().first().and_then(|found| found.state());
    let reason = state.and_then(|state| state.reason()).unwrap_or("AWS gives no reason").to_owned();
    match state.and_then(|state| state.code()) {
        Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired) => Ok(()),
        Some(LoadBalancerStateEnum::Failed) => {
            Err(Error::LoadBalancerFailed { arn: arn.into(), state: "failed".into(), reason })
        }
        other => Err(Error::LoadBalancerProvisioning {
            arn: arn.into(),
            state: other.map_or("provisioning", |code| code.as_str()).into(),
        }),
    }
}

/// A load balancer that carries an environment's tags.
#[derive(Debug, Clone)]
pub struct Tagged {
    pub arn: String,
    pub dns_name: String,
    /// How many Availability Zones it spans: each has a public IPv4 address.
    pub zones: usize,
    pub tags: Tags,
}

impl Tagged {
    pub fn of(described: &LoadBalancer, tags: Tags) -> Self {
        let LoadBalancerIds { arn, dns_name, .. } = LoadBalancerIds::from(described);
        Tagged { arn, dns_name, zones: described.availability_zones().len(), tags }
    }
}

/// Tells whether deletion protection is on.
pub async fn is_protected(client: &elb::Client, arn: &str) -> Result<bool> {
    let value = attribute(client, arn, DELETION_PROTECTION).await.unless(&["LoadBalancerNotFound"])?;
    Ok(value.flatten().is_some_and(|value| value == "true"))
}

/// Lists the load balancers of a stack.
pub async fn of_stack(client: &elb::Client, stack: &str) -> Result<Vec<Tagged>> {
    let all = client.describe_load_balancers().into_paginator().items().send().try_collect();
    let all: Vec<LoadBalancer> = all.await.call("elasticloadbalancing:DescribeLoadBalancers")?;
    let arns: Vec<String> = all.iter().filter_map(|found| found.load_balancer_arn.clone()).collect();
    let mut tags = tags::by_arn(client, &arns).await?;
    let ours = all.iter().filter_map(|found| {
        let tags = tags.remove(found.load_balancer_arn()?)?;
        (tags.get(tags::STACK) == Some(stack)).then(|| Tagged::of(found, tags))
    });
    Ok(ours.collect())
}

/// Deletes a load balancer of ours and with it its listeners. Again is safe: AWS answers success for an absent one.
pub async fn remove(client: &elb::Client, arn: &str) -> Result<()> {
    client
        .delete_load_balancer()
        .load_balancer_arn(arn)
        .send()
        .await
        .call("elasticloadbalancing:DeleteLoadBalancer")
        .unless(&["LoadBalancerNotFound"])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elb::types::AvailabilityZone;

    #[test]
    fn a_load_balancer_differs_call_by_call() {
        let subnet = |id: &str| AvailabilityZone::builder().subnet_id(id).build();
        let as_wanted = LoadBalancer::builder()
            .security_groups("sg-1")
            .ip_address_type(ElbAddresses::Ipv4)
            .availability_zones(subnet("subnet-b"));
        let found = as_wanted.clone().availability_zones(subnet("subnet-a")).build();
        let mut environment = Environment::example();
        let changes = |environment: &Environment, described: &LoadBalancer, drops: Option<&str>, group: &str| {
            let found = Found { described: described.clone(), tags: Tags::default() };
            differ(environment, &Seen::default(), Some(&found), drops, group).step().changes
        };
        assert!(changes(&environment, &found, Some("true"), "sg-1").is_empty());
        environment.input.drop_invalid_headers = false;
        assert!(changes(&environment, &found, Some("false"), "sg-1").is_empty());
        assert_eq!(changes(&environment, &found, Some("true"), "sg-1"), ["drop invalid headers: true → false"]);
        environment.input.drop_invalid_headers = true;
        environment.input.ip_address_type = IpAddressType::Dualstack;
        environment.input.keep_until = Some("2099-01-01T00:00:00Z".into());
        let other = as_wanted.availability_zones(subnet("subnet-c")).build();
        assert_eq!(
            changes(&environment, &other, None, "sg-2"),
            [
                "drop invalid headers: none → true",
                "security groups: sg-1 → sg-2",
                "subnets: subnet-b, subnet-c → subnet-a, subnet-b",
                "IP addresses: ipv4 → dualstack",
                "albatross:keep-until: none → 2099-01-01T00:00:00Z",
            ]
        );
    }

    #[test]
    fn a_zone_that_serves_is_left_last() {
        let zone = |name: &str, id: &str| AvailabilityZone::builder().zone_name(name).subnet_id(id).build();
        let found = LoadBalancer::builder()
            .ip_address_type(ElbAddresses::Ipv4)
            .availability_zones(zone("us-east-1b", "subnet-b"))
            .availability_zones(zone("us-east-1c", "subnet-c"))
            .build();
        let mut environment = Environment::example();
        let mut seen = Seen { complete: true, ..Seen::default() };
        environment.input.ip_address_type = IpAddressType::Dualstack;
        let place = |subnets: &[&str], addresses: ElbAddresses| Place {
            subnets: subnets.iter().map(|id| id.to_string()).collect(),
            addresses,
        };
        assert_eq!(former_zones(&environment, &seen, &found), ["us-east-1c"]);
        let meanwhile = Place::until_left(&environment, &seen, &found);
        assert_eq!(meanwhile, place(&["subnet-a", "subnet-b", "subnet-c"], ElbAddresses::Ipv4));
        assert_eq!(Place::wanted(&environment), place(&["subnet-a", "subnet-b"], ElbAddresses::Dualstack));
        // Another subnet of a zone takes the place of the one there.
        environment.zones[1] = "us-east-1c".into();
        environment.zones[0] = "us-east-1b".into();
        assert_eq!(Place::until_left(&environment, &seen, &found), Place::wanted(&environment));
        // What has never served must not hold on to a zone that may be why.
        environment.zones[1] = "us-east-1a".into();
        seen.complete = false;
        assert_eq!(Place::until_left(&environment, &seen, &found), Place::wanted(&environment));
    }
}

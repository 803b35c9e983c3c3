//! The application load balancer.

use std::collections::BTreeSet;

use super::seen::Seen;
use super::tags::{self, KEEP_UNTIL, Tags};
use super::target_group;
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
    LoadBalancerTypeEnum, Tag, TargetGroup,
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

async fn describe(client: &elb::Client, name: &str) -> Result<Option<LoadBalancer>> {
    let answer = client
        .describe_load_balancers()
        .names(name)
        .send()
        .await
        .call("elasticloadbalancing:DescribeLoadBalancers")
        .unless(&["LoadBalancerNotFound"])?;
    Ok(answer.and_then(|answer| answer.load_balancers.unwrap_or_default().into_iter().next()))
}

/// The load balancer and the target group of the environment's names; their tags take one call.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Found> {
    let (front, targets) = (environment.load_balancer_name(), environment.target_group_name());
    let (front, targets) = tokio::try_join!(describe(client, &front), target_group::describe(client, &targets))?;
    let front_arn = front.as_ref().and_then(|front| front.load_balancer_arn());
    let targets_arn = targets.as_ref().and_then(|targets| targets.target_group_arn());
    let arns: Vec<String> = [front_arn, targets_arn].into_iter().flatten().map(str::to_owned).collect();
    let mut tags = tags::by_arn(client, &arns).await?;
    let mut checked = |resource, arn: Option<&str>| {
        let arn = arn.unwrap_or_default();
        let tags = tags.remove(arn).unwrap_or_default();
        tags.check(environment, resource, arn).map(|()| tags)
    };
    let front_tags = front.as_ref().map(|_| checked(Kind::LoadBalancer, front_arn)).transpose()?;
    targets.as_ref().map(|_| checked(Kind::TargetGroup, targets_arn)).transpose()?;
    Ok(Found { front: front.zip(front_tags), targets })
}

/// What [`find`] found.
#[derive(Debug, Default)]
pub struct Found {
    pub front: Option<(LoadBalancer, Tags)>,
    pub targets: Option<TargetGroup>,
}

/// An internet-facing application load balancer, `found` or made; what of it can be changed is [`settle`]'s.
pub async fn ensure(
    client: &elb::Client,
    environment: &Environment,
    security_group: &str,
    found: Option<&(LoadBalancer, Tags)>,
) -> Result<LoadBalancerIds> {
    match found {
        Some((found, _)) => Ok(LoadBalancerIds::from(found)),
        None => create(client, environment, security_group).await,
    }
}

/// Makes a load balancer what the environment wants, `found` or made a moment ago; `security_group` is its own. Zones that
/// the environment has left are [`leave_zones`]'s.
pub async fn settle(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    arn: &str,
    security_group: &str,
    found: Option<&(LoadBalancer, Tags)>,
) -> Result<Step> {
    let Some((found, tags)) = found else {
        set_attributes(client, environment, arn).await.authorised_late(true)?;
        return Ok(Step::new(Kind::LoadBalancer, arn, Outcome::Created));
    };
    let drops = drops_invalid_headers(client, arn).await?;
    let difference = differ(environment, found, tags, &drops, security_group);
    let changed = change_parts(client, environment, seen, found, &difference, security_group).await;
    changed.authorised_late(!seen.complete)?;
    Ok(difference.step(arn))
}

/// What [`ensure`] and [`settle`] would do.
pub async fn plan(
    client: &elb::Client,
    environment: &Environment,
    security_group: &str,
    found: Option<&(LoadBalancer, Tags)>,
) -> Result<Step> {
    let Some((found, tags)) = found else { return Ok(Step::new(Kind::LoadBalancer, "", Outcome::Created)) };
    let arn = found.load_balancer_arn().unwrap_or_default();
    let drops = drops_invalid_headers(client, arn).await?;
    Ok(differ(environment, found, tags, &drops, security_group).step(arn))
}

async fn create(client: &elb::Client, environment: &Environment, security_group: &str) -> Result<LoadBalancerIds> {
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
    let front = match answer {
        Some(created) => created.load_balancers().first().map(LoadBalancerIds::from),
        // Made beside us since we looked.
        None => find(client, environment).await?.front.map(|(found, _)| LoadBalancerIds::from(&found)),
    };
    front.ok_or_else(|| {
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

async fn drops_invalid_headers(client: &elb::Client, arn: &str) -> Result<String> {
    attribute(client, arn, DROP_INVALID_HEADERS).await
}

/// The value of an attribute; empty where it is not set.
async fn attribute(client: &elb::Client, arn: &str, key: &str) -> Result<String> {
    let answer = client.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
    let answer = answer.call("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
    let attribute = answer.attributes().iter().find(|is| is.key() == Some(key));
    Ok(attribute.and_then(|is| is.value()).unwrap_or_default().into())
}

/// How a load balancer that stands differs from the environment's wish, by the calls that change it.
#[derive(Debug)]
struct Difference {
    attributes: Option<String>,
    security_groups: Option<String>,
    subnets: Option<String>,
    addresses: Option<String>,
    keep_until: Option<String>,
}

impl Difference {
    fn step(self, arn: &str) -> Step {
        let Difference { attributes, security_groups, subnets, addresses, keep_until } = self;
        let changes = [attributes, security_groups, subnets, addresses, keep_until];
        Step::settled(Kind::LoadBalancer, arn, changes.into_iter().flatten().collect())
    }
}

fn differ(
    environment: &Environment,
    found: &LoadBalancer,
    tags: &Tags,
    drops_invalid_headers: &str,
    security_group: &str,
) -> Difference {
    let listed =
        |ids: &mut dyn Iterator<Item = &str>| ids.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
    let subnets = listed(&mut found.availability_zones().iter().filter_map(|zone| zone.subnet_id()));
    let wanted = listed(&mut environment.subnets.iter().map(String::as_str));
    let addresses = found.ip_address_type().map_or("", |kind| kind.as_str());
    // Without the input's word the tag stays: the user may have set it by hand.
    let until = environment.input.keep_until.as_deref();
    Difference {
        attributes: change("drop invalid headers", drops_invalid_headers, environment.input.drop_invalid_headers),
        security_groups: change("security groups", found.security_groups().join(", "), security_group),
        subnets: change("subnets", subnets, wanted),
        addresses: change("IP addresses", addresses, address_type(environment)),
        keep_until: until.and_then(|until| change(KEEP_UNTIL, tags.get(KEEP_UNTIL).unwrap_or_default(), until)),
    }
}

async fn change_parts(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    found: &LoadBalancer,
    difference: &Difference,
    security_group: &str,
) -> Result<()> {
    let arn = found.load_balancer_arn().unwrap_or_default();
    if difference.attributes.is_some() {
        set_attributes(client, environment, arn).await?;
    }
    if difference.security_groups.is_some() {
        let call = client.set_security_groups().load_balancer_arn(arn).security_groups(security_group);
        call.send().await.call("elasticloadbalancing:SetSecurityGroups")?;
    }
    if difference.subnets.is_some() || difference.addresses.is_some() {
        let meanwhile = Place::until_left(environment, seen, found);
        if meanwhile != Place::of(found) {
            meanwhile.set(client, arn).await?;
        }
    }
    if difference.keep_until.is_some() {
        let call = client
            .add_tags()
            .resource_arns(arn)
            .set_tags(environment.input.keep_until.as_deref().map(|until| vec![kept_until(until)]));
        call.send().await.call("elasticloadbalancing:AddTags")?;
    }
    Ok(())
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

    /// As wanted, and the zones besides that a site which serves may have its targets in. A subnet there may have no IPv6
    /// range, so that becomes dualstack only when it is left.
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

    async fn set(self, client: &elb::Client, arn: &str) -> Result<()> {
        let call = client.set_subnets().load_balancer_arn(arn).set_subnets(Some(self.subnets.into_iter().collect()));
        call.ip_address_type(self.addresses).send().await.call("elasticloadbalancing:SetSubnets").map(drop)
    }
}

/// The zones that a load balancer stands in and that the environment has left. What has never served has left none.
pub fn former_zones(environment: &Environment, seen: &Seen, found: &LoadBalancer) -> Vec<String> {
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

/// It serves, as described.
pub fn is_active(described: &LoadBalancer) -> bool {
    described.state().and_then(|state| state.code()) == Some(&LoadBalancerStateEnum::Active)
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
pub struct Ours {
    pub arn: String,
    pub dns_name: String,
    /// How many Availability Zones it spans: each has a public IPv4 address.
    pub zones: usize,
    pub tags: Tags,
}

impl Ours {
    pub fn of(described: &LoadBalancer, tags: Tags) -> Self {
        let LoadBalancerIds { arn, dns_name, .. } = LoadBalancerIds::from(described);
        Ours { arn, dns_name, zones: described.availability_zones().len(), tags }
    }
}

/// The load balancer of this environment's name, whosever it is.
pub async fn named(client: &elb::Client, environment: &str) -> Result<Option<LoadBalancer>> {
    describe(client, &names::load_balancer(environment)).await
}

/// Whether deletion protection is on.
pub async fn is_protected(client: &elb::Client, arn: &str) -> Result<bool> {
    let value = attribute(client, arn, DELETION_PROTECTION).await.unless(&["LoadBalancerNotFound"])?;
    Ok(value.is_some_and(|value| value == "true"))
}

/// All load balancers of a stack.
pub async fn of_stack(client: &elb::Client, stack: &str) -> Result<Vec<Ours>> {
    let all = client.describe_load_balancers().into_paginator().items().send().try_collect();
    let all: Vec<LoadBalancer> = all.await.call("elasticloadbalancing:DescribeLoadBalancers")?;
    let arns: Vec<String> = all.iter().filter_map(|found| found.load_balancer_arn.clone()).collect();
    let mut tags = tags::by_arn(client, &arns).await?;
    let ours = all.iter().filter_map(|found| {
        let tags = tags.remove(found.load_balancer_arn()?)?;
        (tags.get(tags::STACK) == Some(stack)).then(|| Ours::of(found, tags))
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
        let changes = |environment: &Environment, found: &LoadBalancer, drops: &str, group: &str| {
            differ(environment, found, &Tags::default(), drops, group).step("arn").changes
        };
        assert!(changes(&environment, &found, "true", "sg-1").is_empty());
        environment.input.drop_invalid_headers = false;
        assert!(changes(&environment, &found, "false", "sg-1").is_empty());
        assert_eq!(changes(&environment, &found, "true", "sg-1"), ["drop invalid headers: true → false"]);
        environment.input.drop_invalid_headers = true;
        environment.input.ip_address_type = IpAddressType::Dualstack;
        environment.input.keep_until = Some("2099-01-01T00:00:00Z".into());
        let other = as_wanted.availability_zones(subnet("subnet-c")).build();
        assert_eq!(
            changes(&environment, &other, "", "sg-2"),
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

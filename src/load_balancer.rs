//! The application load balancer.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    IpAddressType as ElbAddresses, LoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, Tag, TargetGroup,
};
use serde::{Deserialize, Serialize};

use crate::environment::{self, Environment, IpAddressType};
use crate::error::{Call, Codes, Error, Result};
use crate::step::{Outcome, Step, change};
use crate::tags::{self, KEEP_UNTIL, Tags};
use crate::target_group;

/// In the rows of answers.
const RESOURCE: &str = "load balancer";
/// The API's most for DescribeTags.
const TAGS_A_CALL: usize = 20;
/// Requests with malformed headers are an attack, not a user.
const DROP_INVALID_HEADERS: &str = "routing.http.drop_invalid_header_fields.enabled";

/// What later steps need to know of the load balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Front {
    pub arn: String,
    pub dns_name: String,
    /// Of the load balancer itself: where an alias record points.
    pub canonical_hosted_zone_id: String,
}

impl From<&LoadBalancer> for Front {
    fn from(described: &LoadBalancer) -> Self {
        Front {
            arn: described.load_balancer_arn().unwrap_or_default().into(),
            dns_name: described.dns_name().unwrap_or_default().into(),
            canonical_hosted_zone_id: described.canonical_hosted_zone_id().unwrap_or_default().into(),
        }
    }
}

/// The tags of load balancers and target groups, by ARN.
///
/// # Errors
/// [`Error::AwsUnavailable`] where one went since it was found: it fails the call for all, so look again.
pub async fn tags_of(client: &elb::Client, arns: &[String]) -> Result<HashMap<String, Tags>> {
    let mut found = HashMap::new();
    for arns in arns.chunks(TAGS_A_CALL) {
        let answer = client.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await;
        let answer = answer
            .call("elasticloadbalancing:DescribeTags")
            .appears_late(&["LoadBalancerNotFound", "TargetGroupNotFound"])?;
        found.extend(
            answer.tag_descriptions().iter().map(|described| {
                (described.resource_arn().unwrap_or_default().to_owned(), Tags::from(described.tags()))
            }),
        );
    }
    Ok(found)
}

/// The environment's tags as ELB's requests take them.
pub fn own_tags(environment: &Environment) -> Vec<Tag> {
    tags::of(environment).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
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
    let mut tags = tags_of(client, &arns).await?;
    let mut checked = |resource, arn: Option<&str>| {
        let arn = arn.unwrap_or_default();
        let tags = tags.remove(arn).unwrap_or_default();
        tags.check(environment, resource, arn).map(|()| tags)
    };
    let front_tags = front.as_ref().map(|_| checked("load balancer", front_arn)).transpose()?;
    targets.as_ref().map(|_| checked("target group", targets_arn)).transpose()?;
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
) -> Result<Front> {
    match found {
        Some((found, _)) => Ok(Front::from(found)),
        None => create(client, environment, security_group).await,
    }
}

/// Makes a load balancer what the environment wants, `found` or made a moment ago; `security_group` is its own.
pub async fn settle(
    client: &elb::Client,
    environment: &Environment,
    arn: &str,
    security_group: &str,
    found: Option<&(LoadBalancer, Tags)>,
) -> Result<Step> {
    let Some((found, tags)) = found else {
        set_attributes(client, arn).await?;
        return Ok(Step::new(RESOURCE, arn, Outcome::Created));
    };
    let drops = drops_invalid_headers(client, arn).await?;
    let difference = differ(environment, found, tags, &drops, security_group);
    change_parts(client, environment, arn, &difference, security_group).await?;
    Ok(difference.step(arn))
}

/// What [`ensure`] and [`settle`] would do.
pub async fn plan(
    client: &elb::Client,
    environment: &Environment,
    security_group: &str,
    found: Option<&(LoadBalancer, Tags)>,
) -> Result<Step> {
    let Some((found, tags)) = found else { return Ok(Step::new(RESOURCE, "", Outcome::Created)) };
    let arn = found.load_balancer_arn().unwrap_or_default();
    let drops = drops_invalid_headers(client, arn).await?;
    Ok(differ(environment, found, tags, &drops, security_group).step(arn))
}

async fn create(client: &elb::Client, environment: &Environment, security_group: &str) -> Result<Front> {
    let keep_until = environment.keep_until.as_deref().map(kept_until);
    let answer = client
        .create_load_balancer()
        .name(environment.load_balancer_name())
        .r#type(LoadBalancerTypeEnum::Application)
        .scheme(LoadBalancerSchemeEnum::InternetFacing)
        .ip_address_type(address_type(environment))
        .set_subnets(Some(environment.subnets.clone()))
        .security_groups(security_group)
        .set_tags(Some(own_tags(environment).into_iter().chain(keep_until).collect()))
        .send()
        .await
        .call("elasticloadbalancing:CreateLoadBalancer")
        .unless(&["DuplicateLoadBalancerName"])
        .appears_late(&["InvalidSecurityGroup", "InvalidSecurityGroup.NotFound"])?;
    let front = match answer {
        Some(created) => created.load_balancers().first().map(Front::from),
        // Made beside us since we looked.
        None => find(client, environment).await?.front.map(|(found, _)| Front::from(&found)),
    };
    front.ok_or_else(|| {
        Error::not_shown_yet("elasticloadbalancing:DescribeLoadBalancers", environment.load_balancer_name())
    })
}

fn address_type(environment: &Environment) -> ElbAddresses {
    match environment.ip_address_type {
        IpAddressType::Ipv4 => ElbAddresses::Ipv4,
        IpAddressType::Dualstack => ElbAddresses::Dualstack,
    }
}

async fn set_attributes(client: &elb::Client, arn: &str) -> Result<()> {
    client
        .modify_load_balancer_attributes()
        .load_balancer_arn(arn)
        .attributes(LoadBalancerAttribute::builder().key(DROP_INVALID_HEADERS).value("true").build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyLoadBalancerAttributes")
        .appears_late(&["LoadBalancerNotFound"])
        .map(drop)
}

/// The value of the attribute; empty where it is not set.
async fn drops_invalid_headers(client: &elb::Client, arn: &str) -> Result<String> {
    let answer = client.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
    let answer = answer.call("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
    let attribute = answer.attributes().iter().find(|is| is.key() == Some(DROP_INVALID_HEADERS));
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
        Step::settled(RESOURCE, arn, changes.into_iter().flatten().collect())
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
    let until = environment.keep_until.as_deref();
    Difference {
        attributes: change("drop invalid headers", drops_invalid_headers, "true"),
        security_groups: change("security groups", found.security_groups().join(", "), security_group),
        subnets: change("subnets", subnets, wanted),
        addresses: change("IP addresses", addresses, address_type(environment)),
        keep_until: until.and_then(|until| change(KEEP_UNTIL, tags.get(KEEP_UNTIL).unwrap_or_default(), until)),
    }
}

async fn change_parts(
    client: &elb::Client,
    environment: &Environment,
    arn: &str,
    difference: &Difference,
    security_group: &str,
) -> Result<()> {
    if difference.attributes.is_some() {
        set_attributes(client, arn).await?;
    }
    if difference.security_groups.is_some() {
        let call = client.set_security_groups().load_balancer_arn(arn).security_groups(security_group);
        call.send().await.call("elasticloadbalancing:SetSecurityGroups")?;
    }
    if difference.subnets.is_some() || difference.addresses.is_some() {
        let call = client.set_subnets().load_balancer_arn(arn).set_subnets(Some(environment.subnets.clone()));
        call.ip_address_type(address_type(environment)).send().await.call("elasticloadbalancing:SetSubnets")?;
    }
    if difference.keep_until.is_some() {
        let call = client
            .add_tags()
            .resource_arns(arn)
            .set_tags(environment.keep_until.as_deref().map(|until| vec![kept_until(until)]));
        call.send().await.call("elasticloadbalancing:AddTags")?;
    }
    Ok(())
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
    /// How many Availability Zones it spans: each has a public IPv4 address.
    pub zones: usize,
    pub tags: Tags,
}

/// ARN and number of zones of the load balancer of this environment's name, whosever it is.
pub async fn named(client: &elb::Client, environment: &str) -> Result<Option<(String, usize)>> {
    let found = describe(client, &environment::load_balancer_name(environment)).await?;
    let zones = found.as_ref().map_or(0, |found| found.availability_zones().len());
    Ok(found.and_then(|found| found.load_balancer_arn).map(|arn| (arn, zones)))
}

/// All load balancers of a stack.
pub async fn of_stack(client: &elb::Client, stack: &str) -> Result<Vec<Ours>> {
    let mut zones = HashMap::new();
    let mut pages = client.describe_load_balancers().into_paginator().send();
    while let Some(page) = pages.next().await {
        for found in page.call("elasticloadbalancing:DescribeLoadBalancers")?.load_balancers() {
            let arn = found.load_balancer_arn().unwrap_or_default().to_owned();
            zones.insert(arn, found.availability_zones().len());
        }
    }
    let arns: Vec<String> = zones.keys().cloned().collect();
    Ok(tags_of(client, &arns)
        .await?
        .into_iter()
        .filter(|(_, tags)| tags.get(tags::STACK) == Some(stack))
        .map(|(arn, tags)| Ours { zones: zones.get(&arn).copied().unwrap_or_default(), arn, tags })
        .collect())
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
        environment.ip_address_type = IpAddressType::Dualstack;
        environment.keep_until = Some("2099-01-01T00:00:00Z".into());
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
}

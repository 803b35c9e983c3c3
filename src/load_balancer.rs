//! The application load balancer.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    IpAddressType as ElbAddresses, LoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, Tag,
};
use serde::{Deserialize, Serialize};

use crate::environment::{self, Environment, IpAddressType};
use crate::error::{Call, Codes, Error, Result};
use crate::step::{Outcome, Step};
use crate::tags::{self, KEEP_UNTIL, Tags};

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

/// The tags of one load balancer, target group or listener; none where it is gone.
pub async fn tags(client: &elb::Client, arn: &str) -> Result<Tags> {
    let found = tags_of(client, &[arn.to_owned()]).await.unless(&["LoadBalancerNotFound", "TargetGroupNotFound"])?;
    Ok(found.into_iter().flatten().next().map(|(_, tags)| tags).unwrap_or_default())
}

async fn tags_of(client: &elb::Client, arns: &[String]) -> Result<Vec<(String, Tags)>> {
    let mut found = vec![];
    for arns in arns.chunks(TAGS_A_CALL) {
        let answer = client.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await;
        let answer = answer.call("elasticloadbalancing:DescribeTags")?;
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
    tags::of(environment).map(|(key, value)| Tag::builder().key(key).value(value).build()).to_vec()
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

/// The load balancer of the environment's name.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Option<(LoadBalancer, Tags)>> {
    let Some(found) = describe(client, &environment.load_balancer_name()).await? else { return Ok(None) };
    let arn = found.load_balancer_arn().unwrap_or_default();
    let tags = tags(client, arn).await?;
    tags.check(environment, "load balancer", arn)?;
    Ok(Some((found, tags)))
}

/// An internet-facing application load balancer as the environment wants it, `found` or made; `security_group` is its own.
pub async fn ensure(
    client: &elb::Client,
    environment: &Environment,
    security_group: &str,
    found: Option<(LoadBalancer, Tags)>,
) -> Result<(Front, Step)> {
    let (front, outcome) = match found {
        Some((found, tags)) => {
            let changed = settle(client, environment, &found, &tags, security_group).await?;
            (Front::from(&found), if changed { Outcome::Changed } else { Outcome::Found })
        }
        None => {
            let front = create(client, environment, security_group).await?;
            set_attributes(client, &front.arn).await?;
            (front, Outcome::Created)
        }
    };
    let step = Step::new("load balancer", &front.arn, outcome);
    Ok((front, step))
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
        None => find(client, environment).await?.map(|(found, _)| Front::from(&found)),
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

/// Brings a load balancer that stands to the environment's wish; answers whether anything changed.
async fn settle(
    client: &elb::Client,
    environment: &Environment,
    found: &LoadBalancer,
    tags: &Tags,
    security_group: &str,
) -> Result<bool> {
    let arn = found.load_balancer_arn().unwrap_or_default();
    let mut changed = false;
    let attributes = client.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
    let attributes = attributes.call("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
    if !attributes.attributes().iter().any(|is| is.key() == Some(DROP_INVALID_HEADERS) && is.value() == Some("true")) {
        set_attributes(client, arn).await?;
        changed = true;
    }
    if found.security_groups() != [security_group] {
        let call = client.set_security_groups().load_balancer_arn(arn).security_groups(security_group);
        call.send().await.call("elasticloadbalancing:SetSecurityGroups")?;
        changed = true;
    }
    let subnets = |ids: &mut dyn Iterator<Item = &str>| ids.map(str::to_owned).collect::<BTreeSet<String>>();
    let standing = subnets(&mut found.availability_zones().iter().filter_map(|zone| zone.subnet_id()));
    let other_addresses = found.ip_address_type() != Some(&address_type(environment));
    if standing != subnets(&mut environment.subnets.iter().map(String::as_str)) || other_addresses {
        let call = client.set_subnets().load_balancer_arn(arn).set_subnets(Some(environment.subnets.clone()));
        call.ip_address_type(address_type(environment)).send().await.call("elasticloadbalancing:SetSubnets")?;
        changed = true;
    }
    Ok(keep_until(client, environment, arn, tags).await? || changed)
}

fn kept_until(until: &str) -> Tag {
    Tag::builder().key(KEEP_UNTIL).value(until).build()
}

async fn keep_until(client: &elb::Client, environment: &Environment, arn: &str, tags: &Tags) -> Result<bool> {
    // Without the input's word the tag stays: the user may have set it by hand.
    let Some(until) = environment.keep_until.as_deref().filter(|until| tags.get(KEEP_UNTIL) != Some(until)) else {
        return Ok(false);
    };
    client.add_tags().resource_arns(arn).tags(kept_until(until)).send().await.call("elasticloadbalancing:AddTags")?;
    Ok(true)
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

/// The load balancer of this environment where it is ours; somebody else's is left out.
pub async fn ours(client: &elb::Client, stack: &str, environment: &str) -> Result<Option<Ours>> {
    let Some(found) = describe(client, &environment::load_balancer_name(environment)).await? else { return Ok(None) };
    let zones = found.availability_zones().len();
    let arn = found.load_balancer_arn.unwrap_or_default();
    let tags = tags(client, &arn).await?;
    Ok(tags.are_of(stack, environment).then_some(Ours { arn, zones, tags }))
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
    // One that went since it was listed fails the call for all of its page: list again.
    let tagged = tags_of(client, &arns).await.appears_late(&["LoadBalancerNotFound"])?;
    Ok(tagged
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

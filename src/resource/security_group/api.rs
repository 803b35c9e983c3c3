//! The calls about security groups and their rules.

use aws_sdk_ec2 as ec2;
use ec2::types::{Filter, ResourceType, SecurityGroup, SecurityGroupRule, Tag, TagSpecification};

use crate::error::{Call, Codes, Result};
use crate::resource::tags;
use crate::spec::environment::Environment;

pub fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Filters for what carries all of these tags, by key and value.
pub fn tagged_with(tags: &[(&str, &str)]) -> Vec<Filter> {
    tags.iter().map(|(key, value)| filter(format!("tag:{key}"), *value)).collect()
}

pub async fn groups(client: &ec2::Client, filters: Vec<Filter>) -> Result<Vec<SecurityGroup>> {
    let groups = client.describe_security_groups().set_filters(Some(filters)).into_paginator().items().send();
    groups.try_collect().await.call("ec2:DescribeSecurityGroups")
}

async fn rules(client: &ec2::Client, filters: Vec<Filter>) -> Result<Vec<SecurityGroupRule>> {
    let rules = client.describe_security_group_rules().set_filters(Some(filters)).into_paginator().items().send();
    rules.try_collect().await.call("ec2:DescribeSecurityGroupRules")
}

/// The rules of an environment in somebody's groups, wherever they stand.
pub async fn tagged_rules(client: &ec2::Client, stack: &str, environment: &str) -> Result<Vec<SecurityGroupRule>> {
    let of_environment = tagged_with(&[(tags::STACK, stack), (tags::ENVIRONMENT, environment)]);
    let mut found = rules(client, of_environment).await?;
    // Those of the load balancer's own group, which go with it, admit ranges.
    found.retain(|rule| rule.referenced_group_info().is_some());
    Ok(found)
}

/// The rules that matter to an environment.
#[derive(Debug, Default)]
pub struct Rules {
    /// All rules of the load balancer's group and of the groups that are to admit it.
    pub in_groups: Vec<SecurityGroupRule>,
    /// The environment's rules that admit the load balancer, wherever they stand.
    pub tagged: Vec<SecurityGroupRule>,
}

impl Rules {
    /// Reads the rules; `group` is the id of the load balancer's.
    pub async fn find(client: &ec2::Client, environment: &Environment, group: &str) -> Result<Self> {
        let groups = environment.groups_to_open.iter().cloned().chain([group.to_owned()]).collect();
        let of_groups = vec![Filter::builder().name("group-id").set_values(Some(groups)).build()];
        let (in_groups, tagged) = tokio::try_join!(
            rules(client, of_groups),
            tagged_rules(client, &environment.owner.stack, &environment.name)
        )?;
        Ok(Rules { in_groups, tagged })
    }
}

/// Describes a rule for a row: `tcp 22 from 0.0.0.0/0`.
pub fn describe(rule: &SecurityGroupRule) -> String {
    let group = rule.referenced_group_info().and_then(|other| other.group_id());
    let source = rule.cidr_ipv4().or(rule.cidr_ipv6()).or(rule.prefix_list_id()).or(group);
    let protocol = rule.ip_protocol().filter(|protocol| *protocol != "-1").unwrap_or("all");
    let ports = match (rule.from_port(), rule.to_port()) {
        (Some(first), Some(last)) if first == last => format!(" {first}"),
        (Some(first), Some(last)) => format!(" {first}-{last}"),
        _ => String::new(),
    };
    format!("{protocol}{ports} from {}", source.unwrap_or("elsewhere"))
}

/// The tags of what is about to be made for an environment.
pub fn tag_specification(environment: &Environment, resource: ResourceType) -> TagSpecification {
    let tags = tags::of(environment).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(resource).set_tags(Some(tags.collect())).build()
}

/// Revokes rules of a group. Again is safe.
pub async fn revoke(client: &ec2::Client, group: &str, rule_ids: Vec<String>) -> Result<()> {
    client
        .revoke_security_group_ingress()
        .group_id(group)
        .set_security_group_rule_ids(Some(rule_ids))
        .send()
        .await
        .call("ec2:RevokeSecurityGroupIngress")
        .unless(&["InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound"])
        .map(drop)
}

//! The rules in the instances' own security groups that admit the load balancer.

use std::collections::BTreeSet;

use aws_sdk_ec2 as ec2;
use ec2::types::{IpPermission, ResourceType, SecurityGroup, SecurityGroupRule, UserIdGroupPair};
use futures_util::future::join_all;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::api::{Rules, describe, revoke, tag_specification, tagged_rules};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::resource::tags::{OPEN, Tags};
use crate::spec::environment::Environment;
use crate::step::{Outcome, Step};

/// A rule of ours in somebody's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRule {
    pub id: String,
    pub group: String,
}

impl From<&SecurityGroupRule> for OpenRule {
    fn from(rule: &SecurityGroupRule) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        OpenRule { id: text(rule.security_group_rule_id()), group: text(rule.group_id()) }
    }
}

/// Lists the rules of an environment, wherever they stand.
pub async fn find(client: &ec2::Client, stack: &str, environment: &str) -> Result<Vec<OpenRule>> {
    Ok(tagged_rules(client, stack, environment).await?.iter().map(OpenRule::from).collect())
}

/// Which groups admit the load balancer already, and which are to.
#[derive(Debug)]
pub struct Difference {
    /// By the id of the instances' group.
    groups: Vec<(String, Outcome)>,
    /// Rules of ours that no instance needs any more.
    pub former: Vec<FormerRule>,
}

/// `own` is the id of the load balancer's group.
pub fn differ(environment: &Environment, own: &str, rules: &Rules) -> Difference {
    let admits = |rule: &SecurityGroupRule, group: &str| lets_in(rule, group, own, environment.input.port);
    let groups = environment.groups_to_open.iter().map(|group| {
        let stands = rules.in_groups.iter().any(|rule| admits(rule, group));
        (group.clone(), if stands { Outcome::Found } else { Outcome::Created })
    });
    let is_needed = |rule: &SecurityGroupRule| environment.groups_to_open.iter().any(|group| admits(rule, group));
    let former = rules.tagged.iter().filter(|rule| !is_needed(rule)).map(FormerRule::from);
    Difference { groups: groups.collect(), former: former.collect() }
}

impl Difference {
    pub fn steps(&self) -> Vec<Step> {
        self.groups.iter().map(|(group, outcome)| Step::new(Kind::Rule, group, *outcome)).collect()
    }

    /// Adds the rules that are missing; a row tells which of them were added beside us since we looked.
    pub async fn apply(&mut self, client: &ec2::Client, environment: &Environment, own: &str) -> Result<()> {
        let missing = self.groups.iter_mut().filter(|(_, outcome)| *outcome == Outcome::Created);
        let admitted = missing.map(async |(group, outcome)| {
            *outcome = admit(client, environment, group, own).await?;
            Ok(())
        });
        // All to their end, whatever one of them says.
        join_all(admitted).await.into_iter().collect()
    }
}

/// The rule of `group` admits TCP on the port from the group `from`.
fn lets_in(rule: &SecurityGroupRule, group: &str, from: &str, port: u16) -> bool {
    let port = i32::from(port);
    rule.group_id() == Some(group)
        && rule.is_egress() != Some(true)
        && rule.referenced_group_info().and_then(|other| other.group_id()) == Some(from)
        && rule.ip_protocol() == Some("tcp")
        && rule.from_port() <= Some(port)
        && Some(port) <= rule.to_port()
}

async fn admit(client: &ec2::Client, environment: &Environment, group: &str, own: &str) -> Result<Outcome> {
    let port = i32::from(environment.input.port);
    let from = UserIdGroupPair::builder().group_id(own).description("Albatross load balancer").build();
    let answer = client
        .authorize_security_group_ingress()
        .group_id(group)
        .ip_permissions(
            IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).user_id_group_pairs(from).build(),
        )
        .tag_specifications(tag_specification(environment, ResourceType::SecurityGroupRule))
        .send()
        .await
        .call("ec2:AuthorizeSecurityGroupIngress")
        .unless(&["InvalidPermission.Duplicate"])
        // Of the load balancer's group, made a moment ago.
        .appears_late(&["InvalidGroup.NotFound"])?;
    Ok(if answer.is_some() { Outcome::Created } else { Outcome::Found })
}

/// A rule of ours that no instance needs any more: for a port of before, or in a group of before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerRule {
    pub rule: OpenRule,
    told: String,
}

impl From<&SecurityGroupRule> for FormerRule {
    fn from(rule: &SecurityGroupRule) -> Self {
        FormerRule { rule: OpenRule::from(rule), told: describe(rule) }
    }
}

impl FormerRule {
    pub fn step(&self) -> Step {
        Step::removed(Kind::Rule, &self.rule.group, &self.told)
    }
}

/// Revokes a rule of ours. Again is safe.
pub async fn remove(client: &ec2::Client, rule: &OpenRule) -> Result<()> {
    revoke(client, &rule.group, vec![rule.id.clone()]).await
}

/// Chooses which of the instances' own groups are to admit the load balancer: for each instance the first that may be
/// opened. `groups` are their ids, `described` holds them all.
///
/// # Errors
/// [`Error::InvalidInput`] names the missing rule where none may be opened and none admits the load balancer's subnets.
pub fn groups_to_open(
    described: &[SecurityGroup],
    groups: &[Vec<String>],
    open: Option<bool>,
    port: u16,
    subnets: &[IpNet],
) -> Result<Vec<String>> {
    let mut to_open = BTreeSet::new();
    for (index, of_instance) in groups.iter().enumerate() {
        let of_instance: Vec<&SecurityGroup> =
            of_instance.iter().filter_map(|id| described.iter().find(|group| group.group_id() == Some(id))).collect();
        if let Some(group) = of_instance.iter().find(|group| may_open(group, open)) {
            to_open.insert(group.group_id().unwrap_or_default().to_owned());
        } else if !of_instance.iter().any(|group| admits(group, port, subnets)) {
            let names: Vec<&str> = of_instance.iter().filter_map(|group| group.group_id()).collect();
            let ranges: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            return Err(Error::input(
                "$.openInstanceGroup",
                format!(
                    "the security groups of $.instances[{index}] ({}) do not admit the load balancer. Add a rule for TCP port {port} from {}, or tag a group {OPEN} = true, or give \"openInstanceGroup\": true",
                    names.join(", "),
                    ranges.join(", "),
                ),
            ));
        }
    }
    Ok(to_open.into_iter().collect())
}

fn may_open(group: &SecurityGroup, open: Option<bool>) -> bool {
    open.unwrap_or_else(|| group.group_name() != Some("default") || Tags::from(group.tags()).get(OPEN) == Some("true"))
}

/// A rule of the group admits TCP on the port from all of the ranges.
fn admits(group: &SecurityGroup, port: u16, ranges: &[IpNet]) -> bool {
    let port = i32::from(port);
    let admitted: Vec<IpNet> = group
        .ip_permissions()
        .iter()
        .filter(|rule| match rule.ip_protocol() {
            Some("-1") => true,
            Some("tcp") => rule.from_port() <= Some(port) && Some(port) <= rule.to_port(),
            _ => false,
        })
        .flat_map(|rule| {
            let v4 = rule.ip_ranges().iter().filter_map(|range| range.cidr_ip());
            v4.chain(rule.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6()))
        })
        .filter_map(|range| range.parse().ok())
        .collect();
    ranges
        .iter()
        .filter(|range| matches!(range, IpNet::V4(_)))
        .all(|range| admitted.iter().any(|wide| wide.contains(range)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_ours_that_no_instance_needs_is_former() {
        let mut environment = Environment::example();
        environment.groups_to_open = vec!["sg-web".into()];
        let open = |id: &str, group: &str, port: i32| {
            let own = ec2::types::ReferencedSecurityGroup::builder().group_id("sg-1").build();
            SecurityGroupRule::builder()
                .security_group_rule_id(id)
                .group_id(group)
                .ip_protocol("tcp")
                .from_port(port)
                .to_port(port)
                .referenced_group_info(own)
                .build()
        };
        let ours = vec![open("r-1", "sg-web", 80), open("r-2", "sg-web", 8080), open("r-3", "sg-old", 80)];
        let rules = Rules { in_groups: vec![], tagged: ours };
        let former = differ(&environment, "sg-1", &rules).former;
        let ids: Vec<(&str, &str)> = former.iter().map(|it| (it.rule.id.as_str(), it.rule.group.as_str())).collect();
        assert_eq!(ids, [("r-2", "sg-web"), ("r-3", "sg-old")]);
        assert_eq!(former[0].step(), Step::removed(Kind::Rule, "sg-web", "tcp 8080 from sg-1"));
        environment.groups_to_open.clear();
        assert_eq!(differ(&environment, "sg-1", &rules).former.len(), 3);
    }
}

//! The load balancer's own security group, and the rule in the instances' groups that admits it.

use std::collections::BTreeSet;

use aws_sdk_ec2 as ec2;
use ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, SecurityGroupRule, Tag, TagSpecification,
    UserIdGroupPair,
};
use futures_util::future::join_all;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::tags::{self, OPEN, Tags};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::names;
use crate::step::{Outcome, Step};

/// The load balancer's ports, open to the allowed ranges.
const FRONT_PORTS: [i32; 2] = [80, 443];

/// A group's description cannot be changed later and shows in the console.
const DESCRIPTION: &str = "Albatross: HTTP and HTTPS to the load balancer";

fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

async fn describe(client: &ec2::Client, filters: Vec<Filter>) -> Result<Vec<SecurityGroup>> {
    let groups = client.describe_security_groups().set_filters(Some(filters)).into_paginator().items().send();
    groups.try_collect().await.call("ec2:DescribeSecurityGroups")
}

async fn rules(client: &ec2::Client, filters: Vec<Filter>) -> Result<Vec<SecurityGroupRule>> {
    let rules = client.describe_security_group_rules().set_filters(Some(filters)).into_paginator().items().send();
    rules.try_collect().await.call("ec2:DescribeSecurityGroupRules")
}

/// The id of the group of the environment's name in its VPC.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find(client: &ec2::Client, environment: &Environment) -> Result<Option<String>> {
    let name = environment.security_group_name();
    // EC2's filters distinguish case and its names do not: a group `WEB-elb` is found by its Duplicate error alone.
    let found = describe(client, vec![filter("vpc-id", &environment.vpc), filter("group-name", &name)]).await?;
    let Some(group) = found.into_iter().next() else { return Ok(None) };
    let id = group.group_id.unwrap_or_default();
    Tags::from(group.tags.unwrap_or_default().as_slice()).check(environment, Kind::SecurityGroup, &id)?;
    Ok(Some(id))
}

/// The load balancer's group, and the rules that stood before.
#[derive(Debug)]
pub struct Group {
    pub id: String,
    new: bool,
    rules: Rules,
}

impl Group {
    async fn found(client: &ec2::Client, environment: &Environment, id: String) -> Result<Self> {
        let rules = Rules::standing(client, environment, Some(&id)).await?;
        Ok(Group { id, new: false, rules })
    }

    /// The rules of ours that no instance needs any more.
    pub fn former_rules(&self, environment: &Environment) -> Vec<FormerRule> {
        self.rules.former(environment, &self.id)
    }
}

/// The rules that matter to an environment.
#[derive(Debug, Default)]
pub struct Rules {
    /// Of the load balancer's group, and of those that are to admit it.
    standing: Vec<SecurityGroupRule>,
    /// Those that [`open`] has made, wherever they stand.
    ours: Vec<SecurityGroupRule>,
}

impl Rules {
    /// `group` is the load balancer's. No rule names one that is not made.
    pub async fn standing(client: &ec2::Client, environment: &Environment, group: Option<&String>) -> Result<Self> {
        let Some(group) = group else { return Ok(Rules::default()) };
        let groups = environment.groups_to_open.iter().chain([group]).cloned().collect();
        let of_groups = vec![Filter::builder().name("group-id").set_values(Some(groups)).build()];
        let (standing, ours) = tokio::try_join!(
            rules(client, of_groups),
            tagged_rules(client, &environment.owner.stack, &environment.name)
        )?;
        Ok(Rules { standing, ours })
    }

    /// Those of ours that no instance needs any more: for a port of before, or in a group of before.
    pub fn former(&self, environment: &Environment, front: &str) -> Vec<FormerRule> {
        let is_needed = |rule: &SecurityGroupRule| {
            environment.groups_to_open.iter().any(|group| lets_in(rule, group, front, environment.input.port))
        };
        let former = self.ours.iter().filter(|rule| !is_needed(rule));
        former.map(|rule| FormerRule { rule: OpenRule::from(rule), told: told(rule) }).collect()
    }
}

/// A rule of ours that no instance needs any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerRule {
    pub rule: OpenRule,
    told: String,
}

impl FormerRule {
    pub fn step(&self) -> Step {
        Step::removed(Kind::Rule, &self.rule.group, &self.told)
    }
}

/// The load balancer's group where check-input found one.
pub async fn known(client: &ec2::Client, environment: &Environment, seen: &Seen) -> Result<Option<Group>> {
    match &seen.security_group {
        Some(id) => Group::found(client, environment, id.clone()).await.map(Some),
        None => Ok(None),
    }
}

/// The load balancer's group where none was known; its rules are [`settle`]'s.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn ensure(client: &ec2::Client, environment: &Environment) -> Result<Group> {
    if let Some(id) = create(client, environment).await? {
        return Ok(Group { id, new: true, rules: Rules::default() });
    }
    // Made beside us a moment ago, or by somebody in another case.
    let id = find(client, environment).await?.ok_or_else(|| Error::NotOurs {
        resource: Kind::SecurityGroup,
        id: environment.security_group_name(),
        why: format!("{} has a group of that name in another case", environment.vpc),
    })?;
    Group::found(client, environment, id).await
}

/// Gives the load balancer's group just the rules that the environment wants.
pub async fn settle(client: &ec2::Client, environment: &Environment, seen: &Seen, group: &Group) -> Result<Step> {
    let difference = differ(environment, &group.id, &group.rules.standing);
    change_rules(client, environment, &group.id, &difference).await.authorised_late(!seen.complete)?;
    Ok(if group.new { Step::new(Kind::SecurityGroup, &group.id, Outcome::Created) } else { difference.step(&group.id) })
}

/// What [`ensure`] and [`settle`] would do.
pub fn plan(environment: &Environment, found: Option<&String>, rules: &Rules) -> Step {
    match found {
        Some(id) => differ(environment, id, &rules.standing).step(id),
        None => Step::new(Kind::SecurityGroup, "", Outcome::Created),
    }
}

/// The new group's id; `None` where the name is taken.
async fn create(client: &ec2::Client, environment: &Environment) -> Result<Option<String>> {
    let answer = client
        .create_security_group()
        .group_name(environment.security_group_name())
        .description(DESCRIPTION)
        .vpc_id(&environment.vpc)
        .tag_specifications(tagged(environment, ResourceType::SecurityGroup))
        .send()
        .await
        .call("ec2:CreateSecurityGroup")
        .unless(&["InvalidGroup.Duplicate"])?;
    Ok(answer.map(|created| created.group_id.unwrap_or_default()))
}

/// The rules that are missing, by port and range, and those that are too much.
struct Difference<'a> {
    missing: Vec<(i32, IpNet)>,
    excess: Vec<&'a SecurityGroupRule>,
}

impl Difference<'_> {
    fn step(&self, id: &str) -> Step {
        let missing = self.missing.iter().map(|(port, range)| format!("+ tcp {port} from {range}"));
        let excess = self.excess.iter().map(|rule| format!("- {}", told(rule)));
        Step::settled(Kind::SecurityGroup, id, missing.chain(excess).collect())
    }
}

fn differ<'a>(environment: &Environment, id: &str, standing: &'a [SecurityGroupRule]) -> Difference<'a> {
    let allowed = environment.input.allowed_cidrs();
    let wanted: BTreeSet<(i32, IpNet)> =
        FRONT_PORTS.iter().flat_map(|port| allowed.iter().map(move |range| (*port, *range))).collect();
    let (mut found, mut excess) = (BTreeSet::new(), vec![]);
    for rule in standing.iter().filter(|rule| rule.group_id() == Some(id) && rule.is_egress() != Some(true)) {
        match front(rule).filter(|front| wanted.contains(front)) {
            Some(front) => drop(found.insert(front)),
            None => excess.push(rule),
        }
    }
    Difference { missing: wanted.difference(&found).copied().collect(), excess }
}

async fn change_rules(
    client: &ec2::Client,
    environment: &Environment,
    id: &str,
    difference: &Difference<'_>,
) -> Result<()> {
    let Difference { missing, excess } = difference;
    if !missing.is_empty() {
        let missing = missing.iter().map(|(port, range)| permission(*port, *range)).collect();
        client
            .authorize_security_group_ingress()
            .group_id(id)
            .set_ip_permissions(Some(missing))
            .tag_specifications(tagged(environment, ResourceType::SecurityGroupRule))
            .send()
            .await
            .call("ec2:AuthorizeSecurityGroupIngress")
            // A Duplicate means that somebody beside us added rules since we looked: look again.
            .appears_late(&["InvalidGroup.NotFound", "InvalidPermission.Duplicate"])?;
    }
    if !excess.is_empty() {
        revoke(client, id, excess.iter().filter_map(|rule| rule.security_group_rule_id.clone()).collect()).await?;
    }
    Ok(())
}

/// A rule for a row: `tcp 22 from 0.0.0.0/0`.
fn told(rule: &SecurityGroupRule) -> String {
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

/// The port and range of a rule that is like ours.
fn front(rule: &SecurityGroupRule) -> Option<(i32, IpNet)> {
    let range = rule.cidr_ipv4().or(rule.cidr_ipv6())?.parse().ok()?;
    let one_port = rule.ip_protocol() == Some("tcp") && rule.from_port() == rule.to_port();
    one_port.then_some((rule.from_port()?, range))
}

fn permission(port: i32, range: IpNet) -> IpPermission {
    let permission = IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port);
    match range {
        IpNet::V4(range) => permission.ip_ranges(IpRange::builder().cidr_ip(range.to_string()).build()),
        IpNet::V6(range) => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range.to_string()).build()),
    }
    .build()
}

fn tagged(environment: &Environment, resource: ResourceType) -> TagSpecification {
    let tags = tags::of(environment).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(resource).set_tags(Some(tags.collect())).build()
}

async fn revoke(client: &ec2::Client, group: &str, rule_ids: Vec<String>) -> Result<()> {
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

// --- The instances' own groups -----------------------------------------------------------------------------------

/// Which of the instances' own groups are to admit the load balancer: for each instance the first that may be opened.
/// `groups` are their ids, `described` holds them all.
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

/// The rules in the instances' groups that admit the load balancer's, `front`; tagged ours.
pub async fn open(client: &ec2::Client, environment: &Environment, front: &Group) -> Result<Vec<Step>> {
    let Group { id, rules, .. } = front;
    let steps = plan_open(environment, id, rules).into_iter().map(async |mut step| {
        if step.outcome == Outcome::Created {
            step.outcome = admit(client, environment, &step.id, id).await?;
        }
        Ok(step)
    });
    // All to their end, whatever one of them says.
    join_all(steps).await.into_iter().collect()
}

/// What [`open`] would do.
pub fn plan_open(environment: &Environment, front: &str, rules: &Rules) -> Vec<Step> {
    let row = |group: &String| {
        let stands = rules.standing.iter().any(|rule| lets_in(rule, group, front, environment.input.port));
        Step::new(Kind::Rule, group, if stands { Outcome::Found } else { Outcome::Created })
    };
    environment.groups_to_open.iter().map(row).collect()
}

/// The rule of `group` admits TCP on the port from the group `front`.
fn lets_in(rule: &SecurityGroupRule, group: &str, front: &str, port: u16) -> bool {
    let port = i32::from(port);
    rule.group_id() == Some(group)
        && rule.is_egress() != Some(true)
        && rule.referenced_group_info().and_then(|other| other.group_id()) == Some(front)
        && rule.ip_protocol() == Some("tcp")
        && rule.from_port() <= Some(port)
        && Some(port) <= rule.to_port()
}

async fn admit(client: &ec2::Client, environment: &Environment, group: &str, front: &str) -> Result<Outcome> {
    let port = i32::from(environment.input.port);
    let from = UserIdGroupPair::builder().group_id(front).description("Albatross load balancer").build();
    let answer = client
        .authorize_security_group_ingress()
        .group_id(group)
        .ip_permissions(
            IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).user_id_group_pairs(from).build(),
        )
        .tag_specifications(tagged(environment, ResourceType::SecurityGroupRule))
        .send()
        .await
        .call("ec2:AuthorizeSecurityGroupIngress")
        .unless(&["InvalidPermission.Duplicate"])
        // Of the load balancer's group, made a moment ago.
        .appears_late(&["InvalidGroup.NotFound"])?;
    Ok(if answer.is_some() { Outcome::Created } else { Outcome::Found })
}

// --- Teardown ----------------------------------------------------------------------------------------------------

/// A group that carries an environment's tags.
#[derive(Debug, Clone)]
pub struct Ours {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub tags: Tags,
}

impl From<&SecurityGroup> for Ours {
    fn from(group: &SecurityGroup) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ours {
            id: text(group.group_id()),
            name: text(group.group_name()),
            vpc: text(group.vpc_id()),
            tags: Tags::from(group.tags()),
        }
    }
}

/// Checks that what stands of an environment already is for the same domain and in the same VPC; `standing` are its security
/// groups, one of which stands as long as anything does.
///
/// # Errors
/// [`Error::InvalidInput`].
pub fn check_standing(environment: &Environment, standing: &[Ours]) -> Result<()> {
    let Environment { name, vpc, .. } = environment;
    for group in standing {
        let domain = group.tags.get(tags::DOMAIN).unwrap_or_default();
        if domain != environment.domain() {
            let problem = format!("environment {name} fronts {domain}; give another name, or tear that down first");
            return Err(Error::input("$.name", problem));
        }
        if group.vpc != *vpc {
            let problem = format!("they lie in {vpc}, the environment stands in {}; tear it down first", group.vpc);
            return Err(Error::input("$.instances", problem));
        }
    }
    Ok(())
}

/// The groups of a stack, or of one of its environments. A group is made first and deleted last, so where one stands
/// an environment stands, whole or in part.
pub async fn ours(client: &ec2::Client, stack: &str, environment: Option<&str>) -> Result<Vec<Ours>> {
    let mut filters = vec![filter(format!("tag:{}", tags::STACK), stack)];
    filters.extend(environment.map(|name| filter(format!("tag:{}", tags::ENVIRONMENT), name)));
    Ok(describe(client, filters).await?.iter().map(Ours::from).collect())
}

/// The groups of a domain's environments of a stack.
pub async fn of_domain(client: &ec2::Client, stack: &str, domain: &str) -> Result<Vec<Ours>> {
    let tagged = [(tags::STACK, stack), (tags::DOMAIN, domain)];
    let filters = tagged.map(|(key, value)| filter(format!("tag:{key}"), value)).to_vec();
    Ok(describe(client, filters).await?.iter().map(Ours::from).collect())
}

/// The groups of these names in all VPCs, whosever.
pub async fn named(client: &ec2::Client, names: impl IntoIterator<Item = String>) -> Result<Vec<SecurityGroup>> {
    let names = names.into_iter().collect();
    describe(client, vec![Filter::builder().name("group-name").set_values(Some(names)).build()]).await
}

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

/// The rules that [`open`] made, wherever they stand.
pub async fn open_rules(client: &ec2::Client, stack: &str, environment: &str) -> Result<Vec<OpenRule>> {
    Ok(tagged_rules(client, stack, environment).await?.iter().map(OpenRule::from).collect())
}

async fn tagged_rules(client: &ec2::Client, stack: &str, environment: &str) -> Result<Vec<SecurityGroupRule>> {
    let tagged = [(tags::STACK, stack), (tags::ENVIRONMENT, environment)];
    let mut found = rules(client, tagged.map(|(key, value)| filter(format!("tag:{key}"), value)).to_vec()).await?;
    // Those of the load balancer's own group, which go with it, admit ranges.
    found.retain(|rule| rule.referenced_group_info().is_some());
    Ok(found)
}

/// Takes back a rule of ours. Again is safe.
pub async fn close(client: &ec2::Client, rule: &OpenRule) -> Result<()> {
    revoke(client, &rule.group, vec![rule.id.clone()]).await
}

/// Deletes a group of ours. Again is safe.
///
/// # Errors
/// [`Error::StillDeleting`] while something stands in it, which [`check_released`] looks at; [`Error::TeardownIncomplete`]
/// where a rule that is not ours names it.
pub async fn remove(client: &ec2::Client, id: &str) -> Result<()> {
    let deleted = client
        .delete_security_group()
        .group_id(id)
        .send()
        .await
        .call("ec2:DeleteSecurityGroup")
        .unless(&["InvalidGroup.NotFound"]);
    match deleted {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["DependencyViolation"]) => {
            let naming = async |field: &str| describe(client, vec![filter(field, id)]).await;
            let (ingress, egress) =
                tokio::try_join!(naming("ip-permission.group-id"), naming("egress.ip-permission.group-id"))?;
            let referring = ingress.iter().chain(&egress).filter_map(|group| group.group_id());
            let others: BTreeSet<&str> = referring.filter(|other| *other != id).collect();
            check_held(id, others.into_iter().map(|other| format!("a rule in {other}")).collect())?;
            Err(Error::StillDeleting(format!("security group {id}: {}", refusal.message)))
        }
        other => other.map(drop),
    }
}

/// Checks that no network interface is in a group of ours, in one call.
///
/// # Errors
/// [`Error::StillDeleting`] while those of a deleted load balancer linger, [`Error::TeardownIncomplete`] where one is not
/// ours.
pub async fn check_released(client: &ec2::Client, id: &str) -> Result<()> {
    let answer = client.describe_network_interfaces().filters(filter("group-id", id)).send().await;
    let answer = answer.call("ec2:DescribeNetworkInterfaces")?;
    let (lingering, foreign): (Vec<_>, Vec<_>) = answer.network_interfaces().iter().partition(|interface| {
        interface.description().is_some_and(|text| text.starts_with(names::LOAD_BALANCER_INTERFACES))
    });
    let foreign = foreign.iter().filter_map(|interface| interface.network_interface_id());
    check_held(id, foreign.map(|id| format!("network interface {id}")).collect())?;
    if lingering.is_empty() {
        return Ok(());
    }
    let count = lingering.len();
    Err(Error::StillDeleting(format!("security group {id}: {count} interface(s) of the deleted load balancer linger")))
}

fn check_held(id: &str, by: Vec<String>) -> Result<()> {
    if by.is_empty() {
        return Ok(());
    }
    Err(Error::TeardownIncomplete(format!(
        "{id} is held by {}, which is not ours; remove that there, then tear down again",
        by.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, port: i32, range: &str) -> SecurityGroupRule {
        SecurityGroupRule::builder()
            .group_id("sg-1")
            .security_group_rule_id(id)
            .is_egress(false)
            .ip_protocol("tcp")
            .from_port(port)
            .to_port(port)
            .cidr_ipv4(range)
            .build()
    }

    #[test]
    fn a_group_differs_by_what_it_lacks_and_has_too_much() {
        let environment = Environment::example();
        let own = || SecurityGroupRule::builder().group_id("sg-1");
        let egress = own().is_egress(true).ip_protocol("-1").cidr_ipv4("0.0.0.0/0").build();
        let all = own().is_egress(false).ip_protocol("-1").prefix_list_id("pl-1").build();
        let other = SecurityGroupRule::builder().group_id("sg-2").is_egress(false).ip_protocol("-1").build();
        let standing = [rule("80", 80, "0.0.0.0/0"), rule("443", 443, "0.0.0.0/0"), egress, other];
        assert_eq!(
            differ(&environment, "sg-1", &standing).step("sg-1"),
            Step::new(Kind::SecurityGroup, "sg-1", Outcome::Found)
        );
        let standing = [rule("80", 80, "0.0.0.0/0"), rule("22", 22, "10.0.0.0/8"), all];
        assert_eq!(
            differ(&environment, "sg-1", &standing).step("sg-1").changes,
            ["+ tcp 443 from 0.0.0.0/0", "- tcp 22 from 10.0.0.0/8", "- all from pl-1"]
        );
    }

    #[test]
    fn a_rule_of_ours_that_no_instance_needs_is_former() {
        let mut environment = Environment::example();
        environment.groups_to_open = vec!["sg-web".into()];
        let open = |id: &str, group: &str, port: i32| {
            let front = ec2::types::ReferencedSecurityGroup::builder().group_id("sg-1").build();
            SecurityGroupRule::builder()
                .security_group_rule_id(id)
                .group_id(group)
                .ip_protocol("tcp")
                .from_port(port)
                .to_port(port)
                .referenced_group_info(front)
                .build()
        };
        let ours = vec![open("r-1", "sg-web", 80), open("r-2", "sg-web", 8080), open("r-3", "sg-old", 80)];
        let rules = Rules { standing: vec![], ours };
        let former = rules.former(&environment, "sg-1");
        let ids: Vec<(&str, &str)> = former.iter().map(|it| (it.rule.id.as_str(), it.rule.group.as_str())).collect();
        assert_eq!(ids, [("r-2", "sg-web"), ("r-3", "sg-old")]);
        assert_eq!(former[0].step(), Step::removed(Kind::Rule, "sg-web", "tcp 8080 from sg-1"));
        environment.groups_to_open.clear();
        assert_eq!(rules.former(&environment, "sg-1").len(), 3);
    }
}

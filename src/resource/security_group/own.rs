//! The load balancer's own security group. It is made first and removed last: where one stands, an environment stands,
//! whole or in part.

use std::collections::BTreeSet;

use aws_sdk_ec2 as ec2;
use ec2::types::{Filter, IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, SecurityGroupRule};
use ipnet::IpNet;

use super::api::{Rules, describe, filter, groups, revoke, tag_specification, tagged_with};
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::resource::seen::Seen;
use crate::resource::tags::{self, Tags};
use crate::spec::environment::Environment;
use crate::spec::names;
use crate::step::{Outcome, Step};

/// The load balancer's ports, open to the allowed ranges.
const LISTENER_PORTS: [i32; 2] = [80, 443];

/// A group's description cannot be changed later and shows in the console.
const DESCRIPTION: &str = "Albatross: HTTP and HTTPS to the load balancer";

/// The load balancer's group with the rules that matter to its environment.
#[derive(Debug)]
pub struct Found {
    pub id: String,
    /// This run has just made it.
    just_made: bool,
    pub rules: Rules,
}

/// Finds the id of the group of the environment's name in its VPC.
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn find_id(client: &ec2::Client, environment: &Environment) -> Result<Option<String>> {
    let name = environment.security_group_name();
    // EC2's filters distinguish case and its names do not: a group `WEB-elb` is found by its Duplicate error alone.
    let found = groups(client, vec![filter("vpc-id", &environment.vpc), filter("group-name", &name)]).await?;
    let Some(group) = found.into_iter().next() else { return Ok(None) };
    let id = group.group_id.unwrap_or_default();
    Tags::from(group.tags.unwrap_or_default().as_slice()).check(environment, Kind::SecurityGroup, &id)?;
    Ok(Some(id))
}

/// Reads the rules of the group of this id, where there is one.
pub async fn find(client: &ec2::Client, environment: &Environment, id: Option<&str>) -> Result<Option<Found>> {
    let Some(id) = id else { return Ok(None) };
    let rules = Rules::find(client, environment, id).await?;
    Ok(Some(Found { id: id.into(), just_made: false, rules }))
}

/// Creates the group where none was known; its rules are for [`Difference::apply`].
///
/// # Errors
/// [`Error::NotOurs`].
pub async fn create(client: &ec2::Client, environment: &Environment) -> Result<Found> {
    let created = client
        .create_security_group()
        .group_name(environment.security_group_name())
        .description(DESCRIPTION)
        .vpc_id(&environment.vpc)
        .tag_specifications(tag_specification(environment, ResourceType::SecurityGroup))
        .send()
        .await
        .call("ec2:CreateSecurityGroup")
        .unless(&["InvalidGroup.Duplicate"])?;
    if let Some(id) = created.and_then(|created| created.group_id) {
        return Ok(Found { id, just_made: true, rules: Rules::default() });
    }
    // Made beside us a moment ago, or by somebody in another case.
    let id = find_id(client, environment).await?;
    find(client, environment, id.as_deref()).await?.ok_or_else(|| Error::NotOurs {
        resource: Kind::SecurityGroup,
        id: environment.security_group_name(),
        why: format!("{} has a group of that name in another case", environment.vpc),
    })
}

/// What makes the group admit just the environment's ranges.
#[derive(Debug)]
pub struct Difference {
    row: Step,
    /// By port and range.
    missing: Vec<(i32, IpNet)>,
    /// Ids of rules.
    excess: Vec<String>,
}

pub fn differ(environment: &Environment, found: Option<&Found>) -> Difference {
    let allowed = environment.input.allowed_cidrs();
    let wanted: BTreeSet<(i32, IpNet)> =
        LISTENER_PORTS.iter().flat_map(|port| allowed.iter().map(move |range| (*port, *range))).collect();
    let (mut standing, mut excess) = (BTreeSet::new(), vec![]);
    for rule in found.iter().flat_map(|found| found.own_ingress()) {
        match admitted(rule).filter(|admitted| wanted.contains(admitted)) {
            Some(admitted) => drop(standing.insert(admitted)),
            None => excess.push(rule),
        }
    }
    let missing: Vec<(i32, IpNet)> = wanted.difference(&standing).copied().collect();
    let row = match found {
        None => Step::missing(Kind::SecurityGroup),
        Some(Found { id, just_made: true, .. }) => Step::new(Kind::SecurityGroup, id, Outcome::Created),
        Some(Found { id, .. }) => {
            let missing = missing.iter().map(|(port, range)| format!("+ tcp {port} from {range}"));
            let excess = excess.iter().map(|rule| format!("- {}", describe(rule)));
            Step::settled(Kind::SecurityGroup, Some(id), missing.chain(excess))
        }
    };
    let excess = excess.into_iter().filter_map(|rule| rule.security_group_rule_id.clone()).collect();
    Difference { row, missing, excess }
}

impl Found {
    fn own_ingress(&self) -> impl Iterator<Item = &SecurityGroupRule> {
        let own = |rule: &&SecurityGroupRule| rule.group_id() == Some(&self.id) && rule.is_egress() != Some(true);
        self.rules.in_groups.iter().filter(own)
    }
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Adds the missing rules to the group of this id, and revokes those that are too much.
    pub async fn apply(&self, client: &ec2::Client, environment: &Environment, seen: &Seen, id: &str) -> Result<()> {
        if !self.missing.is_empty() {
            authorize(client, environment, id, &self.missing).await.authorised_late(!seen.complete)?;
        }
        if !self.excess.is_empty() {
            revoke(client, id, self.excess.clone()).await.authorised_late(!seen.complete)?;
        }
        Ok(())
    }
}

async fn authorize(client: &ec2::Client, environment: &Environment, id: &str, missing: &[(i32, IpNet)]) -> Result<()> {
    client
        .authorize_security_group_ingress()
        .group_id(id)
        .set_ip_permissions(Some(missing.iter().map(|(port, range)| permission(*port, *range)).collect()))
        .tag_specifications(tag_specification(environment, ResourceType::SecurityGroupRule))
        .send()
        .await
        .call("ec2:AuthorizeSecurityGroupIngress")
        // A Duplicate means that somebody beside us added rules since we looked: look again.
        .appears_late(&["InvalidGroup.NotFound", "InvalidPermission.Duplicate"])
        .map(drop)
}

/// The port and range that a rule like ours admits.
fn admitted(rule: &SecurityGroupRule) -> Option<(i32, IpNet)> {
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

/// A group that carries an environment's tags.
#[derive(Debug, Clone)]
pub struct Tagged {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub tags: Tags,
}

impl From<&SecurityGroup> for Tagged {
    fn from(group: &SecurityGroup) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Tagged {
            id: text(group.group_id()),
            name: text(group.group_name()),
            vpc: text(group.vpc_id()),
            tags: Tags::from(group.tags()),
        }
    }
}

/// Checks that what stands of an environment already is for the same domain and in the same VPC; `standing` are its
/// security groups, one of which stands as long as anything does.
///
/// # Errors
/// [`Error::InvalidInput`].
pub fn check_standing(environment: &Environment, standing: &[Tagged]) -> Result<()> {
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

/// Lists the groups of a stack, or of one of its environments.
pub async fn tagged(client: &ec2::Client, stack: &str, environment: Option<&str>) -> Result<Vec<Tagged>> {
    let mut wanted = vec![(tags::STACK, stack)];
    wanted.extend(environment.map(|name| (tags::ENVIRONMENT, name)));
    with_tags(client, &wanted).await
}

/// Lists the groups of a domain's environments of a stack.
pub async fn of_domain(client: &ec2::Client, stack: &str, domain: &str) -> Result<Vec<Tagged>> {
    with_tags(client, &[(tags::STACK, stack), (tags::DOMAIN, domain)]).await
}

async fn with_tags(client: &ec2::Client, wanted: &[(&str, &str)]) -> Result<Vec<Tagged>> {
    Ok(groups(client, tagged_with(wanted)).await?.iter().map(Tagged::from).collect())
}

/// Lists the groups of these names in all VPCs, whosever they are.
pub async fn named(client: &ec2::Client, names: impl IntoIterator<Item = String>) -> Result<Vec<SecurityGroup>> {
    let names = names.into_iter().collect();
    groups(client, vec![Filter::builder().name("group-name").set_values(Some(names)).build()]).await
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
            let naming = async |field: &str| groups(client, vec![filter(field, id)]).await;
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
        let difference = |in_groups: Vec<SecurityGroupRule>| {
            let rules = Rules { in_groups, tagged: vec![] };
            differ(&environment, Some(&Found { id: "sg-1".into(), just_made: false, rules }))
        };
        let as_wanted = difference(vec![rule("80", 80, "0.0.0.0/0"), rule("443", 443, "0.0.0.0/0"), egress, other]);
        assert_eq!(as_wanted.step(), Step::new(Kind::SecurityGroup, "sg-1", Outcome::Found));
        let changed = difference(vec![rule("80", 80, "0.0.0.0/0"), rule("22", 22, "10.0.0.0/8"), all]);
        assert_eq!(changed.step().changes, ["+ tcp 443 from 0.0.0.0/0", "- tcp 22 from 10.0.0.0/8", "- all from pl-1"]);
        assert_eq!((changed.missing.len(), changed.excess), (1, vec!["22".to_owned()]));
    }

    #[test]
    fn a_group_that_is_to_be_made_lacks_all() {
        let environment = Environment::example();
        let missing = differ(&environment, None);
        assert_eq!((missing.step(), missing.missing.len()), (Step::missing(Kind::SecurityGroup), 2));
        let found = Found { id: "sg-1".into(), just_made: true, rules: Rules::default() };
        let made = differ(&environment, Some(&found));
        assert_eq!(made.step(), Step::new(Kind::SecurityGroup, "sg-1", Outcome::Created));
        assert_eq!(made.missing, missing.missing);
    }
}

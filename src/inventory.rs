//! Everything of one environment that stands, with what teardown decides about it: one list for plan, act and proof.

use std::collections::HashSet;

use aws_types::SdkConfig;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::address::{self, Address};
use crate::aws;
use crate::certificate::{self, ValidationRecord};
use crate::dns::{self, Edit, Standing};
use crate::environment;
use crate::error::{Call, Codes, Error, Result};
use crate::instance::{self, AtTeardown, Consent};
use crate::lambda;
use crate::load_balancer;
use crate::lock;
use crate::price;
use crate::security_group::{self, OpenRule};
use crate::tags::{self, Tags};
use crate::target_group;
use crate::teardown::{CertificatePolicy, Decision, Input, Item};

/// In the items.
const ADDRESS: &str = "Elastic IP";

pub struct Clients {
    pub config: SdkConfig,
    pub acm: aws_sdk_acm::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    pub route53: aws_sdk_route53::Client,
    pub sfn: aws_sdk_sfn::Client,
}

impl Clients {
    pub fn new(config: SdkConfig) -> Self {
        Clients {
            acm: aws_sdk_acm::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            config,
        }
    }
}

/// Which environment, as far as input and tags tell. `domain` and `zone` are unknown where nothing stands any more and
/// the input gives a name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub stack: String,
    pub name: String,
    pub domain: Option<String>,
    /// Hosted zone id.
    pub zone: Option<String>,
}

/// A list item and how to carry its decision out; `None` where it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    pub item: Item,
    pub action: Option<Action>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    Records {
        zone: String,
        edits: Vec<Edit>,
    },
    LoadBalancer(String),
    Address(Address),
    Instance(String, Consent),
    Rule(OpenRule),
    TargetGroup(String),
    /// With the validation records that nothing else needs.
    Certificate {
        arn: String,
        zone: Option<String>,
        records: Vec<ValidationRecord>,
    },
    SecurityGroup(String),
}

impl Action {
    /// Those of one turn wait for none of each other, and for those of the turns before: visitors leave first; an address is
    /// found by its instance, and instances by the target group; a load balancer holds the target group and the certificate.
    pub fn turn(&self) -> Turn {
        match self {
            Action::Records { .. } => Turn::Domain,
            Action::LoadBalancer(_) | Action::Address(_) | Action::Rule(_) => Turn::Front,
            Action::Instance(..) => Turn::Instances,
            Action::TargetGroup(_) | Action::Certificate { .. } => Turn::Behind,
            Action::SecurityGroup(_) => Turn::SecurityGroup,
        }
    }
}

/// When an action has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    Domain,
    Front,
    Instances,
    Behind,
    /// Last of all: what stands without its group is not found again.
    SecurityGroup,
}

fn kept(resource: &str, id: impl Into<String>, reason: impl Into<String>) -> Listed {
    Listed { item: Item::new(resource, id, Decision::Keep, reason), action: None }
}

fn acted(
    resource: &str,
    id: impl Into<String>,
    decision: Decision,
    reason: impl Into<String>,
    action: Action,
) -> Listed {
    Listed { item: Item::new(resource, id, decision, reason), action: Some(action) }
}

impl Listed {
    /// With the dollars an hour that end with it.
    fn priced(mut self, hourly: Decimal) -> Self {
        self.item.hourly = Some(hourly);
        self
    }
}

/// The environment that an input names.
///
/// # Errors
/// [`Error::InvalidInput`] where it names none, or a malformed one.
pub fn identify(stack: String, input: &Input) -> Result<Identity> {
    let domain = input.domain.as_deref().map(environment::domain).transpose()?;
    let name = match (&input.name, &domain) {
        (Some(name), _) => name.clone(),
        (None, Some(domain)) => environment::default_name(domain),
        (None, None) => {
            return Err(Error::input("$", "give the environment's \"name\" or its \"domain\""));
        }
    };
    environment::check_name(&name)?;
    Ok(Identity { stack, name, domain, zone: input.hosted_zone_id.clone() })
}

/// The environment's security groups. They are made first and deleted last: while anything stands one stands, and its
/// tags tell domain and zone; else the other tags, the input and the account's zones do.
///
/// # Errors
/// [`Error::InvalidInput`] where the input's domain is not the environment's.
pub async fn learn(clients: &Clients, identity: &mut Identity) -> Result<Vec<security_group::Ours>> {
    let groups = security_group::ours(&clients.ec2, &identity.stack, Some(&identity.name)).await?;
    let mut tagged = groups.first().map(|group| group.tags.clone());
    if tagged.is_none() && (identity.domain.is_none() || identity.zone.is_none()) {
        let (front, targets) = fronts(clients, identity, true).await?;
        tagged = front.map(|front| front.tags).or(targets.map(|targets| targets.tags));
    }
    if let Some(tags) = tagged {
        check_domain(identity, &tags)?;
        identity.domain = tags.get(tags::DOMAIN).map(Into::into).or(identity.domain.take());
        identity.zone = tags.get(tags::ZONE).map(Into::into).or(identity.zone.take());
    }
    if let (Some(domain), None) = (&identity.domain, &identity.zone) {
        identity.zone = dns::find_zone(&clients.route53, domain, None).await?;
    }
    Ok(groups)
}

fn check_domain(identity: &Identity, tags: &Tags) -> Result<()> {
    match (&identity.domain, tags.get(tags::DOMAIN)) {
        (Some(given), Some(domain)) if given != domain => {
            Err(Error::input("$.domain", format!("environment {} fronts {domain}, not {given}", identity.name)))
        }
        _ => Ok(()),
    }
}

/// Lists what stands of the environment, in the order in which it is taken down; `groups` are what [`learn`] has found,
/// `standing` is awaited beside the other reads. After an act, `planned` are the plan's items: of what the plan found
/// nothing of to take down, nothing is asked for again.
///
/// # Errors
/// [`Error::InvalidInput`] where a tag tells another domain, or a certificate is to go whose domain is unknown.
pub async fn list(
    clients: &Clients,
    identity: &Identity,
    input: &Input,
    groups: Vec<security_group::Ours>,
    standing: impl Future<Output = Result<Option<Standing>>>,
    planned: Option<&[Item]>,
) -> Result<Vec<Listed>> {
    let Identity { stack, name, .. } = identity;
    if identity.domain.is_none() && input.certificate == CertificatePolicy::Delete {
        return Err(Error::input(
            "$.domain",
            format!(
                "missing; nothing of environment {name} stands that tells it, and its certificate is found by domain"
            ),
        ));
    }
    let may_go = |resource: &str| {
        let goes = |item: &Item| item.resource == resource && item.decision != Decision::Keep;
        planned.is_none_or(|items| items.iter().any(goes))
    };
    let certificates =
        async { if may_go(certificate::RESOURCE) { certificates(clients, identity, input).await } else { Ok(vec![]) } };
    // AWS deletes no group that a load balancer stands in or a rule names: where ours has gone, so have they.
    let gone = groups.is_empty() && planned.is_some() && may_go(security_group::RESOURCE);
    let rules = async { if gone { Ok(vec![]) } else { security_group::open_rules(&clients.ec2, stack, name).await } };
    let ((front, targets), rules, certificates, standing) =
        tokio::try_join!(fronts(clients, identity, !gone), rules, certificates, standing)?;
    let tagged = front.iter().map(|front| &front.tags).chain(targets.iter().map(|targets| &targets.tags));
    tagged.into_iter().try_for_each(|tags| check_domain(identity, tags))?;
    let ids = targets.as_ref().map(|targets| targets.instances.clone()).unwrap_or_default();
    let addresses = async {
        let may_stand = may_go(ADDRESS) || !ids.is_empty();
        if may_stand { address::find(&clients.ec2, &ids, stack, name).await } else { Ok(vec![]) }
    };
    let (addresses, instances) = tokio::try_join!(addresses, instance::find(&clients.ec2, &ids))?;
    let going = if input.own_only { HashSet::new() } else { going(&addresses, &instances) };
    let mut list: Vec<Listed> = records(identity, standing.as_ref(), &going).into_iter().collect();
    list.extend(front.map(|front| listed_load_balancer(&front, &aws::region(&clients.config))));
    list.extend(rules.into_iter().map(|rule| {
        let id = format!("{} in {}", rule.id, rule.group);
        acted(
            "rule that admits the load balancer",
            id,
            Decision::Remove,
            "ours; the group itself is yours",
            Action::Rule(rule),
        )
    }));
    let instances: Vec<Listed> =
        instances.iter().map(|instance| listed_instance(instance, &addresses, input.own_only)).collect();
    list.extend(addresses.into_iter().map(|address| listed_address(address, input.own_only)));
    list.extend(instances);
    list.extend(targets.map(|targets| {
        acted("target group", &targets.arn, Decision::Remove, "ours", Action::TargetGroup(targets.arn.clone()))
    }));
    list.extend(certificates);
    list.extend(groups.into_iter().map(|group| {
        let action = Action::SecurityGroup(group.id.clone());
        acted(security_group::RESOURCE, &group.id, Decision::Remove, "ours", action)
    }));
    Ok(list)
}

/// The load balancer, where one `may_stand`, and the target group of the environment's name where they are ours; somebody
/// else's are left out.
async fn fronts(
    clients: &Clients,
    identity: &Identity,
    may_stand: bool,
) -> Result<(Option<load_balancer::Ours>, Option<target_group::Ours>)> {
    let Identity { stack, name, .. } = identity;
    let elb = &clients.elb;
    let front = async { if may_stand { load_balancer::named(elb, name).await } else { Ok(None) } };
    let (front, group) = tokio::try_join!(front, target_group::named(elb, name))?;
    let arns: Vec<String> = front.iter().map(|(arn, _)| arn).chain(&group).cloned().collect();
    let instances = async {
        match &group {
            Some(arn) => target_group::instances(elb, arn).await,
            None => Ok(HashSet::new()),
        }
    };
    let (mut tags, instances) = tokio::try_join!(load_balancer::tags_of(elb, &arns), instances)?;
    let mut ours = |arn: &str| tags.remove(arn).filter(|tags| tags.are_of(stack, name));
    let front = front.and_then(|(arn, zones)| Some(load_balancer::Ours { tags: ours(&arn)?, arn, zones }));
    let group = group.and_then(|arn| Some(target_group::Ours { tags: ours(&arn)?, arn, instances }));
    Ok((front, group))
}

/// What stands at the domain, as `seen` or read now; `None` where domain or zone are unknown or gone.
pub async fn standing(clients: &Clients, identity: &Identity, seen: Option<Standing>) -> Result<Option<Standing>> {
    match (seen, &identity.domain, &identity.zone) {
        (Some(seen), ..) => Ok(Some(seen)),
        (None, Some(domain), Some(zone)) => {
            dns::standing(&clients.route53, zone, domain).await.unless(&["NoSuchHostedZone"])
        }
        _ => Ok(None),
    }
}

fn records(identity: &Identity, standing: Option<&Standing>, going: &HashSet<String>) -> Option<Listed> {
    let (domain, zone) = (identity.domain.as_ref()?, identity.zone.as_ref()?);
    let restoration = dns::restore(&lambda::owner(), &identity.name, domain, standing?, going)?;
    let action = Action::Records { zone: zone.clone(), edits: restoration.edits };
    Some(acted("alias record", domain, Decision::Restore, restoration.reason, action))
}

/// The addresses and DNS names that the user's consent gives up: a record that is put back must not point at them, as
/// the next to get such an address would serve the user's domain.
fn going(addresses: &[Address], instances: &[AtTeardown]) -> HashSet<String> {
    let mut going: HashSet<String> =
        addresses.iter().filter(|address| address.consent).map(|address| address.public_ip.clone()).collect();
    for instance in instances {
        let elastic = addresses.iter().find(|address| address.instance.as_ref() == Some(&instance.id));
        if elastic.map_or(instance.ends().is_some(), |address| address.consent) {
            going.extend(instance.public.iter().cloned());
        }
        if instance.ends() == Some(Consent::Terminate) {
            going.extend(instance.ipv6.iter().cloned());
        }
    }
    going
}

fn listed_load_balancer(front: &load_balancer::Ours, region: &str) -> Listed {
    let action = Action::LoadBalancer(front.arn.clone());
    let reason = "ours; its listeners go with it";
    acted("load balancer", &front.arn, Decision::Remove, reason, action)
        .priced(price::load_balancer(region, front.zones))
}

fn listed_address(address: Address, own_only: bool) -> Listed {
    let id = format!("{} ({})", address.allocation_id, address.public_ip);
    match (address.consent, own_only) {
        (false, _) => kept(
            ADDRESS,
            id,
            format!("yours; tag it {} = release to release it at teardown ($0.005 an hour)", tags::ON_TEARDOWN),
        ),
        (true, true) => kept(ADDRESS, id, "yours; only a whole teardown touches it"),
        (true, false) => acted(ADDRESS, id, Decision::Release, "you consented by tag", Action::Address(address))
            .priced(price::address()),
    }
}

fn listed_instance(instance: &AtTeardown, addresses: &[Address], own_only: bool) -> Listed {
    let id = &instance.id;
    match (instance.ends(), instance.consent, own_only) {
        (_, None, _) => kept(
            "instance",
            id,
            format!("yours; tag it {} = stop or terminate to end its charges at teardown", tags::ON_TEARDOWN),
        ),
        (None, Some(_), _) => kept("instance", id, format!("already {}", instance.state)),
        (Some(_), _, true) => kept("instance", id, "yours; only a whole teardown touches it"),
        (Some(consent), _, false) => {
            let decision = if consent == Consent::Stop { Decision::Stop } else { Decision::Terminate };
            let action = Action::Instance(id.clone(), consent);
            let listed = acted("instance", id, decision, "you consented by tag", action);
            // A public address that is not an Elastic IP goes with it.
            let elastic = addresses.iter().any(|address| address.instance.as_ref() == Some(id));
            if elastic || instance.public.is_empty() { listed } else { listed.priced(price::address()) }
        }
    }
}

async fn certificates(clients: &Clients, identity: &Identity, input: &Input) -> Result<Vec<Listed>> {
    let Some(domain) = &identity.domain else { return Ok(vec![]) };
    let deletes = input.certificate == CertificatePolicy::Delete;
    let stays = |arn: &str| {
        let reason = "free; where it is ours, the next provision uses it, and \"certificate\": \"delete\" deletes it, unless something else uses it";
        kept(certificate::RESOURCE, arn, reason)
    };
    let mut deletable = vec![];
    let mut listed = vec![];
    for found in certificate::of_domain(&clients.acm, domain).await? {
        if !deletes && !certificate::is_dead(&found.status) {
            listed.push(stays(&found.arn));
            continue;
        }
        if !certificate::is_ours(&clients.acm, &found.arn, &identity.stack, &identity.name).await? {
            continue;
        }
        let Some(certificate) = certificate::describe(&clients.acm, &found.arn).await? else { continue };
        let users = certificate.foreign_users(&identity.name);
        if !users.is_empty() {
            listed.push(kept(certificate::RESOURCE, &certificate.arn, format!("used by {}", users.join(", "))));
        } else if certificate::is_dead(&certificate.status) {
            deletable.push((format!("{}: it never recovers", certificate.status), certificate));
        } else if deletes {
            deletable.push(("asked for".into(), certificate));
        } else {
            listed.push(stays(&certificate.arn));
        }
    }
    let going: Vec<String> = deletable.iter().map(|(_, certificate)| certificate.arn.clone()).collect();
    let shared = match (going.is_empty(), listed.first()) {
        (true, _) => None,
        (false, Some(staying)) => Some(staying.item.id.clone()),
        (false, None) => certificate::sharing_record(&clients.config, regions(clients).await?, domain, &going).await?,
    };
    let mut taken: Vec<ValidationRecord> = vec![];
    for (reason, certificate) in deletable {
        let (reason, mut records) = match &shared {
            Some(other) => (format!("{reason}; its validation record stays for {other}"), vec![]),
            None => (format!("{reason}; with its validation record"), certificate.records),
        };
        // A domain's certificates share one, and go at once.
        records.retain(|record| !taken.contains(record));
        taken.extend(records.iter().cloned());
        let arn = certificate.arn;
        let action = Action::Certificate { arn: arn.clone(), zone: identity.zone.clone(), records };
        listed.push(acted(certificate::RESOURCE, arn, Decision::Remove, reason, action));
    }
    Ok(listed)
}

/// The regions that the account has enabled.
async fn regions(clients: &Clients) -> Result<Vec<String>> {
    let answer = clients.ec2.describe_regions().send().await.call("ec2:DescribeRegions")?;
    Ok(answer.regions().iter().filter_map(|region| region.region_name()).map(Into::into).collect())
}

/// Takes the environment's lock for the execution `run`; `has` where `run` should have it already. Answers what stands at
/// the domain where that was read under it. There is no lock where no zone is known, and so no provision.
///
/// # Errors
/// As [`lock::take`].
pub async fn lock(clients: &Clients, identity: &Identity, run: &str, has: bool) -> Result<Option<Standing>> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(None) };
    let take = async |seen: Option<&Standing>| {
        let record = seen.and_then(|standing| standing.lock.as_ref());
        let taken = lock::take(&clients.route53, &clients.sfn, zone, domain, record, run, &[]).await;
        taken.unless(&["NoSuchHostedZone"]).map(drop)
    };
    if !has {
        match take(None).await {
            // There is one.
            Err(error) if dns::is_outdated(&error) => {}
            other => return other.map(|()| None),
        }
    }
    let seen = standing(clients, identity, None).await?;
    if seen.as_ref().is_some_and(|standing| lock::is_held(standing.lock.as_ref(), run)) {
        return Ok(seen);
    }
    // What was read before may be another's, who worked until then.
    take(seen.as_ref()).await.map(|()| None)
}

/// Gives back the lock that `run` has. With the last look this is the proof: an alias is written in one batch with the
/// end of its writer's lock, so where this lock stands, none was written since the lock was taken.
///
/// # Errors
/// [`Error::AwsUnavailable`] where `run` has it no more.
pub async fn unlock(clients: &Clients, identity: &Identity, run: &str) -> Result<()> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(()) };
    let edits = [lock::give_back(domain, run)];
    dns::apply(&clients.route53, zone, &edits, "Albatross: done").await.unless(&["NoSuchHostedZone"]).map(drop)
}

/// Carries out one decision. Again is safe.
pub async fn carry_out(clients: &Clients, identity: &Identity, action: &Action) -> Result<()> {
    match action {
        Action::Records { zone, edits } => {
            dns::apply(&clients.route53, zone, edits, "Albatross: put back what stood before").await
        }
        Action::LoadBalancer(arn) => load_balancer::remove(&clients.elb, arn).await,
        Action::Address(address) => address::remove(&clients.ec2, address, &identity.stack, &identity.name).await,
        Action::Instance(id, consent) => instance::remove(&clients.ec2, id, *consent).await,
        Action::Rule(rule) => security_group::close(&clients.ec2, rule).await,
        Action::TargetGroup(arn) => target_group::remove(&clients.elb, arn).await,
        Action::SecurityGroup(id) => security_group::remove(&clients.ec2, id).await,
        Action::Certificate { arn, zone, records } => {
            // The record first: without the certificate nothing tells its name.
            if let Some(zone) = zone {
                for record in records {
                    dns::remove_cname(&clients.route53, zone, record).await?;
                }
            }
            certificate::remove(&clients.acm, arn).await
        }
    }
}

/// Checks that nothing stands in a listed group.
///
/// # Errors
/// As [`security_group::check_released`].
pub async fn check_released(clients: &Clients, listed: &Listed) -> Result<()> {
    match &listed.action {
        Some(Action::SecurityGroup(id)) => security_group::check_released(&clients.ec2, id).await,
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::InstanceStateName;

    fn instance(consent: Option<Consent>) -> AtTeardown {
        AtTeardown {
            id: "i-1".into(),
            consent,
            state: InstanceStateName::Running,
            public: vec!["203.0.113.7".into()],
            ipv6: vec!["2001:db8::7".into()],
        }
    }

    fn elastic(consent: bool) -> Address {
        Address::of_instance("i-1", "203.0.113.7", consent)
    }

    fn sorted(going: HashSet<String>) -> Vec<String> {
        let mut going: Vec<String> = going.into_iter().collect();
        going.sort();
        going
    }

    #[test]
    fn an_address_goes_with_what_holds_it() {
        let (stop, terminate) = (Some(Consent::Stop), Some(Consent::Terminate));
        let cases: [(Vec<Address>, Option<Consent>, &[&str]); 7] = [
            (vec![], None, &[]),
            (vec![], stop, &["203.0.113.7"]),
            (vec![], terminate, &["2001:db8::7", "203.0.113.7"]),
            (vec![elastic(false)], stop, &[]),
            (vec![elastic(false)], terminate, &["2001:db8::7"]),
            (vec![elastic(true)], None, &["203.0.113.7"]),
            (vec![elastic(true)], stop, &["203.0.113.7"]),
        ];
        for (addresses, consent, wanted) in cases {
            assert_eq!(sorted(going(&addresses, &[instance(consent)])), wanted, "{addresses:?} {consent:?}");
        }
    }
}

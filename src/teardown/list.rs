//! Everything of one environment that stands, with what teardown decides about each: one list for plan, act and proof.
//!
//! A read that AWS refuses makes its kind unknown: what that could touch stays and is listed as such, and all else goes.

use std::collections::{HashMap, HashSet};

use aws_sdk_route53::types::RrType;
use futures_util::future::join_all;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::item::{CertificatePolicy, Decision, Input, Item};
use crate::aws::{self, Clients};
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::owner::Owner;
use crate::price;
use crate::resource::address::{self, Address, Addresses};
use crate::resource::certificate;
use crate::resource::dns::{self, DomainRecords, Now, Ownership, Restoration};
use crate::resource::instance::{self, AtTeardown, Consent};
use crate::resource::load_balancer;
use crate::resource::security_group;
use crate::resource::security_group::rule::{self, OpenRule};
use crate::resource::tags::{self, Tags};
use crate::resource::{target, target_group};
use crate::spec::ids::{TargetGroupIds, ValidationRecord, destination};

/// Why the target group stays.
pub const LEADS_BEHIND: &str = "stays, as it leads the next teardown to the instances behind it";

/// A list item and how to carry its decision out; `None` where it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    pub item: Item,
    pub action: Option<Action>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// `may_stay`: AWS does not tell whether the load balancer is protected, so the domain leads there until that is gone.
    Records {
        zone: String,
        restoration: Restoration,
        may_stay: bool,
    },
    LoadBalancer(String),
    Rule(OpenRule),
    /// `beside`: something else used it as it was listed, and may use it no more.
    Address {
        address: Address,
        beside: Option<TargetGroupIds>,
    },
    Instance {
        id: String,
        consent: Consent,
        beside: Option<TargetGroupIds>,
    },
    TargetGroup(String),
    /// With the validation records that nothing else needs.
    Certificate {
        arn: String,
        zone: Option<String>,
        records: Vec<ValidationRecord>,
    },
    SecurityGroup(String),
}

/// When an action has its turn. Those of one turn wait for none of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Visitors leave first, where their way back is known.
    Domain,
    LoadBalancer,
    /// An address is found by its instance, and instances by the target group.
    Addresses,
    Instances,
    Behind,
    /// Last of all: what stands without its group is not found again.
    SecurityGroup,
}

impl Action {
    /// The id of what it ends, as others know it.
    pub fn key(&self) -> &str {
        match self {
            Action::Records { zone, .. } => zone,
            Action::Address { address, .. } => &address.allocation_id,
            Action::Rule(rule) => &rule.id,
            Action::Instance { id, .. }
            | Action::LoadBalancer(id)
            | Action::TargetGroup(id)
            | Action::SecurityGroup(id)
            | Action::Certificate { arn: id, .. } => id,
        }
    }

    /// What it does to something of the user's.
    pub fn decision(&self) -> Option<Decision> {
        match self {
            Action::Address { .. } => Some(Decision::Release),
            Action::Instance { consent: Consent::Stop, .. } => Some(Decision::Stop),
            Action::Instance { consent: Consent::Terminate, .. } => Some(Decision::Terminate),
            _ => None,
        }
    }

    pub fn turn(&self) -> Turn {
        match self {
            Action::Records { restoration, may_stay, .. } if *may_stay || restoration.waits() => Turn::Behind,
            Action::Records { .. } => Turn::Domain,
            Action::LoadBalancer(_) => Turn::LoadBalancer,
            Action::Address { .. } => Turn::Addresses,
            Action::Instance { .. } => Turn::Instances,
            Action::Rule(_) | Action::TargetGroup(_) | Action::Certificate { .. } => Turn::Behind,
            Action::SecurityGroup(_) => Turn::SecurityGroup,
        }
    }
}

impl Listed {
    fn kept(resource: Kind, id: impl Into<String>, reason: impl Into<String>) -> Self {
        Listed { item: Item::new(resource, id, Decision::Keep, reason), action: None }
    }

    fn unknown(resource: Kind, id: impl Into<String>, reason: impl Into<String>) -> Self {
        Listed { item: Item::new(resource, id, Decision::Unknown, reason), action: None }
    }

    fn acted(
        resource: Kind,
        id: impl Into<String>,
        decision: Decision,
        reason: impl Into<String>,
        action: Action,
    ) -> Self {
        Listed { item: Item::new(resource, id, decision, reason), action: Some(action) }
    }

    /// With the dollars an hour that end with it.
    fn priced(mut self, hourly: Decimal) -> Self {
        self.item.hourly = Some(hourly);
        self
    }

    /// Kept for now: `why` may have passed when its turn comes.
    fn unless_still(mut self, why: String) -> Self {
        (self.item.decision, self.item.reason) = (Decision::Keep, why);
        self
    }

    /// In place of what was to be done with it: kept, or unknown as something that it needs is.
    fn staying(self, decision: Decision, why: &str) -> Self {
        if self.action.is_none() {
            return self;
        }
        Listed { item: Item::new(self.item.resource, self.item.id, decision, why), action: None }
    }
}

/// What [`list`] found.
#[derive(Debug, Default)]
pub struct List {
    pub listed: Vec<Listed>,
    /// Why the environment is kept whole.
    pub kept: Option<String>,
    /// A read has failed that may succeed later.
    pub passing: Option<Error>,
    /// Copies of a wildcard's records are to serve the domain as long as anything of ours stands under it.
    pub copied: bool,
}

impl List {
    /// What a read told; what it could not tell is listed as unknown.
    fn known<T: Default>(&mut self, read: Result<T>, resource: Kind, id: impl Into<String>) -> T {
        read.unwrap_or_else(|error| {
            self.listed.push(Listed::unknown(resource, id, unknown(&error)));
            if matches!(error, Error::AwsUnavailable(_)) {
                self.passing = Some(error);
            }
            T::default()
        })
    }
}

fn unknown(error: &Error) -> String {
    format!("what stands of it is not known, so it stays: {error}. Allow this call, then tear down again")
}

/// Lists what stands of the environment, in the order in which it is taken down; `groups` are its security groups,
/// `standing` is awaited beside the other reads. After an act, `planned` are the plan's items: kinds of which the plan
/// found nothing to remove are not asked for again.
///
/// # Errors
/// [`Error::InvalidInput`] where a tag tells another domain, or a certificate is to go whose domain is unknown.
pub async fn list(
    clients: &Clients,
    owner: &Owner,
    identity: &Identity,
    input: &Input,
    groups: Result<Vec<security_group::Tagged>>,
    standing: impl Future<Output = Result<Option<DomainRecords>>>,
    planned: Option<&[Item]>,
) -> Result<List> {
    let Identity { stack, name, .. } = identity;
    if identity.domain.is_none() && input.certificate == CertificatePolicy::Delete {
        return Err(Error::input(
            "$.domain",
            format!(
                "missing; nothing of environment {name} stands that tells it, and its certificate is found by domain"
            ),
        ));
    }
    let may_go = |resource: Kind| {
        let goes = |item: &Item| item.resource == resource && item.decision != Decision::Keep;
        planned.is_none_or(|items| items.iter().any(goes))
    };
    // AWS deletes no group that a load balancer stands in or a rule names: where ours has gone, so have they.
    let none_stands = groups.as_ref().is_ok_and(Vec::is_empty);
    let gone = none_stands && planned.is_some() && may_go(Kind::SecurityGroup);
    let (fronts, rules, certificates, standing) = tokio::join!(
        fronts(clients, identity, !gone),
        async { if gone { Ok(vec![]) } else { rule::find(&clients.ec2, stack, name).await } },
        async { if may_go(Kind::Certificate) { certificates(clients, identity, input).await } else { Ok(vec![]) } },
        standing,
    );
    let Fronts { load_balancer, protected, target_group, targets } = fronts;
    let may_stay = protected.is_err();
    // Where AWS refuses to tell, it refuses the deletion of one that is.
    let protected = protected.unwrap_or_default();
    let tagged = [load_balancer.as_ref().ok(), None].into_iter().flatten().flatten().map(|front| &front.tags);
    let tagged = tagged.chain(target_group.iter().flatten().map(|group| &group.tags));
    tagged.into_iter().try_for_each(|tags| identity.check_domain(tags))?;

    let mut list = List::default();
    let standing = list.known(standing, Kind::AliasRecord, identity.domain.clone().unwrap_or_default());
    let stays = match &load_balancer {
        Err(_) => Some((Decision::Unknown, "stays, as it is not known whether the load balancer stands")),
        Ok(Some(_)) if protected => {
            Some((Decision::Keep, "stays with its load balancer, whose deletion protection is on"))
        }
        Ok(_) => None,
    };
    let front = list.known(load_balancer, Kind::LoadBalancer, "");
    if let (Some(front), true) = (&front, protected) {
        list.kept = Some(format!(
            "deletion protection is on at the load balancer {}; switch it off there to let the environment go",
            front.arn
        ));
    }
    let behind = list.known(target_group, Kind::TargetGroup, "");
    let unknown_behind = targets.as_ref().err().cloned();
    if let Some(error) = &unknown_behind {
        list.listed.push(Listed::unknown(Kind::Address, "", unknown(error)));
    }
    let ids = list.known(targets, Kind::Instance, "");
    let previous = previous(identity, owner, standing.as_ref());
    list.copied = previous.as_ref().is_some_and(Ownership::has_copies);
    let remembered = previous.iter().flat_map(|ownership| &ownership.remembered).flat_map(|one| one.instances.values());
    let (asked, remembers) = (ids.iter().chain(remembered).cloned().collect(), previous.is_some());
    let (addresses, instances) = tokio::join!(
        async {
            let may_stand = may_go(Kind::Address) || !ids.is_empty() || remembers;
            if may_stand { address::find(&clients.ec2, &ids, stack, name).await } else { Ok(Addresses::default()) }
        },
        instance::find(&clients.ec2, &asked),
    );
    let consented = addresses.as_ref().map(|found| found.consented.clone()).unwrap_or_default();
    let mut destinations = Destinations {
        elastic: addresses.as_ref().map(|found| found.all.clone()).map_err(ToString::to_string),
        consented,
        undecided: None,
        instances: instances.as_ref().cloned().map_err(ToString::to_string),
        ends: HashMap::new(),
    };
    let addresses = list.known(addresses, Kind::Address, "").ours;
    let mut instances = list.known(instances, Kind::Instance, "");
    instances.retain(|instance| ids.contains(&instance.id));

    let users = users(clients, input, behind.as_ref(), &addresses, &instances).await;
    let undecided = unknown_behind.or(users.as_ref().err().cloned()).map(|error| error.to_string());
    destinations.undecided = undecided.or(destinations.elastic.clone().err()).filter(|_| !input.own_only);
    let view = View { own_only: input.own_only, addresses: &addresses, users: &users, behind: behind.as_ref() };
    let listed_addresses: Vec<Listed> = addresses.iter().map(|address| view.address(address)).collect();
    let protections = protections(clients, input, &instances).await;
    let listed_instances: Vec<Listed> =
        instances.iter().map(|instance| view.instance(instance, protections.contains(&instance.id))).collect();
    let going: Vec<Listed> = listed_addresses.iter().chain(&listed_instances).cloned().collect();
    destinations.ends = ends(&going, &addresses, &instances);

    let region = aws::region(&clients.config);
    let dns_name = front.as_ref().map(|front| front.dns_name.clone());
    let restoration = restoration(identity, owner, standing.as_ref(), dns_name.as_deref(), &destinations);
    list.listed.extend(restoration.map(|(domain, zone, restoration)| {
        let reason = restoration.reason.clone();
        let action = Action::Records { zone, restoration, may_stay };
        Listed::acted(Kind::AliasRecord, domain, Decision::Restore, reason, action)
    }));
    list.listed.extend(front.map(|front| listed_load_balancer(&front, &region)));
    let rules = list.known(rules, Kind::Rule, "");
    list.listed.extend(rules.into_iter().map(|rule| {
        let id = format!("{} in {}", rule.id, rule.group);
        Listed::acted(Kind::Rule, id, Decision::Remove, "ours; the group itself is yours", Action::Rule(rule))
    }));
    list.listed.extend(listed_addresses);
    list.listed.extend(listed_instances);
    let is_unknown =
        |item: &Item| item.decision == Decision::Unknown && [Kind::Instance, Kind::Address].contains(&item.resource);
    let leads = list.listed.iter().any(|listed| is_unknown(&listed.item));
    list.listed.extend(behind.map(|group| {
        let action = Action::TargetGroup(group.ids.arn.clone());
        let listed = Listed::acted(Kind::TargetGroup, group.ids.arn, Decision::Remove, "ours", action);
        if leads { listed.staying(Decision::Unknown, LEADS_BEHIND) } else { listed }
    }));
    let certificates = list.known(certificates, Kind::Certificate, "");
    list.listed.extend(certificates);
    let groups = list.known(groups, Kind::SecurityGroup, "");
    list.listed.extend(groups.into_iter().map(|group| {
        let action = Action::SecurityGroup(group.id.clone());
        Listed::acted(Kind::SecurityGroup, group.id, Decision::Remove, "ours", action)
    }));
    if let Some((decision, why)) = stays {
        list.listed = list.listed.into_iter().map(|listed| listed.staying(decision, why)).collect();
    }
    if let (Some(why), Some(front)) =
        (&list.kept, list.listed.iter_mut().find(|listed| listed.item.resource == Kind::LoadBalancer))
    {
        front.item.reason.clone_from(why);
    }
    Ok(list)
}

/// The load balancer and the target group of the environment's name where they are ours; somebody else's are left out.
struct Fronts {
    load_balancer: Result<Option<load_balancer::Tagged>>,
    /// By deletion protection.
    protected: Result<bool>,
    target_group: Result<Option<target_group::Tagged>>,
    /// Ids of the instances that are its targets.
    targets: Result<HashSet<String>>,
}

/// Reads them; no load balancer is asked for where none `may_stand`.
async fn fronts(clients: &Clients, identity: &Identity, may_stand: bool) -> Fronts {
    let Identity { stack, name, .. } = identity;
    let elb = &clients.elb;
    let (front, group) = tokio::join!(
        async { if may_stand { load_balancer::named(elb, name).await } else { Ok(None) } },
        target_group::named(elb, name),
    );
    let front_arn = front.iter().flatten().filter_map(|front| front.load_balancer_arn.clone());
    let group_arn: Vec<String> = group.iter().flatten().filter_map(|group| group.target_group_arn.clone()).collect();
    let arns: Vec<String> = front_arn.chain(group_arn.clone()).collect();
    let (tags, protected, targets) = tokio::join!(
        tags::by_arn(elb, &arns),
        async {
            match front.as_ref().ok().and_then(|front| front.as_ref()?.load_balancer_arn()) {
                Some(arn) => load_balancer::is_protected(elb, arn).await,
                None => Ok(false),
            }
        },
        async {
            match group_arn.first() {
                Some(arn) => target::instances(elb, arn).await,
                None => Ok(HashSet::new()),
            }
        },
    );
    let ours = |arn: Option<&str>| -> Result<Option<Tags>> {
        let Some(arn) = arn else { return Ok(None) };
        let tags = tags.as_ref().map_err(Clone::clone)?;
        Ok(tags.get(arn).filter(|tags| tags.are_of(stack, name)).cloned())
    };
    let load_balancer = front.and_then(|front| {
        let tags = ours(front.as_ref().and_then(|front| front.load_balancer_arn()))?;
        Ok(front.zip(tags).map(|(front, tags)| load_balancer::Tagged::of(&front, tags)))
    });
    let target_group = group.and_then(|group| {
        let tags = ours(group.as_ref().and_then(|group| group.target_group_arn()))?;
        Ok(group.zip(tags).map(|(group, tags)| target_group::Tagged::of(&group, tags)))
    });
    let targets = match &target_group {
        Ok(Some(_)) => targets,
        Ok(None) => Ok(HashSet::new()),
        Err(error) => Err(error.clone()),
    };
    Fronts { load_balancer, protected, target_group, targets }
}

/// The tags of the environment's load balancer or target group, where one stands that is ours.
///
/// # Errors
/// As [`Call`](crate::error::Call) sorts AWS's.
pub async fn tags_of_front(clients: &Clients, identity: &Identity) -> Result<Option<Tags>> {
    let Fronts { load_balancer, target_group, .. } = fronts(clients, identity, true).await;
    Ok(load_balancer?.map(|front| front.tags).or(target_group?.map(|group| group.tags)))
}

// --- DNS ---------------------------------------------------------------------------------------------------------

/// The ownership record of the environment, where it remembers a replaced one.
fn previous(identity: &Identity, owner: &Owner, standing: Option<&DomainRecords>) -> Option<Ownership> {
    let ownership = Ownership::parse(standing?.ownership.as_ref()?, identity.domain.as_ref()?)?;
    (ownership.is_of(owner, &identity.name) && !ownership.remembered.is_empty()).then_some(ownership)
}

/// What is to be done at the domain, with that and its zone.
fn restoration(
    identity: &Identity,
    owner: &Owner,
    standing: Option<&DomainRecords>,
    load_balancer: Option<&str>,
    destinations: &Destinations,
) -> Option<(String, String, Restoration)> {
    let (domain, zone) = (identity.domain.clone()?, identity.zone.clone()?);
    let now = |kind: &RrType, value: &str, instance: Option<&str>| destinations.now(kind, value, instance);
    let restoration = dns::restore(owner, &identity.name, &domain, standing?, load_balancer, now)?;
    Some((domain, zone, restoration))
}

/// Where addresses and names lead; a text says what AWS refused to tell.
struct Destinations {
    /// The account's Elastic IPs.
    elastic: std::result::Result<HashSet<String>, String>,
    instances: std::result::Result<Vec<AtTeardown>, String>,
    /// Elastic IPs whose user consented to their release.
    consented: HashSet<String>,
    /// Why it is not known of what the user has consented to whether the teardown is to end it.
    undecided: Option<String>,
    /// Addresses and names that end with what the teardown is to end, by the id of that.
    ends: HashMap<String, String>,
}

impl Destinations {
    /// Where the value of a replaced record leads, which led to `instance` then. An address that is nobody's any more may be a
    /// stranger's tomorrow, who would serve the user's domain.
    fn now(&self, kind: &RrType, value: &str, instance: Option<&str>) -> Now {
        let there = destination(value);
        let ends_with = self.ends.get(&there);
        let at = |value: String| {
            let ends_with = self.ends.get(&destination(&value)).cloned();
            Now::At { value, ends_with }
        };
        // As long as it is not known to be an Elastic IP's it is not known either whether it ends with an instance.
        let elastic = match &self.elastic {
            Ok(all) => Ok(all.contains(&there)),
            Err(why) => Err(Now::Unknown(why.clone())),
        };
        if let (Some(_), Err(unknown)) = (ends_with, &elastic) {
            return unknown.clone();
        }
        if let (Some(why), true) = (&self.undecided, self.consented.contains(&there)) {
            return Now::Unknown(why.clone());
        }
        let is_elastic = elastic.as_ref().is_ok_and(|is_elastic| *is_elastic);
        let Some(id) = instance.filter(|_| !is_elastic && ends_with.is_none()) else { return at(value.into()) };
        let instances = match &self.instances {
            Ok(instances) => instances,
            Err(why) => return Now::Unknown(why.clone()),
        };
        let instance = instances.iter().find(|instance| instance.id == id);
        if let (Some(why), Some(_)) = (&self.undecided, instance.and_then(|instance| instance.consent)) {
            return Now::Unknown(why.clone());
        }
        let present = instance.map(AtTeardown::present).unwrap_or_default();
        if present.contains(&there) {
            return at(value.into());
        }
        if let Err(unknown) = elastic {
            return unknown;
        }
        let Some(instance) = instance else { return Now::Nowhere(format!("instance {id} is gone")) };
        match present.into_iter().find(|one| dns::is_of_kind(one, kind)) {
            Some(value) => at(value),
            None => Now::Nowhere(format!("instance {id} is {} and has no such address now", instance.state)),
        }
    }
}

/// The addresses and names that end with what is to end, each with the id of that. Those of an instance that has an Elastic
/// IP are that one's.
fn ends(going: &[Listed], addresses: &[Address], instances: &[AtTeardown]) -> HashMap<String, String> {
    let ends = |key: &str| going.iter().filter_map(|listed| listed.action.as_ref()).find(|action| action.key() == key);
    let mut found = HashMap::new();
    for address in addresses.iter().filter(|address| ends(&address.allocation_id).is_some()) {
        found.insert(address.public_ip.clone(), address.allocation_id.clone());
    }
    for instance in instances {
        let elastic = addresses.iter().find(|address| address.instance.as_ref() == Some(&instance.id));
        let holder = elastic.map_or(&instance.id, |address| &address.allocation_id);
        if ends(holder).is_some() {
            found.extend(instance.public.iter().map(|address| (address.clone(), holder.clone())));
        }
        if matches!(ends(&instance.id), Some(Action::Instance { consent: Consent::Terminate, .. })) {
            found.extend(instance.ipv6.iter().map(|address| (address.clone(), instance.id.clone())));
        }
    }
    found
}

// --- What is decided ---------------------------------------------------------------------------------------------

fn listed_load_balancer(front: &load_balancer::Tagged, region: &str) -> Listed {
    let action = Action::LoadBalancer(front.arn.clone());
    let reason = "ours; its listeners go with it";
    Listed::acted(Kind::LoadBalancer, &front.arn, Decision::Remove, reason, action)
        .priced(price::load_balancer(region, front.zones))
}

/// What decides about the user's own instances and addresses, besides their consent.
struct View<'a> {
    own_only: bool,
    addresses: &'a [Address],
    /// What else uses an instance, by its id.
    users: &'a Result<HashMap<String, String>>,
    /// The environment's target group.
    behind: Option<&'a target_group::Tagged>,
}

impl View<'_> {
    fn address(&self, address: &Address) -> Listed {
        let id = format!("{} ({})", address.allocation_id, address.public_ip);
        if !address.consent {
            let yours =
                format!("yours; tag it {} = release to release it at teardown ($0.005 an hour)", tags::ON_TEARDOWN);
            return Listed::kept(Kind::Address, id, yours);
        }
        if self.own_only {
            return Listed::kept(Kind::Address, id, "yours; only a whole teardown touches it");
        }
        let action = |beside| Action::Address { address: address.clone(), beside };
        self.unless_used(address.instance.as_deref(), |reason, beside| {
            Listed::acted(Kind::Address, &id, Decision::Release, reason, action(beside)).priced(price::address())
        })
    }

    fn instance(&self, instance: &AtTeardown, is_protected: bool) -> Listed {
        let id = &instance.id;
        let kept = |reason: String| Listed::kept(Kind::Instance, id, reason);
        let Some(wish) = instance.consent else {
            let how = "stop or terminate to end its charges at teardown";
            return kept(format!("yours; tag it {} = {how}", tags::ON_TEARDOWN));
        };
        let Some(consent) = instance.ends() else { return kept(format!("already {}", instance.state)) };
        if self.own_only {
            return kept("yours; only a whole teardown touches it".into());
        }
        if let Some(group) = &instance.auto_scaling_group {
            return kept(format!("Auto Scaling group {group} would replace it; set that group's capacity instead"));
        }
        if is_protected {
            let what = if wish == Consent::Stop { "stop" } else { "stop or termination" };
            return kept(format!("{what} protection is on; switch it off there to let it go"));
        }
        let decision = if consent == Consent::Stop { Decision::Stop } else { Decision::Terminate };
        // A public address that is not an Elastic IP goes with it.
        let elastic = self.addresses.iter().any(|address| address.instance.as_ref() == Some(id));
        self.unless_used(Some(id), |reason, beside| {
            let action = Action::Instance { id: id.clone(), consent, beside };
            let listed = Listed::acted(Kind::Instance, id, decision, reason, action);
            if elastic || instance.public.is_empty() { listed } else { listed.priced(price::address()) }
        })
    }

    /// As listed by the user's consent, unless something else uses the instance: it may use it no more when its turn comes,
    /// as where a night takes down both.
    fn unless_used(&self, instance: Option<&str>, listed: impl Fn(&str, Option<TargetGroupIds>) -> Listed) -> Listed {
        let by_consent = || listed("you consented by tag", None);
        let Some(id) = instance else { return by_consent() };
        match self.users {
            Err(error) => {
                let why = format!("what else uses it is not known, so it stays: {error}");
                let Item { resource, id, .. } = by_consent().item;
                Listed::unknown(resource, id, why)
            }
            Ok(users) => match users.get(id) {
                Some(user) => {
                    let why = format!("{user} uses it");
                    listed("", self.behind.map(|group| group.ids.clone())).unless_still(why)
                }
                None => by_consent(),
            },
        }
    }
}

/// What else uses the instances that are to end, or whose addresses are.
async fn users(
    clients: &Clients,
    input: &Input,
    behind: Option<&target_group::Tagged>,
    addresses: &[Address],
    instances: &[AtTeardown],
) -> Result<HashMap<String, String>> {
    let ending = instances.iter().filter(|instance| instance.ends().is_some()).map(|instance| instance.id.clone());
    let of_addresses =
        addresses.iter().filter(|address| address.consent).filter_map(|address| address.instance.clone());
    let ids: HashSet<String> = ending.chain(of_addresses).collect();
    match behind {
        Some(behind) if !ids.is_empty() && !input.own_only => target::users(&clients.elb, &behind.ids, &ids).await,
        _ => Ok(HashMap::new()),
    }
}

/// The ids of those that EC2 would not end. Where AWS refuses to tell, it refuses to end one that it protects.
async fn protections(clients: &Clients, input: &Input, instances: &[AtTeardown]) -> HashSet<String> {
    let ending = instances.iter().filter(|_| !input.own_only);
    let asked = ending.filter_map(|instance| Some((&instance.id, instance.ends()?))).map(async |(id, consent)| {
        let is_protected = instance::is_protected(&clients.ec2, id, consent).await.unwrap_or_default();
        is_protected.then(|| id.clone())
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn certificates(clients: &Clients, identity: &Identity, input: &Input) -> Result<Vec<Listed>> {
    let Some(domain) = &identity.domain else { return Ok(vec![]) };
    let deletes = input.certificate == CertificatePolicy::Delete;
    let stays = |arn: &str| {
        let reason = "free; where it is ours, the next provision uses it, and \"certificate\": \"delete\" deletes it, unless something else uses it";
        Listed::kept(Kind::Certificate, arn, reason)
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
            let used = format!("used by {}", users.join(", "));
            listed.push(Listed::kept(Kind::Certificate, &certificate.arn, used));
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
        (false, None) => certificate::sharing_record(clients, domain, &going).await?,
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
        listed.push(Listed::acted(Kind::Certificate, arn, Decision::Remove, reason, action));
    }
    Ok(listed)
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
            auto_scaling_group: None,
            public: vec!["203.0.113.7".into()],
            ipv6: vec!["2001:db8::7".into()],
        }
    }

    fn elastic(consent: bool) -> Address {
        Address::of_instance("i-1", "203.0.113.7", consent)
    }

    fn decided(addresses: &[Address], instance: &AtTeardown, used_by: Option<&str>) -> Vec<Listed> {
        let users = Ok(used_by.map(|user| ("i-1".to_owned(), user.to_owned())).into_iter().collect());
        let view = View { own_only: false, addresses, users: &users, behind: None };
        addresses.iter().map(|address| view.address(address)).chain([view.instance(instance, false)]).collect()
    }

    #[test]
    fn an_address_goes_with_what_holds_it() {
        let (stop, terminate) = (Some(Consent::Stop), Some(Consent::Terminate));
        let cases: [(Vec<Address>, Option<Consent>, &[&str]); 7] = [
            (vec![], None, &[]),
            (vec![], stop, &["203.0.113.7 i-1"]),
            (vec![], terminate, &["2001:db8::7 i-1", "203.0.113.7 i-1"]),
            (vec![elastic(false)], stop, &[]),
            (vec![elastic(false)], terminate, &["2001:db8::7 i-1"]),
            (vec![elastic(true)], None, &["203.0.113.7 eipalloc-1"]),
            (vec![elastic(true)], stop, &["203.0.113.7 eipalloc-1"]),
        ];
        for (addresses, consent, wanted) in cases {
            let instance = instance(consent);
            let going = decided(&addresses, &instance, None);
            let mut found: Vec<String> = ends(&going, &addresses, &[instance])
                .into_iter()
                .map(|(address, holder)| format!("{address} {holder}"))
                .collect();
            found.sort();
            assert_eq!(found, wanted, "{addresses:?} {consent:?}");
        }
    }

    #[test]
    fn what_another_uses_is_kept_and_looked_at_again_in_its_turn() {
        for listed in decided(&[elastic(true)], &instance(Some(Consent::Stop)), Some("environment www")) {
            assert_eq!(listed.item.decision, Decision::Keep);
            assert_eq!(listed.item.reason, "environment www uses it");
            assert!(listed.action.is_some());
        }
    }

    #[test]
    fn an_auto_scaling_groups_instance_and_a_protected_one_are_left_alone() {
        let users = Ok(HashMap::new());
        let view = View { own_only: false, addresses: &[], users: &users, behind: None };
        let of_group = AtTeardown { auto_scaling_group: Some("web".into()), ..instance(Some(Consent::Terminate)) };
        assert!(view.instance(&of_group, false).item.reason.contains("Auto Scaling group web"));
        let protected = view.instance(&instance(Some(Consent::Terminate)), true);
        assert_eq!(protected.item.decision, Decision::Keep);
        assert!(protected.item.reason.starts_with("stop or termination protection is on"), "{}", protected.item.reason);
    }

    #[test]
    fn a_value_leads_to_what_the_users_instance_has_now() {
        let mut destinations = Destinations {
            elastic: Ok(HashSet::from(["203.0.113.9".to_owned()])),
            consented: HashSet::new(),
            undecided: None,
            instances: Ok(vec![instance(None)]),
            ends: HashMap::new(),
        };
        let at = |value: &str| Now::At { value: value.into(), ends_with: None };
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        assert_eq!(destinations.now(&RrType::Aaaa, "2001:db8::1", Some("i-1")), at("2001:db8::7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", None), at("198.51.100.1"));
        assert!(matches!(destinations.now(&RrType::A, "198.51.100.1", Some("i-2")), Now::Nowhere(_)));
        // What it leads to may end, and is not put back before that is known.
        destinations.undecided = Some("denied".into());
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        destinations.instances = Ok(vec![instance(Some(Consent::Stop))]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), Now::Unknown("denied".into()));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        destinations.consented = HashSet::from(["203.0.113.9".to_owned()]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), Now::Unknown("denied".into()));
        destinations.undecided = None;
        destinations.instances = Ok(vec![instance(None)]);
        let by_instances = destinations.instances.clone();
        destinations.instances = Err("denied".into());
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), Now::Unknown("denied".into()));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        // It may be an Elastic IP's, which neither moves nor ends with its instance.
        destinations.instances = by_instances;
        destinations.elastic = Err("denied".into());
        let unknown = Now::Unknown("denied".into());
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), unknown);
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-2")), unknown);
        destinations.ends = HashMap::from([("203.0.113.7".to_owned(), "i-1".to_owned())]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), unknown);
    }
}

//! The list of a teardown: everything of one environment that stands, with what is decided about each. The same list is the
//! plan, what is acted on, and the proof that nothing is left. No I/O.
//!
//! What AWS refuses to tell is listed as unknown: what it could touch stays, and all else goes.

use aws_sdk_route53::types::RrType;

use super::destinations::Destinations;
use super::entry::{Action, Entry};
use super::identity::Identity;
use super::item::{Decision, Item};
use super::survey::Survey;
use super::users_own::UsersOwn;
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::owner::Owner;
use crate::price;
use crate::resource::dns::{self, Ownership};
use crate::spec::teardown_input::TeardownInput;

/// Why the target group stays.
pub const LEADS_BEHIND: &str = "stays, as it leads the next teardown to the instances behind it";

#[derive(Debug, Default)]
pub struct List {
    /// In the order in which they are taken down, but for what is unknown.
    pub entries: Vec<Entry>,
    /// Why the environment is kept whole.
    pub kept: Option<String>,
    /// The error of a read that may succeed later.
    pub passing: Option<Error>,
    /// Copies of a wildcard's records are to serve the domain as long as anything of ours stands under it.
    pub copied: bool,
}

impl List {
    /// Decides about everything that was read.
    pub fn of(owner: &Owner, identity: &Identity, input: &TeardownInput, survey: &Survey) -> Self {
        let at_domain = survey.at_domain.as_ref().ok().and_then(Option::as_ref);
        let ownership = at_domain.and_then(|at_domain| identity.ownership(owner, at_domain));
        let mut list = List {
            kept: protection(survey),
            copied: ownership.as_ref().is_some_and(Ownership::has_copies),
            ..List::default()
        };
        list.note(&survey.at_domain, Kind::AliasRecord, identity.domain.as_ref());
        list.note(&survey.elb.load_balancer, Kind::LoadBalancer, None);
        list.note(&survey.elb.target_group, Kind::TargetGroup, None);
        list.note(&survey.elb.targets, Kind::Address, None);
        list.note(&survey.elb.targets, Kind::Instance, None);
        list.note(&survey.addresses, Kind::Address, None);
        list.note(&survey.instances, Kind::Instance, None);
        let users_own = users_own(input, survey);
        list.entries.extend(records(owner, identity, survey, &Destinations::of(survey, input, &users_own)));
        list.entries.extend(load_balancer(survey, &owner.region));
        list.note(&survey.rules, Kind::Rule, None);
        list.entries.extend(rules(survey));
        list.entries.extend(users_own);
        list.entries.extend(target_group(survey, &list.entries));
        list.note(&survey.certificates, Kind::Certificate, None);
        list.entries.extend(survey.certificates.iter().flat_map(|found| found.entries(identity.zone.as_ref())));
        list.note(&survey.groups, Kind::SecurityGroup, None);
        list.entries.extend(security_groups(survey));
        list.keep_whole(survey)
    }

    /// Lists as unknown what a read could not tell.
    fn note<T>(&mut self, read: &Result<T>, resource: Kind, id: Option<&String>) {
        let Err(error) = read else { return };
        let why =
            format!("what stands of it is not known, so it stays: {error}. Allow this call, then tear down again");
        self.entries.push(Entry::unknown(resource, id.cloned(), why));
        if matches!(error, Error::AwsUnavailable(_)) {
            self.passing = Some(error.clone());
        }
    }

    /// Keeps everything where the load balancer stays, or may stand unseen.
    fn keep_whole(mut self, survey: &Survey) -> Self {
        let stays = match (&survey.elb.load_balancer, &self.kept) {
            (Err(_), _) => Some((Decision::Unknown, "stays, as it is not known whether the load balancer stands")),
            (Ok(_), Some(_)) => Some((Decision::Keep, "stays with its load balancer, whose deletion protection is on")),
            (Ok(_), None) => None,
        };
        if let Some((decision, why)) = stays {
            self.entries = self.entries.into_iter().map(|entry| entry.staying(decision, why)).collect();
        }
        if let Some(why) = &self.kept {
            let of_load_balancer = self.entries.iter_mut().map(|entry| &mut entry.item);
            of_load_balancer
                .filter(|item| item.resource == Kind::LoadBalancer)
                .for_each(|item| item.reason.clone_from(why));
        }
        self
    }
}

/// Says why the environment is kept whole; `None` where it is not. Where AWS refuses to tell whether the load balancer is
/// protected, it refuses the deletion of one that is.
fn protection(survey: &Survey) -> Option<String> {
    let load_balancer = survey.elb.load_balancer.as_ref().ok()?.as_ref()?;
    survey.elb.protected.as_ref().is_ok_and(|is_protected| *is_protected).then(|| {
        let arn = &load_balancer.arn;
        format!("deletion protection is on at the load balancer {arn}; switch it off there to let the environment go")
    })
}

/// The addresses and instances of the user's.
fn users_own(input: &TeardownInput, survey: &Survey) -> Vec<Entry> {
    let group = survey.elb.target_group.as_ref().ok().and_then(Option::as_ref);
    let addresses = survey.own_addresses();
    let beside = group.map(|group| group.ids.clone());
    let own = UsersOwn { own_only: input.own_only, addresses, users: &survey.users, beside };
    let of_instances = survey.own_instances().into_iter().map(|instance| {
        let is_protected = survey.protected_instances.contains(&instance.id);
        own.instance(instance, is_protected)
    });
    addresses.iter().map(|address| own.address(address)).chain(of_instances).collect()
}

/// What is to be done at the domain, where anything there is ours.
fn records(owner: &Owner, identity: &Identity, survey: &Survey, destinations: &Destinations) -> Option<Entry> {
    let (domain, zone) = (identity.domain.as_ref()?, identity.zone.clone()?);
    let at_domain = survey.at_domain.as_ref().ok()?.as_ref()?;
    let load_balancer = survey.elb.load_balancer.as_ref().ok().and_then(Option::as_ref);
    let dns_name = load_balancer.map(|found| found.dns_name.as_str());
    let now = |kind: &RrType, value: &str, instance: Option<&str>| destinations.now(kind, value, instance);
    let restoration = dns::restore(owner, &identity.name, domain, at_domain, dns_name, now)?;
    let reason = restoration.reason.clone();
    let action = Action::Records { zone, restoration, may_stay: survey.elb.protected.is_err() };
    Some(Entry::acted(Kind::AliasRecord, domain, Decision::Restore, reason, action))
}

fn load_balancer(survey: &Survey, region: &str) -> Option<Entry> {
    let found = survey.elb.load_balancer.as_ref().ok()?.as_ref()?;
    let action = Action::LoadBalancer(found.arn.clone());
    let reason = "ours; its listeners go with it";
    let entry = Entry::acted(Kind::LoadBalancer, &found.arn, Decision::Remove, reason, action);
    Some(entry.priced(price::load_balancer(region, found.zones)))
}

/// The rules that admit the load balancer to the instances, in the user's security groups.
fn rules(survey: &Survey) -> impl Iterator<Item = Entry> {
    survey.rules.iter().flatten().map(|rule| {
        let (id, action) = (format!("{} in {}", rule.id, rule.group), Action::Rule(rule.clone()));
        Entry::acted(Kind::Rule, id, Decision::Remove, "ours; the group itself is yours", action)
    })
}

/// The target group; it stays where it is not known what stands behind it.
fn target_group(survey: &Survey, entries: &[Entry]) -> Option<Entry> {
    let group = survey.elb.target_group.as_ref().ok()?.as_ref()?;
    let action = Action::TargetGroup(group.ids.arn.clone());
    let entry = Entry::acted(Kind::TargetGroup, &group.ids.arn, Decision::Remove, "ours", action);
    let is_unknown =
        |item: &Item| item.decision == Decision::Unknown && [Kind::Instance, Kind::Address].contains(&item.resource);
    let leads = entries.iter().any(|entry| is_unknown(&entry.item));
    Some(if leads { entry.staying(Decision::Unknown, LEADS_BEHIND) } else { entry })
}

fn security_groups(survey: &Survey) -> impl Iterator<Item = Entry> {
    survey.groups.iter().flatten().map(|group| {
        let action = Action::SecurityGroup(group.id.clone());
        Entry::acted(Kind::SecurityGroup, &group.id, Decision::Remove, "ours", action)
    })
}

//! What a teardown does to the records at a domain: our alias goes, and what stood before comes back. No I/O.

use std::collections::HashSet;

use aws_sdk_route53::types::{ResourceRecordSet, RrType};
use serde::{Deserialize, Serialize};

use super::batch::Edit;
use super::domain_records::DomainRecords;
use super::ownership::{Ownership, Remembered};
use super::record::{describe, describe_all, is_address, points_at, resource_record, validates, values};
use crate::owner::Owner;
use crate::spec::input::Returned;

/// Where a value of a remembered record leads today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// To `value`. `ends_with` is the id of what the teardown ends and that holds this address, if anything.
    At { value: String, ends_with: Option<String> },
    /// To nothing of the user's, for this reason.
    Nowhere(String),
    /// AWS refuses to tell, for this reason.
    Unknown(String),
}

/// The edits of a teardown at a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restoration {
    /// Our aliases go.
    leave: Vec<Edit>,
    put_back: Vec<PutBack>,
    /// The ownership record goes where nothing is left that it must remember. Where copies of a wildcard's records come
    /// back, another one takes its place.
    forget: Vec<Edit>,
    /// Why something stays remembered and does not come back, where AWS refuses to tell where it leads.
    pub unknown: Option<String>,
    /// What comes of the records, in one line for the user.
    pub reason: String,
}

/// A record that comes back, unless something in `ends_with` has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PutBack {
    edit: Edit,
    ends_with: HashSet<String>,
    values: Vec<Returned>,
}

impl PutBack {
    /// A record that comes back whatever ends.
    fn always(record: &ResourceRecordSet) -> Self {
        PutBack { edit: Edit::Create(record.clone()), ends_with: HashSet::new(), values: vec![] }
    }
}

impl Restoration {
    /// Whether it depends on something that the teardown is yet to end what is put back.
    pub fn waits(&self) -> bool {
        self.put_back.iter().any(|one| !one.ends_with.is_empty())
    }

    /// Returns the whole batch, once the resources of these ids have ended.
    pub fn edits(&self, ended: &HashSet<String>) -> Vec<Edit> {
        let put_back = self.returning(ended).map(|one| &one.edit);
        self.leave.iter().chain(put_back).chain(&self.forget).cloned().collect()
    }

    /// Returns the part of the batch that writes no record: our alias goes, and what stood before stays remembered.
    pub fn leaving(&self) -> &[Edit] {
        &self.leave
    }

    /// Returns the values that come back and lead to an instance, once the resources of these ids have ended.
    pub fn returned(&self, ended: &HashSet<String>) -> Vec<Returned> {
        self.returning(ended).flat_map(|one| one.values.clone()).collect()
    }

    /// Describes for a message the records that come back, once the resources of these ids have ended.
    pub fn described(&self, ended: &HashSet<String>) -> String {
        describe_all(self.returning(ended).map(|one| one.edit.record()))
    }

    /// Describes for a message the records that do not come back because AWS refused to end what they lead to: the next
    /// teardown may end it. `None` where there are none.
    pub fn held(&self, refused: &HashSet<String>) -> Option<String> {
        let held = self.put_back.iter().filter(|one| !one.ends_with.is_disjoint(refused));
        let held: Vec<_> = held.map(|one| one.edit.record()).collect();
        (!held.is_empty()).then(|| describe_all(held))
    }

    fn returning<'a>(&'a self, ended: &'a HashSet<String>) -> impl Iterator<Item = &'a PutBack> {
        self.put_back.iter().filter(|one| one.ends_with.is_disjoint(ended))
    }
}

/// Returns the edits that take our alias away and put back what stood before; `None` where nothing at the domain is ours.
///
/// An alias is ours if it points at `load_balancer`, the DNS name of the one that stands, or at the one that the ownership
/// record names. An alias that somebody has changed by hand since is theirs: it stays, and only the ownership record goes.
/// What stood before comes back with the values that `now` returns for the record's type, each of its values, and the
/// instance to which that value led.
pub fn restore(
    owner: &Owner,
    environment: &str,
    domain: &str,
    at_domain: &DomainRecords,
    load_balancer: Option<&str>,
    now: impl Fn(&RrType, &str, Option<&str>) -> Now,
) -> Option<Restoration> {
    let ownership = Ownership::at(domain, at_domain).filter(|ownership| ownership.is_of(owner, environment));
    let named = ownership.as_ref().and_then(|ownership| ownership.target.as_deref());
    let is_ours = |record: &&ResourceRecordSet| [named, load_balancer].iter().flatten().any(|to| points_at(record, to));
    let is_copy = |record: &&ResourceRecordSet| ownership.as_ref().is_some_and(|ours| ours.has_copied(record));
    let addresses = at_domain.records.iter().filter(|record| is_address(record));
    let (ours, others): (Vec<_>, Vec<_>) = addresses.partition(is_ours);
    let (copies, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_copy);
    // Where only copies stand nothing else was done here: they go with the last of ours.
    let is_pointed = copies.is_empty() || !others.is_empty();
    if ours.is_empty() && !(ownership.is_some() && is_pointed) {
        return None;
    }
    let mut restoration = Restoration {
        leave: ours.into_iter().cloned().map(Edit::Delete).collect(),
        put_back: vec![],
        forget: ownership.as_ref().and(at_domain.ownership.clone()).map(Edit::Delete).into_iter().collect(),
        unknown: None,
        reason: String::new(),
    };
    let mut reasons = vec![];
    if !others.is_empty() {
        reasons.push(format!("changed by hand since, that stays: {}", describe_all(others)));
    } else if let Some(ownership) = &ownership {
        let replaced = ownership.remembered.iter().filter(|one| !one.wildcard);
        reasons.extend(replaced.map(|one| restoration.take_back(one, &now)));
        if ownership.has_copies() {
            reasons.push(restoration.serve(owner, environment, domain, &at_domain.served));
        }
    }
    restoration.reason = if reasons.is_empty() { "nothing stood there before".into() } else { reasons.join("; ") };
    Some(restoration)
}

impl Restoration {
    /// Adds copies of what a wildcard has now, with the ownership record that calls them ours. Returns what comes of it, for
    /// the user.
    fn serve(&mut self, owner: &Owner, environment: &str, domain: &str, served: &[ResourceRecordSet]) -> String {
        if served.is_empty() {
            return "not put back: the wildcard record that served it, as there is none any more".into();
        }
        self.put_back.extend(served.iter().map(PutBack::always));
        self.forget.push(Edit::Create(Ownership::of_copies(owner, environment, served).record(domain)));
        let copies = describe_all(served);
        format!("as long as anything of Albatross's stands under it, a copy of the wildcard's serves it: {copies}")
    }

    /// Adds a remembered record, as far as it comes back. Returns what comes of it, for the user.
    fn take_back(&mut self, remembered: &Remembered, now: impl Fn(&RrType, &str, Option<&str>) -> Now) -> String {
        let record = &remembered.record;
        let was = describe(record);
        if record.alias_target().is_some() {
            self.put_back.push(PutBack::always(record));
            return format!("put back: {was}");
        }
        let (mut present, mut returned, mut ends_with, mut nowhere) = (vec![], vec![], HashSet::new(), vec![]);
        for value in values(record) {
            let instance = remembered.instances.get(value);
            match now(record.r#type(), value, instance.map(String::as_str)) {
                Now::At { value, ends_with: with } => {
                    present.push(resource_record(&value));
                    let kind = record.r#type().to_string();
                    returned.extend(instance.map(|id| Returned { kind, value, instance: id.clone() }));
                    ends_with.extend(with);
                }
                Now::Nowhere(why) => nowhere.push(why),
                Now::Unknown(why) => {
                    self.forget.clear();
                    return self.unknown.insert(format!("not put back: {was}, as {why}")).clone();
                }
            }
        }
        if present.is_empty() {
            return format!("not put back: {was}, as {}", nowhere.join(" and "));
        }
        let values = Some(present);
        let mut present = record.clone();
        present.resource_records = values;
        let text = match (ends_with.is_empty(), *record == present) {
            (false, _) => format!("not put back, as what it points at goes too: {was}"),
            (true, true) => format!("put back: {was}"),
            (true, false) => format!("put back at its present address: {}; it was {was}", describe(&present)),
        };
        self.put_back.push(PutBack { edit: Edit::Create(present), ends_with, values: returned });
        text
    }
}

/// Returns the edits, beside the end of the lock, after which nothing of ours is left at a domain that a wildcard served: the
/// copies go, and the wildcard serves the domain again.
///
/// There are none as long as the validation record stands, as a wildcard serves no name under which anything stands. Where
/// something of somebody else's stands there, the copies stay and are nobody's.
pub fn farewell(owner: &Owner, environment: &str, domain: &str, at_domain: &DomainRecords) -> Vec<Edit> {
    let (Some(record), Some(ownership)) = (&at_domain.ownership, Ownership::at(domain, at_domain)) else {
        return vec![];
    };
    let is_pointed = ownership.target.is_some() || !ownership.is_of(owner, environment);
    if is_pointed || at_domain.beneath.iter().any(|record| validates(record, domain)) {
        return vec![];
    }
    let (copies, others): (Vec<_>, Vec<_>) = at_domain.records.iter().partition(|record| ownership.has_copied(record));
    let alone = others.is_empty() && at_domain.beneath.is_empty();
    let going = copies.into_iter().filter(|_| alone).chain([record]);
    going.cloned().map(Edit::Delete).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ownership::tests::{a, our_alias, owned, owned_by, owner, summary};
    use super::super::record::plain;
    use super::*;

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    fn as_it_was(_: &RrType, value: &str, _: Option<&str>) -> Now {
        Now::At { value: value.into(), ends_with: None }
    }

    fn restored(at_domain: &DomainRecords) -> Option<Restoration> {
        restore(&owner(), "api-example-com", DOMAIN, at_domain, None, as_it_was)
    }

    fn edits(restoration: &Restoration) -> String {
        summary(&restoration.edits(&HashSet::new()))
    }

    fn before(value: &str) -> DomainRecords {
        DomainRecords { records: vec![our_alias()], ownership: Some(owned(vec![a(value)])), ..DomainRecords::default() }
    }

    #[test]
    fn a_record_whose_address_goes_is_not_put_back_and_comes_back_where_that_stays() {
        let goes = |_: &RrType, value: &str, _: Option<&str>| Now::At {
            value: value.into(),
            ends_with: Some("eipalloc-1".into()),
        };
        let restoration = restore(&owner(), "api-example-com", DOMAIN, &before(INSTANCE), None, goes).unwrap();
        assert!(restoration.waits());
        assert!(restoration.reason.contains(INSTANCE), "{}", restoration.reason);
        assert_eq!(edits(&restoration), "delete A, create A, delete TXT");
        let address = HashSet::from(["eipalloc-1".into()]);
        assert_eq!(summary(&restoration.edits(&address)), "delete A, delete TXT");
        assert_eq!(restoration.held(&HashSet::new()), None);
        assert_eq!(restoration.held(&address).as_deref(), Some("api.example.com A 203.0.113.7"));
        assert_eq!(summary(restoration.leaving()), "delete A");
    }

    #[test]
    fn an_address_that_is_somebody_elses_by_now_is_not_put_back() {
        let nobody = |_: &RrType, _: &str, _: Option<&str>| Now::Nowhere("instance i-1 has no public address".into());
        let restoration = restore(&owner(), "api-example-com", DOMAIN, &before(INSTANCE), None, nobody).unwrap();
        assert_eq!(edits(&restoration), "delete A, delete TXT");
        assert!(restoration.reason.contains("i-1 has no public address"), "{}", restoration.reason);
        let moved = |_: &RrType, _: &str, _: Option<&str>| Now::At { value: "198.51.100.9".into(), ends_with: None };
        let restoration = restore(&owner(), "api-example-com", DOMAIN, &before(INSTANCE), None, moved).unwrap();
        assert_eq!(restoration.described(&HashSet::new()), "api.example.com A 198.51.100.9");
        assert!(restoration.reason.contains(INSTANCE) && restoration.reason.contains("198.51.100.9"));
    }

    #[test]
    fn what_aws_does_not_tell_stays_remembered() {
        let unknown = |_: &RrType, _: &str, _: Option<&str>| Now::Unknown("ec2:DescribeInstances is denied".into());
        let restoration = restore(&owner(), "api-example-com", DOMAIN, &before(INSTANCE), None, unknown).unwrap();
        assert_eq!(edits(&restoration), "delete A");
        assert!(restoration.unknown.unwrap().contains(INSTANCE));
    }

    #[test]
    fn an_alias_to_our_load_balancer_is_ours_without_its_ownership_record() {
        let at_domain = DomainRecords { records: vec![our_alias()], ownership: None, ..DomainRecords::default() };
        let with = |load_balancer| restore(&owner(), "x", DOMAIN, &at_domain, load_balancer, as_it_was);
        assert_eq!(edits(&with(Some("Our-ELB.amazonaws.com")).unwrap()), "delete A");
        assert_eq!(with(Some("another-elb.amazonaws.com")), None);
        assert_eq!(with(None), None);
    }

    #[test]
    fn what_a_wildcard_served_is_served_by_a_copy_of_what_that_has_now() {
        let mut ownership = Ownership::parse(&owned(vec![a(INSTANCE)]), DOMAIN).unwrap();
        ownership.remembered[0].wildcard = true;
        let pointed = DomainRecords {
            records: vec![our_alias()],
            ownership: Some(ownership.record(DOMAIN)),
            served: vec![a("198.51.100.9")],
            ..DomainRecords::default()
        };
        let restoration = restored(&pointed).unwrap();
        assert_eq!(edits(&restoration), "delete A, create A, delete TXT, create TXT");
        assert_eq!(restoration.described(&HashSet::new()), "api.example.com A 198.51.100.9");
        let Some(Edit::Create(txt)) = restoration.edits(&HashSet::new()).pop() else { panic!("{restoration:?}") };
        let after =
            DomainRecords { records: vec![a("198.51.100.9")], ownership: Some(txt), ..DomainRecords::default() };
        assert_eq!(restored(&after), None);
        let gone = DomainRecords { served: vec![], ..pointed };
        assert_eq!(edits(&restored(&gone).unwrap()), "delete A, delete TXT");
    }

    #[test]
    fn restore_leaves_what_was_changed_by_hand() {
        let by_hand = DomainRecords {
            records: vec![a("198.51.100.1")],
            ownership: Some(owned(vec![a(INSTANCE)])),
            ..DomainRecords::default()
        };
        assert_eq!(edits(&restored(&by_hand).unwrap()), "delete TXT");
        let others = DomainRecords {
            records: vec![our_alias()],
            ownership: Some(owned_by("other", "x", vec![])),
            ..DomainRecords::default()
        };
        assert_eq!(restored(&others), None);
    }

    #[test]
    fn the_last_of_ours_leaves_the_domain_to_the_wildcard() {
        let ownership = || Ownership::of_copies(&owner(), "api-example-com", &[a(INSTANCE)]).record(DOMAIN);
        let validation = || plain("_0a.api.example.com.", RrType::Cname, 60, "_1.xlf.acm-validations.aws.");
        let theirs = || plain("x.api.example.com.", RrType::A, 60, "198.51.100.1");
        let mail = || plain("api.example.com.", RrType::Mx, 60, "10 mail.example.com");
        let left = |records: Vec<ResourceRecordSet>, ownership: ResourceRecordSet, beneath: Vec<ResourceRecordSet>| {
            let at_domain = DomainRecords { records, ownership: Some(ownership), beneath, ..DomainRecords::default() };
            summary(&farewell(&owner(), "api-example-com", DOMAIN, &at_domain))
        };
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![]), "delete A, delete TXT");
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![validation()]), "");
        assert_eq!(left(vec![a(INSTANCE)], ownership(), vec![theirs()]), "delete TXT");
        assert_eq!(left(vec![a(INSTANCE), mail()], ownership(), vec![]), "delete TXT");
        assert_eq!(left(vec![a("198.51.100.9")], ownership(), vec![]), "delete TXT");
        assert_eq!(left(vec![our_alias()], owned(vec![]), vec![]), "");
        assert_eq!(farewell(&owner(), "api-example-com", DOMAIN, &DomainRecords::default()), []);
        let other = DomainRecords { ownership: Some(ownership()), ..DomainRecords::default() };
        assert_eq!(farewell(&owner(), "another", DOMAIN, &other), []);
    }
}

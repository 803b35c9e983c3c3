//! What a teardown does to the records of a domain: our alias goes, and what stood before comes back. No I/O.

use std::collections::HashSet;

use aws_sdk_route53::types::{ResourceRecordSet, RrType};
use serde::{Deserialize, Serialize};

use super::ownership::{Ownership, Previous};
use super::record::{Edit, describe, is_address, listed, points_at, resource_record};
use super::standing::Standing;
use crate::owner::Owner;
use crate::spec::input::Returned;

/// Where a value of a replaced record leads today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// Here; and what the teardown ends that holds it, by its id.
    At { value: String, ends_with: Option<String> },
    /// Nowhere that is the user's, for this reason.
    Nowhere(String),
    /// AWS refuses to tell.
    Unknown(String),
}

/// The edits of a teardown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restoration {
    /// Our aliases go.
    leave: Vec<Edit>,
    put_back: Vec<PutBack>,
    /// The ownership record goes, where nothing is left to be put back by it; or it says that copies of a wildcard's stand.
    forget: Vec<Edit>,
    /// Why something stays remembered and is not put back, where AWS refuses to tell what it leads to.
    pub unknown: Option<String>,
    /// One line for the user.
    pub reason: String,
}

/// A record that comes back, unless one of these ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PutBack {
    edit: Edit,
    ends_with: HashSet<String>,
    values: Vec<Returned>,
}

impl Restoration {
    /// What is put back depends on whether something ends that the teardown is yet to end.
    pub fn waits(&self) -> bool {
        self.put_back.iter().any(|one| !one.ends_with.is_empty())
    }

    /// The whole batch, where these have ended.
    pub fn edits(&self, ended: &HashSet<String>) -> Vec<Edit> {
        let put_back = self.returning(ended).map(|one| &one.edit);
        self.leave.iter().chain(put_back).chain(&self.forget).cloned().collect()
    }

    /// The part of the batch that needs no place for a record: what stood before stays remembered.
    pub fn leaving(&self) -> &[Edit] {
        &self.leave
    }

    /// What comes back of what led to an instance, where these have ended.
    pub fn returned(&self, ended: &HashSet<String>) -> Vec<Returned> {
        self.returning(ended).flat_map(|one| one.values.clone()).collect()
    }

    /// The records that come back, where these have ended, for a message.
    pub fn described(&self, ended: &HashSet<String>) -> String {
        listed(&self.returning(ended).map(|one| one.edit.record()).collect::<Vec<_>>())
    }

    /// The records that do not come back as the end of what they lead to was refused, for a message: the next teardown may end
    /// it. `None` where there are none.
    pub fn held(&self, refused: &HashSet<String>) -> Option<String> {
        let held = self.put_back.iter().filter(|one| !one.ends_with.is_disjoint(refused));
        let held: Vec<_> = held.map(|one| one.edit.record()).collect();
        (!held.is_empty()).then(|| listed(&held))
    }

    fn returning<'a>(&'a self, ended: &'a HashSet<String>) -> impl Iterator<Item = &'a PutBack> {
        self.put_back.iter().filter(|one| one.ends_with.is_disjoint(ended))
    }
}

/// The edits that take our alias away and put back what stood before; `None` where nothing at the domain is ours.
///
/// An alias is ours that points at `load_balancer`, the DNS name of the one that stands, or at the one that the ownership
/// record names. An alias that was changed by hand since is somebody's: it stays, and only the ownership record goes. What
/// stood before comes back leading to what is the user's `now`: its kind, its value and the instance that this led to.
pub fn restore(
    owner: &Owner,
    environment: &str,
    domain: &str,
    standing: &Standing,
    load_balancer: Option<&str>,
    now: impl Fn(&RrType, &str, Option<&str>) -> Now,
) -> Option<Restoration> {
    let ownership = standing.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    let ownership = ownership.filter(|ownership| ownership.is_of(owner, environment));
    let remembered = ownership.as_ref().and_then(|ownership| ownership.target.as_deref());
    let is_ours =
        |record: &&ResourceRecordSet| [remembered, load_balancer].iter().flatten().any(|to| points_at(record, to));
    let (ours, others): (Vec<_>, Vec<_>) =
        standing.records.iter().filter(|record| is_address(record)).partition(is_ours);
    let (copies, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|record| ownership.as_ref().is_some_and(|ownership| ownership.has_copied(record)));
    // Copies alone are all that has been done: they go with the last of ours.
    let is_pointed = copies.is_empty() || !others.is_empty();
    if ours.is_empty() && !(ownership.is_some() && is_pointed) {
        return None;
    }
    let mut restoration = Restoration {
        leave: ours.into_iter().cloned().map(Edit::Delete).collect(),
        put_back: vec![],
        forget: ownership.as_ref().and(standing.ownership.clone()).map(Edit::Delete).into_iter().collect(),
        unknown: None,
        reason: String::new(),
    };
    let mut reasons = vec![];
    if !others.is_empty() {
        reasons.push(format!("changed by hand since, that stays: {}", listed(&others)));
    } else {
        let previous = ownership.iter().flat_map(|ownership| &ownership.previous);
        for previous in previous.filter(|previous| !previous.wildcard) {
            reasons.push(restoration.take_back(previous, &now));
        }
        if ownership.as_ref().is_some_and(Ownership::has_copies) {
            reasons.push(restoration.serve(owner, environment, domain, &standing.served));
        }
    }
    if reasons.is_empty() {
        reasons.push("nothing stood there before".into());
    }
    restoration.reason = reasons.join("; ");
    Some(restoration)
}

impl Restoration {
    /// Adds copies of what a wildcard has now, with the ownership record that calls them ours; answers what comes of it, for
    /// the user.
    fn serve(&mut self, owner: &Owner, environment: &str, domain: &str, served: &[ResourceRecordSet]) -> String {
        if served.is_empty() {
            return "not put back: the wildcard record that served it, as there is none any more".into();
        }
        let copy = |record: &ResourceRecordSet| PutBack {
            edit: Edit::Create(record.clone()),
            ends_with: HashSet::new(),
            values: vec![],
        };
        self.put_back.extend(served.iter().map(copy));
        self.forget.push(Edit::Create(Ownership::of_copies(owner, environment, served).record(domain)));
        let copies = listed(&served.iter().collect::<Vec<_>>());
        format!("as long as anything of Albatross's stands under it, a copy of the wildcard's serves it: {copies}")
    }

    /// Adds a replaced record; answers what comes of it, for the user.
    fn take_back(&mut self, previous: &Previous, now: impl Fn(&RrType, &str, Option<&str>) -> Now) -> String {
        let record = &previous.record;
        let told = describe(record);
        if record.alias_target().is_some() {
            let edit = Edit::Create(record.clone());
            self.put_back.push(PutBack { edit, ends_with: HashSet::new(), values: vec![] });
            return format!("put back: {told}");
        }
        let (mut values, mut returned, mut ends_with, mut nowhere) = (vec![], vec![], HashSet::new(), vec![]);
        for value in record.resource_records().iter().map(|value| value.value()) {
            let instance = previous.instances.get(value);
            match now(record.r#type(), value, instance.map(String::as_str)) {
                Now::At { value, ends_with: with } => {
                    values.push(resource_record(&value));
                    returned.extend(instance.map(|instance| Returned {
                        kind: record.r#type().to_string(),
                        value,
                        instance: instance.clone(),
                    }));
                    ends_with.extend(with);
                }
                Now::Nowhere(why) => nowhere.push(why),
                Now::Unknown(why) => {
                    self.forget.clear();
                    let unknown = format!("not put back: {told}, as {why}");
                    self.unknown = Some(unknown.clone());
                    return unknown;
                }
            }
        }
        if values.is_empty() {
            return format!("not put back: {told}, as {}", nowhere.join(" and "));
        }
        let mut present = record.clone();
        present.resource_records = Some(values);
        let text = match (ends_with.is_empty(), *record == present) {
            (false, _) => format!("not put back, as what it points at goes too: {told}"),
            (true, true) => format!("put back: {told}"),
            (true, false) => format!("put back at its present address: {}; it was {told}", describe(&present)),
        };
        self.put_back.push(PutBack { edit: Edit::Create(present), ends_with, values: returned });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::ownership::tests::{a, our_alias, owned, owned_by, owner, summary};
    use super::*;

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    fn as_it_was(_: &RrType, value: &str, _: Option<&str>) -> Now {
        Now::At { value: value.into(), ends_with: None }
    }

    fn restored(standing: &Standing) -> Option<Restoration> {
        restore(&owner(), "api-example-com", DOMAIN, standing, None, as_it_was)
    }

    fn edits(restoration: &Restoration) -> String {
        summary(&restoration.edits(&HashSet::new()))
    }

    fn before(value: &str) -> Standing {
        Standing { records: vec![our_alias()], ownership: Some(owned(vec![a(value)])), ..Standing::default() }
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
        let standing = Standing { records: vec![our_alias()], ownership: None, ..Standing::default() };
        let with = |load_balancer| restore(&owner(), "x", DOMAIN, &standing, load_balancer, as_it_was);
        assert_eq!(edits(&with(Some("Our-ELB.amazonaws.com")).unwrap()), "delete A");
        assert_eq!(with(Some("another-elb.amazonaws.com")), None);
        assert_eq!(with(None), None);
    }

    #[test]
    fn what_a_wildcard_served_is_served_by_a_copy_of_what_that_has_now() {
        let mut ownership = Ownership::parse(&owned(vec![a(INSTANCE)]), DOMAIN).unwrap();
        ownership.previous[0].wildcard = true;
        let pointed = Standing {
            records: vec![our_alias()],
            ownership: Some(ownership.record(DOMAIN)),
            served: vec![a("198.51.100.9")],
            ..Standing::default()
        };
        let restoration = restored(&pointed).unwrap();
        assert_eq!(edits(&restoration), "delete A, create A, delete TXT, create TXT");
        assert_eq!(restoration.described(&HashSet::new()), "api.example.com A 198.51.100.9");
        let Some(Edit::Create(txt)) = restoration.edits(&HashSet::new()).pop() else { panic!("{restoration:?}") };
        let after = Standing { records: vec![a("198.51.100.9")], ownership: Some(txt), ..Standing::default() };
        assert_eq!(restored(&after), None);
        let gone = Standing { served: vec![], ..pointed };
        assert_eq!(edits(&restored(&gone).unwrap()), "delete A, delete TXT");
    }

    #[test]
    fn restore_leaves_what_was_changed_by_hand() {
        let by_hand = Standing {
            records: vec![a("198.51.100.1")],
            ownership: Some(owned(vec![a(INSTANCE)])),
            ..Standing::default()
        };
        assert_eq!(edits(&restored(&by_hand).unwrap()), "delete TXT");
        let others = Standing {
            records: vec![our_alias()],
            ownership: Some(owned_by("other", "x", vec![])),
            ..Standing::default()
        };
        assert_eq!(restored(&others), None);
    }
}

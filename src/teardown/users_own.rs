//! What a teardown decides about the user's own instances and Elastic IPs. No I/O.

use std::collections::HashMap;

use super::entry::{Action, Entry};
use super::item::{Decision, Item};
use crate::error::Result;
use crate::kind::Kind;
use crate::price;
use crate::resource::address::Address;
use crate::resource::instance::{AtTeardown, Consent};
use crate::resource::tags;
use crate::spec::ids::TargetGroupIds;

/// What decides about the user's own instances and addresses, besides their consent.
pub struct UsersOwn<'a> {
    /// The teardown touches nothing of the user's own.
    pub own_only: bool,
    pub addresses: &'a [Address],
    /// What else uses an instance, by its id.
    pub users: &'a Result<HashMap<String, String>>,
    /// The environment's target group, beside which others may use an instance.
    pub beside: Option<TargetGroupIds>,
}

impl UsersOwn<'_> {
    pub fn address(&self, address: &Address) -> Entry {
        let id = format!("{} ({})", address.allocation_id, address.public_ip);
        if !address.consent {
            let how = "release to release it at teardown ($0.005 an hour)";
            return Entry::kept(Kind::Address, id, format!("yours; tag it {} = {how}", tags::ON_TEARDOWN));
        }
        if self.own_only {
            return Entry::kept(Kind::Address, id, "yours; only a whole teardown touches it");
        }
        let action = |beside| Action::Address { address: address.clone(), beside };
        self.unless_used(address.instance.as_deref(), |reason, beside| {
            Entry::acted(Kind::Address, &id, Decision::Release, reason, action(beside)).priced(price::address())
        })
    }

    pub fn instance(&self, instance: &AtTeardown, is_protected: bool) -> Entry {
        let id = &instance.id;
        let kept = |reason: String| Entry::kept(Kind::Instance, id, reason);
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
        // A public address that is not an Elastic IP goes with the instance.
        let elastic = self.addresses.iter().any(|address| address.instance.as_ref() == Some(id));
        self.unless_used(Some(id), |reason, beside| {
            let action = Action::Instance { id: id.clone(), consent, beside };
            let entry = Entry::acted(Kind::Instance, id, decision, reason, action);
            if elastic || instance.public.is_empty() { entry } else { entry.priced(price::address()) }
        })
    }

    /// Decides as the user has consented, unless something else uses the instance. That is asked again when its turn comes, as
    /// a night may take down both.
    fn unless_used(&self, instance: Option<&str>, entry: impl Fn(&str, Option<TargetGroupIds>) -> Entry) -> Entry {
        let by_consent = || entry("you consented by tag", None);
        let Some(id) = instance else { return by_consent() };
        match self.users {
            Err(error) => {
                let why = format!("what else uses it is not known, so it stays: {error}");
                let Item { resource, id, .. } = by_consent().item;
                Entry::unknown(resource, id, why)
            }
            Ok(users) => match users.get(id) {
                Some(user) => entry(&format!("{user} uses it"), self.beside.clone()).kept_for_now(),
                None => by_consent(),
            },
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use aws_sdk_ec2::types::InstanceStateName;

    pub fn instance(consent: Option<Consent>) -> AtTeardown {
        AtTeardown {
            id: "i-1".into(),
            consent,
            state: InstanceStateName::Running,
            auto_scaling_group: None,
            public: vec!["203.0.113.7".into()],
            ipv6: vec!["2001:db8::7".into()],
        }
    }

    pub fn elastic(consent: bool) -> Address {
        Address::of_instance("i-1", "203.0.113.7", consent)
    }

    pub fn decided(addresses: &[Address], instance: &AtTeardown, used_by: Option<&str>) -> Vec<Entry> {
        let users = Ok(used_by.map(|user| ("i-1".to_owned(), user.to_owned())).into_iter().collect());
        let own = UsersOwn { own_only: false, addresses, users: &users, beside: None };
        addresses.iter().map(|address| own.address(address)).chain([own.instance(instance, false)]).collect()
    }

    #[test]
    fn what_another_uses_is_kept_and_looked_at_again_in_its_turn() {
        for entry in decided(&[elastic(true)], &instance(Some(Consent::Stop)), Some("environment www")) {
            assert_eq!(entry.item.decision, Decision::Keep);
            assert_eq!(entry.item.reason, "environment www uses it");
            assert!(entry.action.is_some());
        }
    }

    #[test]
    fn an_auto_scaling_groups_instance_and_a_protected_one_are_left_alone() {
        let users = Ok(HashMap::new());
        let own = UsersOwn { own_only: false, addresses: &[], users: &users, beside: None };
        let of_group = AtTeardown { auto_scaling_group: Some("web".into()), ..instance(Some(Consent::Terminate)) };
        assert!(own.instance(&of_group, false).item.reason.contains("Auto Scaling group web"));
        let protected = own.instance(&instance(Some(Consent::Terminate)), true);
        assert_eq!(protected.item.decision, Decision::Keep);
        assert!(protected.item.reason.starts_with("stop or termination protection is on"), "{}", protected.item.reason);
    }
}

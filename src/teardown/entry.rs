//! The entries of a teardown's list: an item, the action that carries its decision out, and when that has its turn. No I/O.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::item::{Decision, Item};
use crate::kind::Kind;
use crate::resource::address::Address;
use crate::resource::dns::Restoration;
use crate::resource::instance::Consent;
use crate::resource::security_group::rule::OpenRule;
use crate::spec::ids::{TargetGroupIds, ValidationRecord};

/// An item of the list, with the action that carries out its decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub item: Item,
    /// `None` where nothing is to be done.
    pub action: Option<Action>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// `may_stay`: AWS does not tell whether the load balancer is protected, so the domain leads there until the load balancer
    /// is gone.
    Records {
        zone: String,
        restoration: Restoration,
        may_stay: bool,
    },
    LoadBalancer(String),
    Rule(OpenRule),
    /// `beside`: something else used the instance when it was listed; whether it still does is asked again in its turn.
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
    /// `records`: the validation records that nothing else needs go with the certificate.
    Certificate {
        arn: String,
        zone: Option<String>,
        records: Vec<ValidationRecord>,
    },
    SecurityGroup(String),
}

/// When an action has its turn. The actions of one turn do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Visitors leave first, where it is known what comes back at the domain.
    Domain,
    LoadBalancer,
    /// Before the instances: an address is found by its instance, and instances by the target group.
    Addresses,
    Instances,
    Behind,
    /// Last of all: an environment is found by its security group.
    SecurityGroup,
}

impl Action {
    /// Returns the id of what the action ends, by which other actions know it.
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

    /// Returns what the action does to something of the user's own.
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

impl Entry {
    pub fn kept(resource: Kind, id: impl Into<String>, reason: impl Into<String>) -> Self {
        Entry { item: Item::new(resource, id, Decision::Keep, reason), action: None }
    }

    pub fn unknown(resource: Kind, id: Option<String>, reason: impl Into<String>) -> Self {
        Entry { item: Item::unknown(resource, id, reason), action: None }
    }

    pub fn acted(
        resource: Kind,
        id: impl Into<String>,
        decision: Decision,
        reason: impl Into<String>,
        action: Action,
    ) -> Self {
        Entry { item: Item::new(resource, id, decision, reason), action: Some(action) }
    }

    /// Sets the dollars an hour that end with the resource.
    pub fn priced(mut self, hourly: Decimal) -> Self {
        self.item.hourly = Some(hourly);
        self
    }

    /// Keeps the resource for now: the reason may have passed when its turn comes.
    pub fn kept_for_now(mut self) -> Self {
        self.item.decision = Decision::Keep;
        self
    }

    /// Takes back that the resource goes: it is kept, or unknown as something is on which it depends.
    pub fn staying(self, decision: Decision, why: &str) -> Self {
        if self.action.is_none() {
            return self;
        }
        let item = Item { decision, reason: why.into(), hourly: None, outcome: None, ..self.item };
        Entry { item, action: None }
    }
}

/// Returns the entries of which something is to be done.
pub fn due(entries: Vec<Entry>) -> Vec<Entry> {
    entries.into_iter().filter(|entry| entry.action.is_some()).collect()
}

/// Returns the items of entries.
pub fn items(entries: &[Entry]) -> Vec<Item> {
    entries.iter().map(|entry| entry.item.clone()).collect()
}

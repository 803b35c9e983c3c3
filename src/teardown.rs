//! The list that teardown plans with and acts on: one item a resource, each with a decision and its reason. No I/O.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::price::Rate;

/// A teardown execution's input: the environment by name or by domain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    pub name: Option<String>,
    pub domain: Option<String>,
    /// Where several public zones hold the domain and nothing stands that tells which.
    pub hosted_zone_id: Option<String>,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub certificate: CertificatePolicy,
    /// A rollback and a clean-up touch nothing but ours, whatever the user has consented to.
    #[serde(default)]
    pub own_only: bool,
    /// Of a rollback: the ARN of the provision execution, under whose lock it works. A dry run only gives that back.
    pub run: Option<String>,
}

/// Certificates are free, and ACM limits requests a year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificatePolicy {
    #[default]
    Keep,
    Delete,
}

/// One resource of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub resource: String,
    pub id: String,
    pub decision: Decision,
    pub reason: String,
    /// Dollars that end with it, where the decision is carried out and AWS bills it by the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Decimal>,
    /// Of an execution that acted: `done`, or `kept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Remove,
    Restore,
    Release,
    Stop,
    Terminate,
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    Kept,
}

impl Item {
    pub fn new(resource: &str, id: impl Into<String>, decision: Decision, reason: impl Into<String>) -> Self {
        Item { resource: resource.into(), id: id.into(), decision, reason: reason.into(), hourly: None, outcome: None }
    }
}

/// What the decisions of a list save, carried out. An instance's own price is not in it.
pub fn saves(items: &[Item]) -> Rate {
    Rate::of(items.iter().filter(|item| item.decision != Decision::Keep).filter_map(|item| item.hourly).sum())
}

/// What a finished teardown did: the plan's items and what turned up later, against the last listing, which is the proof.
///
/// What the last listing does not hold, or holds as kept, was done.
pub fn settle(plan: Vec<Item>, last: Vec<Item>) -> Vec<Item> {
    let mut settled: Vec<Item> = plan
        .into_iter()
        .map(|item| {
            let outcome = if item.decision == Decision::Keep { Outcome::Kept } else { Outcome::Done };
            Item { outcome: Some(outcome), ..item }
        })
        .collect();
    for item in last {
        if !settled.iter().any(|known| (&known.resource, &known.id) == (&item.resource, &item.id)) {
            settled.push(Item { outcome: Some(Outcome::Kept), ..item });
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_saves_nothing() {
        let priced = |decision| Item { hourly: Some("0.005".parse().unwrap()), ..Item::new("", "", decision, "") };
        let items = [priced(Decision::Release), priced(Decision::Keep), Item::new("", "", Decision::Remove, "")];
        assert_eq!(saves(&items).hourly, "0.005".parse().unwrap());
    }

    #[test]
    fn what_the_last_listing_lacks_was_done() {
        let gone = Item::new("load balancer", "lb", Decision::Remove, "");
        let kept = Item::new("certificate", "c", Decision::Keep, "free");
        let late = Item::new("instance", "i", Decision::Keep, "no consent");
        let settled = settle(vec![gone, kept.clone()], vec![kept, late]);
        let outcomes: Vec<_> = settled.iter().map(|item| (item.id.as_str(), item.outcome.unwrap())).collect();
        assert_eq!(outcomes, [("lb", Outcome::Done), ("c", Outcome::Kept), ("i", Outcome::Kept)]);
    }
}

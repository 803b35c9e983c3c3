//! The list that teardown plans with and acts on: one item a resource, each with a decision and its reason. No I/O.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
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
    /// Of a night's teardown: the ARN of the night's execution. It waits for an environment that is busy.
    pub night: Option<String>,
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
    pub resource: Kind,
    /// Empty where AWS refused to tell what stands.
    pub id: String,
    pub decision: Decision,
    pub reason: String,
    /// Dollars that end with it, where the decision is carried out and AWS bills it by the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Decimal>,
    /// Of an execution that acted.
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
    /// AWS refuses to tell what stands of this kind: what it could be stays.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    Kept,
    /// AWS refused; the reason has what it said.
    Refused,
}

impl Item {
    pub fn new(resource: Kind, id: impl Into<String>, decision: Decision, reason: impl Into<String>) -> Self {
        Item { resource, id: id.into(), decision, reason: reason.into(), hourly: None, outcome: None }
    }

    /// Whether the decision changes anything.
    pub fn acts(&self) -> bool {
        !matches!(self.decision, Decision::Keep | Decision::Unknown)
    }

    pub fn is(&self, other: &Item) -> bool {
        (&self.resource, &self.id) == (&other.resource, &other.id)
    }

    /// With what came of it in place of what was planned.
    pub fn ended(self, outcome: Outcome, reason: String) -> Self {
        Item { outcome: Some(outcome), reason, ..self }
    }

    fn named(&self) -> String {
        let id = if self.id.is_empty() { String::new() } else { format!(" {}", self.id) };
        format!("{}{id}: {}", self.resource, self.reason)
    }
}

/// What the decisions of a list save, carried out. An instance's own price is not in it.
pub fn saves(items: &[Item]) -> Rate {
    let counts = |item: &&Item| item.acts() && !matches!(item.outcome, Some(Outcome::Kept | Outcome::Refused));
    Rate::of(items.iter().filter(counts).filter_map(|item| item.hourly).sum())
}

/// What a finished teardown did: the plan's items and what turned up later, against the last listing, which is the proof.
///
/// What the last listing does not hold, or holds as kept, was done.
pub fn settle(plan: Vec<Item>, last: Vec<Item>) -> Vec<Item> {
    let mut settled: Vec<Item> = plan
        .into_iter()
        .map(|item| {
            let outcome = item.outcome.unwrap_or(if item.acts() { Outcome::Done } else { kept(&item) });
            Item { outcome: Some(outcome), ..item }
        })
        .collect();
    for item in last {
        if !settled.iter().any(|known| known.is(&item)) {
            let outcome = kept(&item);
            settled.push(Item { outcome: Some(outcome), ..item });
        }
    }
    settled
}

fn kept(item: &Item) -> Outcome {
    if item.decision == Decision::Unknown { Outcome::Refused } else { Outcome::Kept }
}

/// Each item that AWS refused, with what it said, and then what was to go and stays with it; empty where nothing was refused.
pub fn refusals(items: &[Item]) -> String {
    let refused: Vec<&Item> = items.iter().filter(|item| item.outcome == Some(Outcome::Refused)).collect();
    let staying = items.iter().filter(|item| item.acts() && item.outcome == Some(Outcome::Kept));
    let staying = staying.filter(|_| !refused.is_empty());
    refused.iter().copied().chain(staying).map(Item::named).collect::<Vec<_>>().join("; ")
}

/// A list in one line. `acted`: it tells of what was done, and otherwise of what would be.
pub fn summary(environment: &str, items: &[Item], acted: bool) -> String {
    let acting = items.iter().filter(|item| item.acts() && item.outcome != Some(Outcome::Kept)).count();
    let kept = items.len() - acting;
    match (acting, acted) {
        (0, _) if items.is_empty() => format!("nothing of environment {environment} stands; nothing was changed"),
        (0, _) => format!("nothing of environment {environment} is to go; {kept} kept"),
        (_, true) => format!("environment {environment}: {acting} ended, {kept} kept"),
        (_, false) => format!("environment {environment}: {acting} would end, {kept} would be kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_saves_nothing() {
        let priced =
            |decision| Item { hourly: Some("0.005".parse().unwrap()), ..Item::new(Kind::Target, "", decision, "") };
        let refused = priced(Decision::Release).ended(Outcome::Refused, "AccessDenied".into());
        let items = [
            priced(Decision::Release),
            priced(Decision::Keep),
            refused,
            Item::new(Kind::Target, "", Decision::Remove, ""),
        ];
        assert_eq!(saves(&items).hourly, "0.005".parse().unwrap());
    }

    #[test]
    fn what_the_last_listing_lacks_was_done() {
        let gone = Item::new(Kind::LoadBalancer, "lb", Decision::Remove, "");
        let kept = Item::new(Kind::Certificate, "c", Decision::Keep, "free");
        let late = Item::new(Kind::Instance, "i", Decision::Keep, "no consent");
        let settled = settle(vec![gone, kept.clone()], vec![kept, late]);
        let outcomes: Vec<_> = settled.iter().map(|item| (item.id.as_str(), item.outcome.unwrap())).collect();
        assert_eq!(outcomes, [("lb", Outcome::Done), ("c", Outcome::Kept), ("i", Outcome::Kept)]);
        assert_eq!(summary("api", &settled, true), "environment api: 1 ended, 2 kept");
    }

    #[test]
    fn what_was_refused_and_what_is_unknown_is_named() {
        let refused = Item::new(Kind::TargetGroup, "tg", Decision::Remove, "ours");
        let unknown = Item::new(Kind::Certificate, "", Decision::Unknown, "acm:ListCertificates: AccessDenied");
        let planned = vec![refused.clone().ended(Outcome::Refused, "AccessDenied".into()), unknown];
        let settled = settle(planned, vec![refused]);
        assert_eq!(settled.len(), 2);
        assert_eq!(
            refusals(&settled),
            "target group tg: AccessDenied; certificate: acm:ListCertificates: AccessDenied"
        );
    }

    #[test]
    fn what_stays_with_what_was_refused_is_named_after_it() {
        let item = |resource| Item::new(resource, "", Decision::Remove, "ours");
        let group = item(Kind::TargetGroup).ended(Outcome::Kept, "stays with its load balancer".into());
        let kept = Item::new(Kind::Certificate, "", Decision::Keep, "free").ended(Outcome::Kept, "free".into());
        assert_eq!(refusals(&[group.clone(), kept.clone()]), "");
        let refused = item(Kind::LoadBalancer).ended(Outcome::Refused, "AccessDenied".into());
        assert_eq!(
            refusals(&[group, kept, refused]),
            "load balancer: AccessDenied; target group: stays with its load balancer"
        );
    }

    #[test]
    fn a_list_of_nothing_says_so() {
        assert_eq!(summary("api", &[], true), "nothing of environment api stands; nothing was changed");
    }
}

//! The items of a teardown's list: one for each resource, with a decision, its reason, and what came of it. No I/O.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::price::Rate;

/// One resource of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub resource: Kind,
    /// `None` where AWS refuses to tell what stands. Answers have an empty text then.
    #[serde(with = "or_empty")]
    pub id: Option<String>,
    pub decision: Decision,
    pub reason: String,
    /// The dollars an hour that end once the decision is carried out, where AWS bills the resource by the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Decimal>,
    /// What came of it, once the execution has acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ItemOutcome>,
}

mod or_empty {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
        text.as_deref().unwrap_or_default().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
        String::deserialize(from).map(|text| Some(text).filter(|text| !text.is_empty()))
    }
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
    /// AWS refuses to tell what stands of this kind: whatever it is stays.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemOutcome {
    Done,
    Kept,
    /// AWS refused; the item's reason has what it said.
    Refused,
}

impl Item {
    pub fn new(resource: Kind, id: impl Into<String>, decision: Decision, reason: impl Into<String>) -> Self {
        Item { resource, id: Some(id.into()), decision, reason: reason.into(), hourly: None, outcome: None }
    }

    /// An item of which AWS refuses to tell whether it stands, and often its id, too.
    pub fn unknown(resource: Kind, id: Option<String>, reason: impl Into<String>) -> Self {
        Item { resource, id, decision: Decision::Unknown, reason: reason.into(), hourly: None, outcome: None }
    }

    /// Whether the decision changes anything.
    pub fn acts(&self) -> bool {
        !matches!(self.decision, Decision::Keep | Decision::Unknown)
    }

    /// Whether both are the same resource.
    pub fn is(&self, other: &Item) -> bool {
        (&self.resource, &self.id) == (&other.resource, &other.id)
    }

    /// Sets what came of the item, and why, in place of the plan's reason.
    pub fn ended(self, outcome: ItemOutcome, reason: String) -> Self {
        Item { outcome: Some(outcome), reason, ..self }
    }

    /// Names the item for a message: its kind, and its id where that is known.
    pub fn named(&self) -> String {
        match &self.id {
            Some(id) => format!("{} {id}", self.resource),
            None => self.resource.to_string(),
        }
    }

    /// The outcome of an item that was not acted on.
    fn untouched(&self) -> ItemOutcome {
        if self.decision == Decision::Unknown { ItemOutcome::Refused } else { ItemOutcome::Kept }
    }
}

/// Replaces the items that have ended, and adds those that are new.
pub fn merged(mut items: Vec<Item>, ended: Vec<Item>) -> Vec<Item> {
    for item in ended {
        match items.iter_mut().find(|known| known.is(&item)) {
            Some(known) => *known = item,
            None => items.push(item),
        }
    }
    items
}

/// Gives every item of a finished teardown its outcome: those of the plan, and those of the last listing that came later.
/// What was to go and was neither kept nor refused is done, as the last listing proves.
pub fn settle(plan: Vec<Item>, last: Vec<Item>) -> Vec<Item> {
    let settled = |item: Item| {
        let outcome = item.outcome.unwrap_or(if item.acts() { ItemOutcome::Done } else { item.untouched() });
        Item { outcome: Some(outcome), ..item }
    };
    let mut items: Vec<Item> = plan.into_iter().map(settled).collect();
    for item in last {
        if !items.iter().any(|known| known.is(&item)) {
            items.push(Item { outcome: Some(item.untouched()), ..item });
        }
    }
    items
}

/// Sums up what the decisions of a list save, carried out. An instance's own price is not in it.
pub fn saves(items: &[Item]) -> Rate {
    let counts = |item: &&Item| item.acts() && !matches!(item.outcome, Some(ItemOutcome::Kept | ItemOutcome::Refused));
    Rate::of(items.iter().filter(counts).filter_map(|item| item.hourly).sum())
}

/// Describes each item that AWS refused, with what it said, and then what was to go and stays with it; `None` where nothing
/// was refused.
pub fn refusals(items: &[Item]) -> Option<String> {
    let refused: Vec<&Item> = items.iter().filter(|item| item.outcome == Some(ItemOutcome::Refused)).collect();
    let staying = items.iter().filter(|item| item.acts() && item.outcome == Some(ItemOutcome::Kept));
    let described = |item: &Item| format!("{}: {}", item.named(), item.reason);
    let all = refused.iter().copied().chain(staying).map(described).collect::<Vec<_>>();
    (!refused.is_empty()).then(|| all.join("; "))
}

/// Describes a list in one line. `acted`: it says what was done, and otherwise what would be.
pub fn summary(environment: &str, items: &[Item], acted: bool) -> String {
    let acting = items.iter().filter(|item| item.acts() && item.outcome != Some(ItemOutcome::Kept)).count();
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
        let refused = priced(Decision::Release).ended(ItemOutcome::Refused, "AccessDenied".into());
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
        let outcomes: Vec<_> =
            settled.iter().map(|item| (item.id.as_deref().unwrap(), item.outcome.unwrap())).collect();
        assert_eq!(outcomes, [("lb", ItemOutcome::Done), ("c", ItemOutcome::Kept), ("i", ItemOutcome::Kept)]);
        assert_eq!(summary("api", &settled, true), "environment api: 1 ended, 2 kept");
    }

    #[test]
    fn what_was_refused_and_what_is_unknown_is_named() {
        let refused = Item::new(Kind::TargetGroup, "tg", Decision::Remove, "ours");
        let unknown = Item::unknown(Kind::Certificate, None, "acm:ListCertificates: AccessDenied");
        let planned = vec![refused.clone().ended(ItemOutcome::Refused, "AccessDenied".into()), unknown];
        let settled = settle(planned, vec![refused]);
        assert_eq!(settled.len(), 2);
        assert_eq!(
            refusals(&settled).unwrap(),
            "target group tg: AccessDenied; certificate: acm:ListCertificates: AccessDenied"
        );
    }

    #[test]
    fn what_stays_with_what_was_refused_is_named_after_it() {
        let item = |resource| Item { id: None, ..Item::new(resource, "", Decision::Remove, "ours") };
        let group = item(Kind::TargetGroup).ended(ItemOutcome::Kept, "stays with its load balancer".into());
        let kept = Item::new(Kind::Certificate, "", Decision::Keep, "free").ended(ItemOutcome::Kept, "free".into());
        assert_eq!(refusals(&[group.clone(), kept.clone()]), None);
        let refused = item(Kind::LoadBalancer).ended(ItemOutcome::Refused, "AccessDenied".into());
        assert_eq!(
            refusals(&[group, kept, refused]).unwrap(),
            "load balancer: AccessDenied; target group: stays with its load balancer"
        );
    }

    #[test]
    fn a_list_of_nothing_says_so() {
        assert_eq!(summary("api", &[], true), "nothing of environment api stands; nothing was changed");
    }

    #[test]
    fn an_unknown_id_is_written_as_an_empty_text() {
        let item = Item::unknown(Kind::Instance, None, "denied");
        let written = serde_json::to_value(&item).unwrap();
        assert_eq!(written["id"], "");
        assert_eq!(serde_json::from_value::<Item>(written).unwrap(), item);
    }
}

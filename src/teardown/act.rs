//! Carries out what a list decides, each item for itself: an item waits for what it needs and for no more, and one that AWS
//! refuses holds up nothing that does not need it.

use std::collections::HashSet;

use aws_sdk_ec2 as ec2;
use futures_util::future::join_all;

use super::identity::Identity;
use super::item::{Decision, Item, Outcome};
use super::list::{Action, LEADS_BEHIND, Listed, Turn};
use crate::aws::Clients;
use crate::error::{Codes, Error, Result};
use crate::resource::address;
use crate::resource::certificate;
use crate::resource::dns::{self, Edit, Restoration};
use crate::resource::instance::{self, Consent};
use crate::resource::load_balancer;
use crate::resource::security_group::{self, rule};
use crate::resource::{target, target_group};
use crate::spec::ids::{TargetGroupIds, ValidationRecord};
use crate::spec::input::Returned;

/// How a list is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What passes is worth another try; else it counts as refused. A denial may pass: AWS may not know yet the tags of what
    /// was made a moment ago.
    pub patient: bool,
    /// It is tried again, as the load balancer's end may have failed: the domain leads there until that is gone.
    pub again: bool,
    /// Something is left already that AWS refuses to end or to tell: what leads the next teardown to it stays.
    pub left: bool,
}

/// What came of a list.
#[derive(Debug, Default)]
pub struct Acted {
    /// Items that ended otherwise than planned.
    pub ended: Vec<Item>,
    /// What AWS has not let go of yet.
    pub waiting: Vec<Listed>,
    /// AWS failed a call that may succeed later.
    pub passing: Option<Error>,
    /// What came back at the domain.
    pub put_back: Vec<Returned>,
    /// Keys of what has ended, and of what was refused.
    gone: HashSet<String>,
    refused: HashSet<String>,
    /// Something was refused that the target group leads to.
    left_behind: bool,
    /// What was done at the domain before the load balancer's turn.
    at_domain: Option<(String, Vec<Edit>)>,
}

/// What came of one action that AWS did not refuse.
enum Done {
    Ended,
    /// Of records: what was done, and what came back.
    Restored {
        edits: Vec<Edit>,
        put_back: Vec<Returned>,
    },
    Kept(String),
    /// As far as AWS let it; and what is left.
    Partly(String),
}

/// Why an action is not carried out.
enum Blocked {
    Kept(&'static str),
    Waits,
    /// For something that is worth another try.
    Passing,
}

/// Carries out all that it can, turn by turn.
pub async fn act(clients: &Clients, identity: &Identity, list: &[Listed], manner: Manner) -> Acted {
    let turn = |action: &Action| match action.turn() {
        Turn::Domain if manner.again => Turn::Behind,
        turn => turn,
    };
    let mut due: Vec<(Turn, &Listed, &Action)> =
        list.iter().filter_map(|listed| listed.action.as_ref().map(|action| (turn(action), listed, action))).collect();
    due.sort_by_key(|(turn, ..)| *turn);
    let load_balancer = due.iter().map(|(.., action)| *action).find(|action| matches!(action, Action::LoadBalancer(_)));
    let mut acted = Acted::default();
    for at_once in due.chunk_by(|(one, ..), (other, ..)| one == other) {
        let mut open = vec![];
        for (turn, listed, action) in at_once {
            match acted.blocked(*turn, action, load_balancer, manner.left) {
                None => open.push((*listed, *action)),
                Some(Blocked::Kept(why)) => acted.ended.push(listed.item.clone().ended(Outcome::Kept, why.into())),
                Some(Blocked::Waits) => acted.waiting.push((*listed).clone()),
                Some(Blocked::Passing) => {}
            }
        }
        // All to their end, whatever one of them says.
        let done = join_all(open.iter().map(|(_, action)| carry_out(clients, identity, action, &acted))).await;
        for ((listed, action), done) in open.into_iter().zip(done) {
            acted.note(listed, action, done.authorised_late(manner.patient), manner.patient);
        }
        let had_its_turn = at_once.iter().any(|(turn, ..)| *turn == Turn::LoadBalancer);
        if had_its_turn && load_balancer.is_some_and(|action| !acted.gone.contains(action.key())) {
            acted.return_domain(clients, list).await;
        }
    }
    acted
}

impl Acted {
    fn blocked(&self, turn: Turn, action: &Action, load_balancer: Option<&Action>, left: bool) -> Option<Blocked> {
        let stands = load_balancer.filter(|load_balancer| !self.gone.contains(load_balancer.key()));
        if let Some(load_balancer) = stands.filter(|_| turn > Turn::LoadBalancer) {
            let is_refused = self.refused.contains(load_balancer.key());
            return Some(if is_refused { Blocked::Kept("stays with its load balancer") } else { Blocked::Passing });
        }
        match action {
            Action::TargetGroup(_) if self.left_behind => Some(Blocked::Kept(LEADS_BEHIND)),
            Action::SecurityGroup(_) if !self.waiting.is_empty() => Some(Blocked::Waits),
            Action::SecurityGroup(_) if left || !self.refused.is_empty() => {
                Some(Blocked::Kept("stays, as it leads the next teardown to what is left"))
            }
            Action::TargetGroup(_) | Action::SecurityGroup(_) if self.passing.is_some() => Some(Blocked::Passing),
            // What it is to lead to may end with the next try.
            Action::Records { restoration, .. } if self.passing.is_some() && restoration.waits() => {
                Some(Blocked::Passing)
            }
            _ => None,
        }
    }

    fn note(&mut self, listed: &Listed, action: &Action, done: Result<Done>, patient: bool) {
        let item = listed.item.clone();
        let (resource, id, decision) = (&listed.item.resource, &listed.item.id, listed.item.decision);
        match done {
            Ok(Done::Ended) => {
                tracing::info!(%resource, id, ?decision);
                self.gone.insert(action.key().into());
                // It was planned to be kept for as long as something else used it.
                if let Some(decision) = action.decision().filter(|_| item.decision == Decision::Keep) {
                    let ended = Item { decision, ..item };
                    self.ended.push(ended.ended(Outcome::Done, "you consented by tag".into()));
                }
            }
            Ok(Done::Restored { edits, put_back }) => {
                tracing::info!(%resource, id, ?decision);
                if let (Action::Records { zone, .. }, Turn::Domain) = (action, action.turn()) {
                    self.at_domain = Some((zone.clone(), edits));
                }
                self.put_back = put_back;
            }
            Ok(Done::Kept(why)) => self.ended.push(item.ended(Outcome::Kept, why)),
            Ok(Done::Partly(left)) => self.refuse(item, action, left),
            Err(Error::StillDeleting(_)) => self.waiting.push(listed.clone()),
            Err(error @ Error::AwsUnavailable(_)) if patient || dns::is_outdated(&error) => self.passing = Some(error),
            Err(Error::TeardownIncomplete(held)) => self.refuse(item, action, held),
            Err(error) => self.refuse(item, action, error.to_string()),
        }
    }

    fn refuse(&mut self, item: Item, action: &Action, why: String) {
        tracing::warn!(resource = %item.resource, id = item.id, "{why}");
        self.refused.insert(action.key().into());
        self.left_behind |= matches!(action, Action::Address { .. } | Action::Instance { .. });
        self.ended.push(item.ended(Outcome::Refused, why));
    }

    /// The load balancer stays, so the domain goes on to lead there.
    async fn return_domain(&mut self, clients: &Clients, list: &[Listed]) {
        let Some((zone, edits)) = self.at_domain.take() else { return };
        let records = list.iter().find(|listed| matches!(listed.action, Some(Action::Records { .. })));
        let Some(item) = records.map(|listed| listed.item.clone()) else { return };
        let undone: Vec<Edit> = edits.into_iter().rev().map(Edit::undone).collect();
        self.put_back.clear();
        self.ended.push(
            match dns::apply(&clients.route53, &zone, &undone, "Albatross: the load balancer stays").await {
                Ok(()) => item.ended(Outcome::Kept, "stays with its load balancer".into()),
                Err(error) => {
                    let why =
                        format!("it leads away from its load balancer, which stays, and does not go back: {error}");
                    item.ended(Outcome::Refused, why)
                }
            },
        );
    }
}

/// Carries out one decision, after what has `acted` before. Again is safe.
async fn carry_out(clients: &Clients, identity: &Identity, action: &Action, acted: &Acted) -> Result<Done> {
    let Clients { acm, ec2, elb, route53, .. } = clients;
    let done = match action {
        Action::Records { zone, restoration, .. } => return restore(route53, zone, restoration, acted).await,
        Action::LoadBalancer(arn) => load_balancer::remove(elb, arn).await,
        Action::Address { address, beside } => {
            if let Some(user) = user(clients, beside.as_ref(), address.instance.as_deref()).await? {
                return Ok(Done::Kept(user));
            }
            address::remove(ec2, address, &identity.stack, &identity.name).await
        }
        Action::Instance { id, consent, beside } => {
            if let Some(user) = user(clients, beside.as_ref(), Some(id)).await? {
                return Ok(Done::Kept(user));
            }
            return end(ec2, id, *consent).await;
        }
        Action::Rule(open) => rule::remove(ec2, open).await,
        Action::TargetGroup(arn) => target_group::remove(elb, arn).await,
        Action::SecurityGroup(id) => security_group::remove(ec2, id).await,
        Action::Certificate { arn, zone, records } => {
            // The record first: without the certificate nothing tells its name.
            remove_records(clients, zone.as_deref(), records).await?;
            certificate::remove(acm, arn).await
        }
    };
    done.map(|()| Done::Ended)
}

/// What still uses an instance beside the environment.
async fn user(clients: &Clients, beside: Option<&TargetGroupIds>, instance: Option<&str>) -> Result<Option<String>> {
    let (Some(beside), Some(id)) = (beside, instance) else { return Ok(None) };
    let users = target::users(&clients.elb, beside, &HashSet::from([id.to_owned()])).await?;
    Ok(users.get(id).map(|user| format!("{user} uses it")))
}

/// Ends an instance; EC2 says of a protected one what no look could tell.
async fn end(client: &ec2::Client, id: &str, consent: Consent) -> Result<Done> {
    match instance::remove(client, id, consent).await {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["OperationNotPermitted"]) => {
            Ok(Done::Kept(format!("EC2 does not end it: {}", refusal.message)))
        }
        other => other.map(|()| Done::Ended),
    }
}

async fn remove_records(clients: &Clients, zone: Option<&str>, records: &[ValidationRecord]) -> Result<()> {
    let Some(zone) = zone else { return Ok(()) };
    for record in records {
        // With its zone a record is gone, too.
        dns::remove_cname(&clients.route53, zone, record).await.unless(&["NoSuchHostedZone"])?;
    }
    Ok(())
}

/// The whole batch, or else the part that needs no place for a record.
async fn restore(
    client: &aws_sdk_route53::Client,
    zone: &str,
    restoration: &Restoration,
    Acted { gone, refused, .. }: &Acted,
) -> Result<Done> {
    const COMMENT: &str = "Albatross: put back what stood before";
    let (edits, put_back) = (restoration.edits(gone), restoration.returned(gone));
    let no_zone = &["NoSuchHostedZone"];
    if let Some(held) = restoration.held(refused) {
        if !restoration.leaving().is_empty() {
            dns::apply(client, zone, restoration.leaving(), COMMENT).await.unless(no_zone)?;
        }
        return Ok(Done::Partly(format!(
            "our alias is gone; not put back: {held}, as what it leads to was to end, and AWS refuses that"
        )));
    }
    match dns::apply(client, zone, &edits, COMMENT).await.unless(no_zone) {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["InvalidChangeBatch"]) => {
            if !restoration.leaving().is_empty() {
                dns::apply(client, zone, restoration.leaving(), COMMENT).await.unless(no_zone)?;
            }
            Ok(Done::Partly(format!(
                "our alias is gone; not put back: {}, as Route 53 refuses: {}. Make room for it and tear down again, or write it by hand",
                restoration.described(gone),
                refusal.message
            )))
        }
        Err(other) => Err(other),
        Ok(_) => Ok(match &restoration.unknown {
            Some(unknown) => Done::Partly(unknown.clone()),
            None => Done::Restored { edits, put_back },
        }),
    }
}

//! Carries out what a list decides, each entry for itself: an entry waits for what it needs and for no more, and one that AWS
//! refuses holds up nothing that does not need it.

use std::collections::HashSet;

use aws_sdk_ec2 as ec2;
use aws_sdk_route53 as route53;
use futures_util::future::join_all;

use super::call::Call;
use super::entry::{Action, Entry, Turn};
use super::identity::Identity;
use super::item::{Decision, Item, ItemOutcome};
use super::list::LEADS_BEHIND;
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

/// What came of a list.
#[derive(Debug, Default)]
pub struct Acted {
    /// Items that ended otherwise than planned.
    pub ended: Vec<Item>,
    /// Entries whose resources AWS has not let go of yet.
    pub waiting: Vec<Entry>,
    /// What came back at the domain.
    pub put_back: Vec<Returned>,
    /// The error of a call that may succeed later.
    passing: Option<Error>,
    /// Keys of what has ended, and of what was refused.
    gone: HashSet<String>,
    refused: HashSet<String>,
    /// Something was refused before that AWS refuses to end or to tell: what leads the next teardown to it stays.
    left_before: bool,
    /// Something was refused to which the target group leads.
    left_behind: bool,
    /// The zone and the edits of what was done at the domain before the load balancer's turn.
    at_domain: Option<(String, Vec<Edit>)>,
}

/// What one action did, where AWS did not refuse it.
enum Effect {
    Ended,
    /// Of records: the edits, and what came back.
    Restored {
        edits: Vec<Edit>,
        put_back: Vec<Returned>,
    },
    /// The resource stays, for this reason.
    Kept(String),
    /// AWS let it be done in part; the text says what is left.
    Partly(String),
}

/// Why an action is not carried out.
enum Blocked {
    Kept(&'static str),
    /// It waits for what AWS has not let go of yet.
    Waits,
    /// It waits for something that is worth another try.
    Passing,
}

/// Carries out all that it can, turn by turn. `items` are those of the list so far.
///
/// # Errors
/// That of a call that may succeed later, once all others are carried out. Where the teardown is patient a denial is one: AWS
/// may not know yet the tags of what was made a moment ago.
pub async fn act(call: &Call<'_>, identity: &Identity, entries: &[Entry], items: &[Item]) -> Result<Acted> {
    let is_left = |item: &Item| item.decision == Decision::Unknown || item.outcome == Some(ItemOutcome::Refused);
    let mut acted = Acted { left_before: items.iter().any(is_left), ..Acted::default() };
    // In a repeated call the load balancer's end may fail again: the domain leads there until that is gone.
    let turn = |action: &Action| match action.turn() {
        Turn::Domain if call.again => Turn::Behind,
        turn => turn,
    };
    let mut due: Vec<(Turn, &Entry, &Action)> =
        entries.iter().filter_map(|entry| entry.action.as_ref().map(|action| (turn(action), entry, action))).collect();
    due.sort_by_key(|(turn, ..)| *turn);
    let load_balancer = due.iter().map(|(.., action)| *action).find(|action| matches!(action, Action::LoadBalancer(_)));
    for at_once in due.chunk_by(|(one, ..), (other, ..)| one == other) {
        let open = acted.open(at_once, load_balancer);
        // All to their end, whatever one of them says.
        let done = join_all(open.iter().map(|(_, action)| carry_out(call.clients, identity, action, &acted))).await;
        for ((entry, action), done) in open.into_iter().zip(done) {
            acted.note(entry, action, done.authorised_late(call.patient), call.patient);
        }
        let had_its_turn = at_once.iter().any(|(turn, ..)| *turn == Turn::LoadBalancer);
        if had_its_turn && load_balancer.is_some_and(|action| !acted.gone.contains(action.key())) {
            acted.return_domain(call.clients, entries).await;
        }
    }
    acted.passing.take().map_or(Ok(acted), Err)
}

/// Returns the items of security groups that something holds which is not ours; the others are released.
///
/// # Errors
/// [`Error::StillDeleting`]: of all resources groups are held longest, and this look takes one call.
pub async fn held_groups(client: &ec2::Client, todo: &[Entry]) -> Result<Vec<Item>> {
    let mut held = vec![];
    for entry in todo {
        let Some(Action::SecurityGroup(id)) = &entry.action else { continue };
        match security_group::check_released(client, id).await {
            Err(Error::TeardownIncomplete(by)) => held.push(entry.item.clone().ended(ItemOutcome::Refused, by)),
            // The deletion itself will tell.
            Ok(()) | Err(Error::AwsRefused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

impl Acted {
    /// Picks the actions of a turn that can be carried out, and notes what comes of the others.
    fn open<'a>(
        &mut self,
        at_once: &[(Turn, &'a Entry, &'a Action)],
        load_balancer: Option<&Action>,
    ) -> Vec<(&'a Entry, &'a Action)> {
        let mut open = vec![];
        for (turn, entry, action) in at_once {
            match self.blocked(*turn, action, load_balancer) {
                None => open.push((*entry, *action)),
                Some(Blocked::Kept(why)) => self.ended.push(entry.item.clone().ended(ItemOutcome::Kept, why.into())),
                Some(Blocked::Waits) => self.waiting.push((*entry).clone()),
                Some(Blocked::Passing) => {}
            }
        }
        open
    }

    fn blocked(&self, turn: Turn, action: &Action, load_balancer: Option<&Action>) -> Option<Blocked> {
        let stands = load_balancer.filter(|load_balancer| !self.gone.contains(load_balancer.key()));
        if let Some(load_balancer) = stands.filter(|_| turn > Turn::LoadBalancer) {
            let is_refused = self.refused.contains(load_balancer.key());
            return Some(if is_refused { Blocked::Kept("stays with its load balancer") } else { Blocked::Passing });
        }
        match action {
            Action::TargetGroup(_) if self.left_behind => Some(Blocked::Kept(LEADS_BEHIND)),
            Action::SecurityGroup(_) if !self.waiting.is_empty() => Some(Blocked::Waits),
            Action::SecurityGroup(_) if self.left_before || !self.refused.is_empty() => {
                Some(Blocked::Kept("stays, as it leads the next teardown to what is left"))
            }
            Action::TargetGroup(_) | Action::SecurityGroup(_) if self.passing.is_some() => Some(Blocked::Passing),
            // What the records are to lead to may end with the next try.
            Action::Records { restoration, .. } if self.passing.is_some() && restoration.waits() => {
                Some(Blocked::Passing)
            }
            _ => None,
        }
    }

    /// Notes what came of an action.
    fn note(&mut self, entry: &Entry, action: &Action, done: Result<Effect>, patient: bool) {
        let item = entry.item.clone();
        let (resource, id, decision) = (&entry.item.resource, &entry.item.id, entry.item.decision);
        match done {
            Ok(Effect::Ended) => {
                tracing::info!(%resource, id, ?decision);
                self.gone.insert(action.key().into());
                // The plan kept it for as long as something else used it.
                if let Some(decision) = action.decision().filter(|_| item.decision == Decision::Keep) {
                    let ended = Item { decision, ..item };
                    self.ended.push(ended.ended(ItemOutcome::Done, "you consented by tag".into()));
                }
            }
            Ok(Effect::Restored { edits, put_back }) => {
                tracing::info!(%resource, id, ?decision);
                if let (Action::Records { zone, .. }, Turn::Domain) = (action, action.turn()) {
                    self.at_domain = Some((zone.clone(), edits));
                }
                self.put_back = put_back;
            }
            Ok(Effect::Kept(why)) => self.ended.push(item.ended(ItemOutcome::Kept, why)),
            Ok(Effect::Partly(left)) => self.refuse(item, action, left),
            Err(Error::StillDeleting(_)) => self.waiting.push(entry.clone()),
            Err(error @ Error::AwsUnavailable(_)) if patient || dns::is_outdated(&error) => self.passing = Some(error),
            Err(Error::TeardownIncomplete(held)) => self.refuse(item, action, held),
            Err(error) => self.refuse(item, action, error.to_string()),
        }
    }

    fn refuse(&mut self, item: Item, action: &Action, why: String) {
        tracing::warn!(resource = %item.resource, id = item.id, "{why}");
        self.refused.insert(action.key().into());
        self.left_behind |= matches!(action, Action::Address { .. } | Action::Instance { .. });
        self.ended.push(item.ended(ItemOutcome::Refused, why));
    }

    /// Takes back what was done at the domain: the load balancer stays, so the domain goes on to lead there.
    async fn return_domain(&mut self, clients: &Clients, entries: &[Entry]) {
        let Some((zone, edits)) = self.at_domain.take() else { return };
        let records = entries.iter().find(|entry| matches!(entry.action, Some(Action::Records { .. })));
        let Some(item) = records.map(|entry| entry.item.clone()) else { return };
        let undone: Vec<Edit> = edits.into_iter().rev().map(Edit::undone).collect();
        self.put_back.clear();
        self.ended.push(
            match dns::apply(&clients.route53, &zone, &undone, "Albatross: the load balancer stays").await {
                Ok(()) => item.ended(ItemOutcome::Kept, "stays with its load balancer".into()),
                Err(error) => {
                    let why =
                        format!("it leads away from its load balancer, which stays, and does not go back: {error}");
                    item.ended(ItemOutcome::Refused, why)
                }
            },
        );
    }
}

/// Carries out one action, after what has `acted` before. Safe to repeat.
async fn carry_out(clients: &Clients, identity: &Identity, action: &Action, acted: &Acted) -> Result<Effect> {
    let Clients { acm, ec2, elb, route53, .. } = clients;
    let done = match action {
        Action::Records { zone, restoration, .. } => return restore(route53, zone, restoration, acted).await,
        Action::LoadBalancer(arn) => load_balancer::remove(elb, arn).await,
        Action::Address { address, beside } => {
            if let Some(user) = user(clients, beside.as_ref(), address.instance.as_deref()).await? {
                return Ok(Effect::Kept(user));
            }
            address::remove(ec2, address, &identity.stack, &identity.name).await
        }
        Action::Instance { id, consent, beside } => {
            if let Some(user) = user(clients, beside.as_ref(), Some(id)).await? {
                return Ok(Effect::Kept(user));
            }
            return end(ec2, id, *consent).await;
        }
        Action::Rule(open) => rule::remove(ec2, open).await,
        Action::TargetGroup(arn) => target_group::remove(elb, arn).await,
        Action::SecurityGroup(id) => security_group::remove(ec2, id).await,
        Action::Certificate { arn, zone, records } => {
            // The record goes first: only the certificate tells its name.
            remove_records(clients, zone.as_deref(), records).await?;
            certificate::remove(acm, arn).await
        }
    };
    done.map(|()| Effect::Ended)
}

/// Asks what still uses an instance beside the environment; `None` where it was not used when it was listed.
async fn user(clients: &Clients, beside: Option<&TargetGroupIds>, instance: Option<&str>) -> Result<Option<String>> {
    let (Some(beside), Some(id)) = (beside, instance) else { return Ok(None) };
    let users = target::users(&clients.elb, beside, &HashSet::from([id.to_owned()])).await?;
    Ok(users.get(id).map(|user| format!("{user} uses it")))
}

/// Ends an instance. EC2 refuses for one that is protected, which the list may not have known.
async fn end(client: &ec2::Client, id: &str, consent: Consent) -> Result<Effect> {
    match instance::remove(client, id, consent).await {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["OperationNotPermitted"]) => {
            Ok(Effect::Kept(format!("EC2 does not end it: {}", refusal.message)))
        }
        other => other.map(|()| Effect::Ended),
    }
}

async fn remove_records(clients: &Clients, zone: Option<&str>, records: &[ValidationRecord]) -> Result<()> {
    let Some(zone) = zone else { return Ok(()) };
    for record in records {
        // Where the zone is gone, so is the record.
        dns::remove_cname(&clients.route53, zone, record).await.unless(&["NoSuchHostedZone"])?;
    }
    Ok(())
}

const COMMENT: &str = "Albatross: put back what stood before";

/// Carries out the whole batch at the domain, or else the part that writes no record.
async fn restore(
    client: &route53::Client,
    zone: &str,
    restoration: &Restoration,
    Acted { gone, refused, .. }: &Acted,
) -> Result<Effect> {
    let (edits, put_back) = (restoration.edits(gone), restoration.returned(gone));
    if let Some(held) = restoration.held(refused) {
        leave(client, zone, restoration).await?;
        return Ok(Effect::Partly(format!(
            "our alias is gone; not put back: {held}, as what it leads to was to end, and AWS refuses that"
        )));
    }
    match dns::apply(client, zone, &edits, COMMENT).await.unless(&["NoSuchHostedZone"]) {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["InvalidChangeBatch"]) => {
            leave(client, zone, restoration).await?;
            Ok(Effect::Partly(format!(
                "our alias is gone; not put back: {}, as Route 53 refuses: {}. Make room for it and tear down again, or write it by hand",
                restoration.described(gone),
                refusal.message
            )))
        }
        Err(other) => Err(other),
        Ok(_) => Ok(match &restoration.unknown {
            Some(unknown) => Effect::Partly(unknown.clone()),
            None => Effect::Restored { edits, put_back },
        }),
    }
}

/// Takes our alias away, and writes no record.
async fn leave(client: &route53::Client, zone: &str, restoration: &Restoration) -> Result<()> {
    if restoration.leaving().is_empty() {
        return Ok(());
    }
    dns::apply(client, zone, restoration.leaving(), COMMENT).await.unless(&["NoSuchHostedZone"]).map(drop)
}

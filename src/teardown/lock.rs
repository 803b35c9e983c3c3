//! The environment's lock, as a teardown takes it and gives it back.
//!
//! A lock is a record, and no record is worth a load balancer that goes on to cost: where AWS refuses to write it, or
//! somebody's own record stands in its place, the teardown goes on without. No provision gets the lock then either.

use super::call::Call;
use super::identify::domain_records;
use super::identity::Identity;
use super::item::{Decision, Item, ItemOutcome};
use crate::error::{Codes, Error, Result};
use crate::kind::Kind;
use crate::resource::dns::{self, DomainRecords, lock};
use crate::spec::names;

/// The lock, as far as this execution holds it.
#[derive(Debug, Default)]
pub struct Held {
    pub held: bool,
    /// The records at the domain, where they were read under the lock.
    pub at_domain: Option<DomainRecords>,
}

/// Takes the lock. `has`: the execution should hold it already. `stands`: something of the environment's stands, as far as
/// is known; where nothing does, a wildcard may serve the domain, and goes on to do so by a copy. Where no zone is known there
/// is no lock, and so no provision.
///
/// # Errors
/// [`Error::EnvironmentBusy`], [`Error::AwsUnavailable`].
pub async fn take(call: &Call<'_>, identity: &Identity, has: bool, stands: bool) -> Result<Held> {
    match try_to_take(call, identity, has, stands).await {
        Err(error @ Error::AwsUnavailable(_)) if !call.patient && !dns::is_outdated(&error) => Ok(Held::default()),
        other => other,
    }
}

async fn try_to_take(call: &Call<'_>, identity: &Identity, has: bool, stands: bool) -> Result<Held> {
    let (clients, run) = (call.clients, call.run.as_str());
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(Held::default()) };
    let around = if has || stands { None } else { dns::around(&clients.route53, zone, domain).await.ok() };
    let copies = around.and_then(|around| around.copies(&call.owner, &identity.name).ok()).unwrap_or_default();
    let take = async |at_domain: Option<&DomainRecords>| {
        let record = at_domain.and_then(|at_domain| at_domain.lock.as_ref());
        // No wildcard serves a domain under which a lock record stands.
        let made = if at_domain.is_some() { &[] } else { &copies[..] };
        lock::take(&clients.route53, &clients.sfn, zone, domain, record, run, made).await
    };
    let refused = |error: &Error| matches!(error, Error::AwsRefused(_) | Error::DnsRecordConflict { .. });
    if !has {
        match take(None).await {
            Ok(()) => return Ok(Held { held: true, at_domain: None }),
            // A lock record stands, or the records can be read and show that none does.
            Err(error) if dns::is_outdated(&error) || refused(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let at_domain = match domain_records(clients, identity).await {
        // A lock that it should hold is given back without being read.
        Err(error) if refused(&error) => return Ok(Held { held: has, at_domain: None }),
        at_domain => at_domain?,
    };
    if at_domain.as_ref().is_some_and(|at_domain| lock::is_held(at_domain.lock.as_ref(), run)) {
        return Ok(Held { held: true, at_domain });
    }
    match take(at_domain.as_ref()).await {
        // The holder before worked until then, so what was read before may be outdated.
        Ok(()) => Ok(Held { held: true, at_domain: None }),
        Err(error) if refused(&error) => Ok(Held { held: false, at_domain }),
        Err(error) => Err(error),
    }
}

/// Gives back the lock that the execution holds. Where copies of a wildcard's records were `copied` to the domain, they go in
/// the same batch if nothing else of ours is left there.
///
/// Together with the last listing this is the proof: an alias is written in one batch with the end of its writer's lock, so
/// where this lock still stands, no alias was written since it was taken.
///
/// # Errors
/// [`Error::AwsUnavailable`] where the execution does not hold it any more.
pub async fn give_back(call: &Call<'_>, identity: &Identity, copied: bool) -> Result<()> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(()) };
    let mut edits = vec![lock::give_back(domain, &call.run)];
    if copied {
        match domain_records(call.clients, identity).await {
            Ok(at_domain) => {
                let farewell = |records| dns::farewell(&call.owner, &identity.name, domain, records);
                edits.extend(at_domain.iter().flat_map(farewell));
            }
            Err(error @ Error::AwsUnavailable(_)) => return Err(error),
            // The copies go on to serve the domain.
            Err(_) => {}
        }
    }
    let applied = dns::apply(&call.clients.route53, zone, &edits, "Albatross: done").await;
    applied.unless(&["NoSuchHostedZone"]).map(drop)
}

/// Gives back the lock as the last act of a teardown. Returns an item where AWS refuses that.
///
/// # Errors
/// [`Error::AwsUnavailable`] where another try is worth it.
pub async fn give_back_at_last(call: &Call<'_>, identity: &Identity, copied: bool) -> Result<Option<Item>> {
    match (give_back(call, identity, copied).await, &identity.domain) {
        (Err(error @ Error::AwsUnavailable(_)), _) if call.patient || dns::is_outdated(&error) => Err(error),
        (Err(error), Some(domain)) => {
            let item = Item::new(Kind::LockRecord, names::lock_record(domain), Decision::Remove, "ours");
            let why = format!("it binds nobody once this execution has ended: {error}");
            Ok(Some(item.ended(ItemOutcome::Refused, why)))
        }
        (given_back, _) => given_back.map(|()| None),
    }
}

//! Takes an environment's lock and lists what stands of it, with what is decided about each; asked to act, carries that
//! out; then waits for what AWS lets go of late, until a fresh listing shows nothing left to do. That listing is the proof.

use albatross::aws::{self, Clients};
use albatross::error::{Error, Result};
use albatross::lambda;
use albatross::resource::dns::{self, DomainRecords, lock as lock_record};
use albatross::resource::security_group;
use albatross::spec::input::{self, Returned};
use albatross::spec::teardown_input::TeardownInput;
use albatross::teardown::act::{self, Acted};
use albatross::teardown::entry::{self, Entry};
use albatross::teardown::identify::{self, Known};
use albatross::teardown::item::{self, merged, refusals, settle};
use albatross::teardown::list::List;
use albatross::teardown::lock::{self, Held};
use albatross::teardown::survey::Survey;
use albatross::teardown::{Call, Decision, Identity, Item};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call that fails and may pass is worth so many tries, some five minutes. Then it counts as refused, and the teardown ends
/// with all else done. The machine's retrier has twenty.
const PATIENCE: u32 = 12;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The answer of the call before; without it this is the first call, which plans.
    plan: Option<Answer>,
    /// The answer's list is not known to be outdated.
    #[serde(default)]
    fresh: bool,
    /// How often the state machine has repeated this call.
    #[serde(default)]
    tries: u32,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environment: Identity,
    items: Vec<Item>,
    /// The items in one line.
    summary: String,
    /// Why the environment is kept whole, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// What stands of what the input means under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
    /// The values that came back at the domain and lead to an instance: the morning's provision recognises them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    put_back: Vec<Returned>,
    /// Of a plan: the entries that are to be carried out. Once acted on: those that AWS has not let go of yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    todo: Vec<Entry>,
    #[serde(default)]
    acted: bool,
    /// The execution holds the environment's lock.
    #[serde(default)]
    locked: bool,
    /// Copies of a wildcard's records serve the domain as long as anything of ours stands under it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    copied: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| teardown(&clients, event).await).await
}

async fn teardown(clients: &Clients, event: Event) -> Result<Answer> {
    let input: TeardownInput = input::parse(event.input)?;
    let run = input.run.clone().unwrap_or(event.run);
    let (patient, again) = (event.tries < PATIENCE, event.tries > 0);
    let call = Call { clients, owner: lambda::owner(), input, run, patient, again };
    match event.plan {
        None => plan(&call).await,
        Some(before) => remove(&call, before, event.fresh).await,
    }
}

/// Plans under the lock. Only what tells whose lock that is, is read before.
async fn plan(call: &Call<'_>) -> Result<Answer> {
    let Known { identity, groups, no_zone } = identify::identify(call).await?;
    let held = match (call.input.dry_run, &call.input.run) {
        (false, provision) => {
            let stands = groups.as_ref().map_or(true, |groups| !groups.is_empty());
            lock::take(call, &identity, provision.is_some(), stands).await?
        }
        (true, Some(_)) => Held { held: false, at_domain: identify::domain_records(call.clients, &identity).await? },
        (true, None) => Held::default(),
    };
    let record = held.at_domain.as_ref().and_then(|at_domain| at_domain.lock.as_ref());
    let gives_back = call.input.dry_run && call.input.run.is_some() && lock_record::is_held(record, &call.run);
    let at_domain = async {
        match no_zone {
            Some(error) => Err(error),
            None => read_unless(held.at_domain, call, &identity).await,
        }
    };
    let List { entries, kept, passing, copied } = list(call, &identity, groups, at_domain, None).await?;
    if gives_back {
        // The provision failed and keeps what stands: nothing but its lock goes.
        lock::give_back(call, &identity, false).await?;
    }
    if let Some(error) = passing.filter(|_| call.patient) {
        return Err(error);
    }
    let items = entry::items(&entries);
    let is_nothing = kept.is_none() && items.iter().all(|item| item.decision == Decision::Keep);
    let elsewhere = if is_nothing { elsewhere(call, &identity, held.held, copied).await? } else { None };
    let summary = || item::summary(&identity.name, &items, false);
    Ok(Answer {
        summary: kept.clone().or(elsewhere.clone()).unwrap_or_else(summary),
        environment: identity,
        items,
        kept,
        elsewhere,
        put_back: vec![],
        todo: entry::due(entries),
        acted: false,
        locked: held.held,
        copied,
    })
}

/// Carries out the answer of the call before, or what a new listing decides where that answer may be outdated.
async fn remove(call: &Call<'_>, before: Answer, fresh: bool) -> Result<Answer> {
    if fresh {
        match carry_on(call, &before).await {
            // A record has changed since it was listed, or the lock was given back and the answer to that was lost.
            Err(error) if dns::is_outdated(&error) => {}
            other => return other,
        }
    }
    let (identity, groups) = identify::groups_of(call, before.environment.clone()).await?;
    let held = lock::take(call, &identity, before.locked, true).await?;
    let at_domain = read_unless(held.at_domain, call, &identity);
    let list = list(call, &identity, groups, at_domain, Some(&before.items)).await?;
    let acted = act::act(call, &identity, &list.entries, &before.items).await?;
    finish(call, &before, identity, before.items.clone(), acted, held.held).await
}

/// Carries out the answer of the call before. Groups that are still held are not tried again.
async fn carry_on(call: &Call<'_>, before: &Answer) -> Result<Answer> {
    let held = if before.acted { act::held_groups(&call.clients.ec2, &before.todo).await? } else { vec![] };
    let is_held = |entry: &&Entry| held.iter().any(|item| item.is(&entry.item));
    let todo: Vec<Entry> = before.todo.iter().filter(|entry| !is_held(entry)).cloned().collect();
    let items = merged(before.items.clone(), held.clone());
    let acted = act::act(call, &before.environment, &todo, &items).await?;
    finish(call, before, before.environment.clone(), items, acted, before.locked).await
}

/// Answers what came of an act: what is still to be waited for, or the end, with its proof.
///
/// # Errors
/// [`Error::StillDeleting`] once the machine waits; [`Error::TeardownIncomplete`] where AWS refused something.
async fn finish(
    call: &Call<'_>,
    before: &Answer,
    identity: Identity,
    items: Vec<Item>,
    acted: Acted,
    locked: bool,
) -> Result<Answer> {
    let Acted { ended, waiting, mut put_back, .. } = acted;
    put_back.extend(before.put_back.iter().cloned());
    let (mut items, mut todo) = (merged(items, ended), waiting);
    if todo.is_empty() {
        (items, todo) = prove(call, before, &identity, items, locked).await?;
    }
    if todo.is_empty()
        && let Some(refusals) = refusals(&items)
    {
        let what = "allow what AWS refuses, or end it by hand, and tear down again";
        return Err(Error::TeardownIncomplete(format!("{refusals}. What to do: {what}")));
    }
    if before.acted && !todo.is_empty() {
        let named = todo.iter().map(|entry| entry.item.named()).collect::<Vec<_>>();
        return Err(Error::StillDeleting(named.join(", ")));
    }
    let (kept, elsewhere, copied) = (before.kept.clone(), before.elsewhere.clone(), before.copied);
    let told = kept.as_ref().or(elsewhere.as_ref()).cloned();
    let summary = told.unwrap_or_else(|| item::summary(&identity.name, &items, true));
    let environment = identity;
    Ok(Answer { environment, items, summary, kept, elsewhere, put_back, todo, acted: true, locked, copied })
}

/// Lists once more, where nothing is waited for, and gives the lock back if nothing is left: that is the proof. Carries out
/// what the lists before did not show. Returns the items, and the entries that are still to be waited for.
async fn prove(
    call: &Call<'_>,
    before: &Answer,
    identity: &Identity,
    mut items: Vec<Item>,
    locked: bool,
) -> Result<(Vec<Item>, Vec<Entry>)> {
    let (mut identity, mut last) = (identity.clone(), vec![]);
    if before.kept.is_none() {
        let groups;
        (identity, groups) = identify::groups_of(call, identity).await?;
        let list = list(call, &identity, groups, async { Ok(None) }, Some(&items)).await?;
        if let Some(error) = list.passing.filter(|_| call.patient) {
            return Err(error);
        }
        last = list.entries;
        let has_ended =
            |items: &[Item], entry: &Entry| items.iter().any(|known| known.is(&entry.item) && known.outcome.is_some());
        let mut left = entry::due(last.clone());
        left.retain(|entry| !has_ended(&items, entry));
        if !left.is_empty() {
            let ended = act::act(call, &identity, &left, &items).await?.ended;
            items = merged(merged(items, entry::items(&left)), ended);
            left.retain(|entry| !has_ended(&items, entry));
        }
        if !left.is_empty() {
            return Ok((items, left));
        }
    }
    let mut items = settle(items, entry::items(&last));
    if locked {
        items.extend(lock::give_back_at_last(call, &identity, before.copied).await?);
    }
    Ok((items, vec![]))
}

/// Lists what stands, with what is decided about each.
async fn list(
    call: &Call<'_>,
    identity: &Identity,
    groups: Result<Vec<security_group::Tagged>>,
    at_domain: impl Future<Output = Result<Option<DomainRecords>>>,
    planned: Option<&[Item]>,
) -> Result<List> {
    identity.check_certificate(call.input.certificate)?;
    let survey = Survey::read(call, identity, groups, at_domain, planned).await?;
    Ok(List::of(&call.owner, identity, &call.input, &survey))
}

/// Reads the records at the domain, unless they were read under the lock.
async fn read_unless(
    under_lock: Option<DomainRecords>,
    call: &Call<'_>,
    identity: &Identity,
) -> Result<Option<DomainRecords>> {
    match under_lock {
        Some(at_domain) => Ok(Some(at_domain)),
        None => identify::domain_records(call.clients, identity).await,
    }
}

/// Says what stands of what the input means under another name, where somebody wrote the input by hand. Where both name and
/// domain are given, the name is what is meant, and this is only said.
///
/// # Errors
/// [`Error::InvalidInput`] where one of them is given; the lock that was taken in vain is given back.
async fn elsewhere(call: &Call<'_>, identity: &Identity, locked: bool, copied: bool) -> Result<Option<String>> {
    let TeardownInput { own_only, run, night, name, domain, .. } = &call.input;
    if *own_only || run.is_some() || night.is_some() {
        return Ok(None);
    }
    match identify::elsewhere(call.clients, identity).await? {
        Some(told) if name.is_none() || domain.is_none() => {
            if locked {
                lock::give_back(call, identity, copied).await?;
            }
            Err(Error::input("$.name", told))
        }
        found => Ok(found),
    }
}

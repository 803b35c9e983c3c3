//! Takes an environment's lock and lists what stands of it, with what is decided about each; asked to act, carries that
//! out; then waits for what AWS lets go of late, until a fresh listing shows nothing left to do. That listing is the proof.

use albatross::error::{Error, Result};
use albatross::inventory::{self, Action, Clients, Identity, Listed, Turn};
use albatross::teardown::{Input, Item, settle};
use albatross::{aws, dns, environment, lambda, lock};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The answer of the call before; without it this is the first call, which plans.
    plan: Option<Answer>,
    /// Its list holds: it is not known to be outdated.
    #[serde(default)]
    fresh: bool,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    environment: Identity,
    items: Vec<Item>,
    /// Of a plan: those of the items that are not kept. Once acted on: those that AWS has not let go of yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    todo: Vec<Listed>,
    #[serde(default)]
    acted: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| teardown(&clients, event).await).await
}

async fn teardown(clients: &Clients, event: Event) -> Result<Answer> {
    let input: Input = environment::parse(event.input)?;
    let run = input.run.as_ref().unwrap_or(&event.run);
    match event.plan {
        None => plan(clients, &input, run).await,
        Some(plan) => remove(clients, &input, run, plan, event.fresh).await,
    }
}

/// Under the lock, but for the security groups: they tell whose lock it is. Each is deleted by its id, so that what was
/// read of them too early is harmless.
async fn plan(clients: &Clients, input: &Input, run: &str) -> Result<Answer> {
    let mut environment = inventory::identify(lambda::stack(), input)?;
    let groups = inventory::learn(clients, &mut environment).await?;
    let seen = match (input.dry_run, &input.run) {
        (false, provision) => inventory::lock(clients, &environment, run, provision.is_some()).await?,
        (true, Some(_)) => inventory::standing(clients, &environment, None).await?,
        (true, None) => None,
    };
    let is_held = lock::is_held(seen.as_ref().and_then(|standing| standing.lock.as_ref()), run);
    let standing = inventory::standing(clients, &environment, seen);
    let list = inventory::list(clients, &environment, input, groups, standing, None).await?;
    if input.dry_run && input.run.is_some() && is_held {
        // The provision failed and keeps what stands: nothing but its lock goes.
        inventory::unlock(clients, &environment, run).await?;
    }
    let items = list.iter().map(|listed| listed.item.clone()).collect();
    Ok(Answer { environment, items, todo: unsettled(list), acted: false })
}

async fn remove(clients: &Clients, input: &Input, run: &str, plan: Answer, fresh: bool) -> Result<Answer> {
    if fresh {
        let done = async {
            let (environment, todo) = (&plan.environment, &plan.todo);
            if plan.acted {
                check_released(clients, todo).await?;
            }
            let waiting = act(clients, environment, todo).await?;
            finish(clients, input, run, &plan, environment.clone(), waiting).await
        };
        match done.await {
            // A record has changed since it was listed, or the lock was given back and the answer to that was lost.
            Err(error) if dns::is_outdated(&error) => {}
            other => return other,
        }
    }
    let mut environment = plan.environment.clone();
    let groups = inventory::learn(clients, &mut environment).await?;
    let seen = inventory::lock(clients, &environment, run, true).await?;
    let standing = inventory::standing(clients, &environment, seen);
    let list = inventory::list(clients, &environment, input, groups, standing, Some(&plan.items)).await?;
    let waiting = act(clients, &environment, &list).await?;
    finish(clients, input, run, &plan, environment, waiting).await
}

/// Where nothing is waiting, the proof and the end of the lock; else what is to be waited for, which is an error once the
/// machine waits.
async fn finish(
    clients: &Clients,
    input: &Input,
    run: &str,
    plan: &Answer,
    mut environment: Identity,
    mut waiting: Vec<Listed>,
) -> Result<Answer> {
    let items = plan.items.clone();
    if waiting.is_empty() {
        let groups = inventory::learn(clients, &mut environment).await?;
        let no_records = async { Ok(None) };
        let last = inventory::list(clients, &environment, input, groups, no_records, Some(&items)).await?;
        if last.iter().all(|listed| listed.action.is_none()) {
            inventory::unlock(clients, &environment, run).await?;
            let last = last.into_iter().map(|listed| listed.item).collect();
            return Ok(Answer { environment, items: settle(items, last), todo: vec![], acted: true });
        }
        // What the lists before did not show yet.
        act(clients, &environment, &last).await?;
        waiting = unsettled(last);
    }
    if plan.acted {
        let named = |listed: &Listed| format!("{} {}", listed.item.resource, listed.item.id);
        return Err(Error::StillDeleting(waiting.iter().map(named).collect::<Vec<_>>().join(", ")));
    }
    Ok(Answer { environment, items, todo: waiting, acted: true })
}

/// Carries out all that it can, turn by turn, and answers what AWS has not let go of yet: a wait holds up only its own
/// resource and the groups, a refusal ends it.
async fn act(clients: &Clients, environment: &Identity, list: &[Listed]) -> Result<Vec<Listed>> {
    let mut due: Vec<(&Listed, &Action)> =
        list.iter().filter_map(|listed| Some((listed, listed.action.as_ref()?))).collect();
    due.sort_by_key(|(_, action)| action.turn());
    let mut waiting = vec![];
    for at_once in due.chunk_by(|(_, one), (_, other)| one.turn() == other.turn()) {
        if at_once.iter().any(|(_, action)| action.turn() == Turn::SecurityGroup) && !waiting.is_empty() {
            waiting.extend(at_once.iter().map(|(listed, _)| (*listed).clone()));
            continue;
        }
        // All to their end, whatever one of them says.
        let done = join_all(at_once.iter().map(|(_, action)| inventory::carry_out(clients, environment, action))).await;
        for ((listed, _), done) in at_once.iter().zip(done) {
            let Item { resource, id, decision, .. } = &listed.item;
            match done {
                Err(Error::StillDeleting(_)) => waiting.push((*listed).clone()),
                other => other.inspect(|()| tracing::info!(resource, id, ?decision))?,
            }
        }
    }
    Ok(waiting)
}

/// Checks that no group is held: they are held longest, and a look takes one call.
async fn check_released(clients: &Clients, waiting: &[Listed]) -> Result<()> {
    for listed in waiting {
        inventory::check_released(clients, listed).await?;
    }
    Ok(())
}

fn unsettled(list: Vec<Listed>) -> Vec<Listed> {
    list.into_iter().filter(|listed| listed.action.is_some()).collect()
}

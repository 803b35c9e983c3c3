//! Takes an environment's lock and lists what stands of it, with what is decided about each; asked to act, carries that
//! out, until a fresh listing shows nothing left to do. That listing is the proof.

use albatross::error::{Error, Result};
use albatross::inventory::{self, Clients, Identity, Listed};
use albatross::teardown::{Input, Item, settle};
use albatross::{aws, environment, lambda, lock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The first call's answer; without it this is the first call.
    plan: Option<Answer>,
    /// The plan was made a moment ago, and nothing of it is carried out yet.
    #[serde(default)]
    fresh: bool,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    environment: Identity,
    items: Vec<Item>,
    /// Of a plan: those of the items that are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    todo: Vec<Listed>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config().await);
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
    let standing = if input.dry_run {
        inventory::standing(clients, &environment).await?
    } else {
        inventory::lock(clients, &environment, run, input.run.is_some()).await?
    };
    let list = inventory::list(clients, &environment, input, groups, standing.as_ref(), None).await?;
    let lock = standing.and_then(|standing| standing.lock);
    if input.dry_run && input.run.is_some() && lock::is_held(lock.as_ref(), run) {
        // The provision failed and keeps what stands: nothing but its lock goes.
        inventory::unlock(clients, &environment, run).await?;
    }
    let items = list.iter().map(|listed| listed.item.clone()).collect();
    Ok(Answer { environment, items, todo: list.into_iter().filter(|listed| listed.action.is_some()).collect() })
}

async fn remove(clients: &Clients, input: &Input, run: &str, plan: Answer, fresh: bool) -> Result<Answer> {
    let Answer { mut environment, items, mut todo } = plan;
    if !fresh {
        let groups = inventory::learn(clients, &mut environment).await?;
        let standing = inventory::lock(clients, &environment, run, true).await?;
        todo = inventory::list(clients, &environment, input, groups, standing.as_ref(), Some(&items)).await?;
    }
    act(clients, &environment, &todo).await?;
    let groups = inventory::learn(clients, &mut environment).await?;
    let last = inventory::list(clients, &environment, input, groups, None, Some(&items)).await?;
    let left: Vec<String> = last.iter().filter(|listed| listed.action.is_some()).map(named).collect();
    if !left.is_empty() {
        return Err(Error::StillDeleting(left.join(", ")));
    }
    inventory::unlock(clients, &environment, run).await?;
    let last = last.into_iter().map(|listed| listed.item).collect();
    Ok(Answer { environment, items: settle(items, last), todo: vec![] })
}

/// Carries out all that it can: a wait holds up only its own resource, a refusal ends it.
async fn act(clients: &Clients, environment: &Identity, list: &[Listed]) -> Result<()> {
    let mut waits = vec![];
    for listed in list {
        let Some(action) = &listed.action else { continue };
        match inventory::carry_out(clients, environment, action).await {
            Err(Error::StillDeleting(what)) => waits.push(what),
            other => other?,
        }
        tracing::info!(resource = listed.item.resource, id = listed.item.id, decision = ?listed.item.decision);
    }
    if waits.is_empty() { Ok(()) } else { Err(Error::StillDeleting(waits.join("; "))) }
}

fn named(listed: &Listed) -> String {
    format!("{} {}", listed.item.resource, listed.item.id)
}

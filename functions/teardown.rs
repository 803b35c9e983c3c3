//! Lists what stands of an environment and what is decided about it, and takes its lock; asked to act, carries that out
//! until a fresh listing shows nothing left to do. That listing is the proof.

use albatross::error::{Error, Result};
use albatross::inventory::{self, Clients, Identity, Listed};
use albatross::teardown::{Input, Item, settle};
use albatross::{aws, environment, lambda};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The first call's answer; without it this is the first call.
    plan: Option<Answer>,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    environment: Identity,
    items: Vec<Item>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config().await);
    lambda::run(async |event: Event| teardown(&clients, event).await).await
}

async fn teardown(clients: &Clients, event: Event) -> Result<Answer> {
    let input: Input = environment::parse(event.input)?;
    let run = input.run.as_ref().unwrap_or(&event.run);
    let Some(plan) = event.plan else {
        let mut environment = inventory::identify(lambda::stack(), &input)?;
        let listing = inventory::list(clients, &mut environment, &input).await?;
        if !input.dry_run {
            inventory::lock(clients, &environment, &listing, run).await?;
        } else if let Some(provision) = &input.run {
            // It failed and keeps what stands: nothing but its lock goes.
            inventory::unlock(clients, &environment, &listing, provision).await?;
        }
        return Ok(Answer { environment, items: items(listing.items) });
    };
    let mut environment = plan.environment;
    let listing = inventory::list(clients, &mut environment.clone(), &input).await?;
    inventory::lock(clients, &environment, &listing, run).await?;
    act(clients, &environment, &listing.items).await?;
    let last = inventory::list(clients, &mut environment, &input).await?;
    let left: Vec<String> = last.items.iter().filter(|listed| listed.action.is_some()).map(named).collect();
    if !left.is_empty() {
        return Err(Error::StillDeleting(left.join(", ")));
    }
    inventory::unlock(clients, &environment, &last, run).await?;
    Ok(Answer { environment, items: settle(plan.items, items(last.items)) })
}

fn items(list: Vec<Listed>) -> Vec<Item> {
    list.into_iter().map(|listed| listed.item).collect()
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

//! Finds what a provision left unfinished when it was stopped, ran out of time or failed, and whether that is to go.

use albatross::error::{Error, Result};
use albatross::resource::dns::lock;
use albatross::resource::execution::{self, Ended, Wish};
use albatross::resource::{dns, security_group, tags};
use albatross::spec::input::OnFailure;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    /// EventBridge's "Step Functions Execution Status Change".
    event: Value,
}

#[derive(Serialize)]
struct Answer {
    found: Option<Unfinished>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unfinished {
    name: String,
    domain: String,
    hosted_zone_id: String,
    /// Why it stays.
    spared: Option<String>,
}

struct Clients {
    ec2: aws_sdk_ec2::Client,
    route53: aws_sdk_route53::Client,
    sfn: aws_sdk_sfn::Client,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        route53: aws_sdk_route53::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
    };
    lambda::run(async |event: Event| find(&clients, &event.event).await).await
}

async fn find(clients: &Clients, event: &Value) -> Result<Answer> {
    let ended = execution::ended(event)
        .ok_or_else(|| Error::input("$", "not EventBridge's event of the end of a provision execution"))?;
    Ok(Answer { found: unfinished(clients, &ended).await? })
}

async fn unfinished(clients: &Clients, ended: &Ended) -> Result<Option<Unfinished>> {
    let Some(wish) = execution::wish(&clients.sfn, ended).await? else { return Ok(None) };
    let stack = lambda::stack();
    let groups = security_group::tagged(&clients.ec2, &stack, Some(&wish.name)).await?;
    let Some(zone) = zone(clients, &groups, &wish).await? else { return Ok(None) };
    let at_domain = dns::domain_records(&clients.route53, &zone, &wish.domain).await?;
    let holder = at_domain.lock.as_ref().and_then(lock::holder);
    let left_locked = holder.as_ref() == Some(&ended.execution_arn);
    if groups.is_empty() && !left_locked {
        return Ok(None);
    }
    let spared = match holder {
        _ if wish.on_failure == OnFailure::Keep => Some("its input says onFailure keep".into()),
        Some(other) if !left_locked && execution::may_run(&clients.sfn, &other).await? => {
            Some(format!("{other} works on it"))
        }
        _ if dns::is_owned(&lambda::owner(), &wish.name, &wish.domain, &at_domain) => Some("it is complete".into()),
        _ => None,
    };
    Ok(Some(Unfinished { name: wish.name, domain: wish.domain, hosted_zone_id: zone, spared }))
}

/// Returns the hosted zone of what a provision has begun, or would have begun.
async fn zone(clients: &Clients, groups: &[security_group::Tagged], wish: &Wish) -> Result<Option<String>> {
    if let Some(zone) = groups.first().and_then(|group| group.tags.get(tags::ZONE)) {
        return Ok(Some(zone.into()));
    }
    dns::find_zone(&clients.route53, &wish.domain, wish.hosted_zone_id.as_deref()).await
}

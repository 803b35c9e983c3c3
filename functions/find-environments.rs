//! Finds what the night takes down: all environments of the stack, or the one that a provision left unfinished when it
//! ended. Each that is spared says why.

use std::collections::BTreeMap;
use std::time::SystemTime;

use albatross::environment::{OnFailure, date_time};
use albatross::error::Result;
use albatross::execution::{self, Ended, Wish};
use albatross::tags::{self, Tags};
use albatross::{aws, dns, lambda, load_balancer, lock, security_group};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    event: Value,
}

#[derive(Serialize)]
struct Answer {
    environments: Vec<Found>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    name: String,
    domain: Option<String>,
    hosted_zone_id: Option<String>,
    /// Why it stays.
    spared: Option<String>,
    /// Leave the user's consented things alone.
    own_only: bool,
}

struct Clients {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    route53: aws_sdk_route53::Client,
    sfn: aws_sdk_sfn::Client,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config().await;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        route53: aws_sdk_route53::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
    };
    lambda::run(async |event: Event| find(&clients, &event.event).await).await
}

async fn find(clients: &Clients, event: &Value) -> Result<Answer> {
    let environments = match execution::ended(event) {
        Some(ended) => unfinished(clients, &ended).await?.into_iter().collect(),
        None => standing(clients).await?,
    };
    Ok(Answer { environments })
}

/// Every environment of the stack, by name: by its load balancer, which is what costs, and by its security group, which
/// is there as long as anything is.
async fn standing(clients: &Clients) -> Result<Vec<Found>> {
    let stack = lambda::stack();
    let (fronts, groups) = tokio::try_join!(
        load_balancer::of_stack(&clients.elb, &stack),
        security_group::ours(&clients.ec2, &stack, None)
    )?;
    let mut found = BTreeMap::new();
    let tagged = groups.iter().map(|group| &group.tags).chain(fronts.iter().map(|front| &front.tags));
    for tags in tagged {
        let name = tags.get(tags::ENVIRONMENT).unwrap_or_default().to_owned();
        let (domain, hosted_zone_id) = (tags.get(tags::DOMAIN).map(Into::into), tags.get(tags::ZONE).map(Into::into));
        found.insert(name.clone(), Found { name, domain, hosted_zone_id, spared: kept(tags), own_only: false });
    }
    Ok(found.into_values().collect())
}

fn kept(tags: &Tags) -> Option<String> {
    let until = tags.get(tags::KEEP_UNTIL)?;
    match date_time(until) {
        Ok(moment) => (moment > SystemTime::now()).then(|| format!("kept until {until}")),
        // Somebody meant to keep it.
        Err(problem) => Some(format!("{} is {problem}", tags::KEEP_UNTIL)),
    }
}

/// What a provision left that was stopped or failed, if that is to go.
async fn unfinished(clients: &Clients, ended: &Ended) -> Result<Option<Found>> {
    let Some(wish) = execution::wish(&clients.sfn, ended).await? else { return Ok(None) };
    let stack = lambda::stack();
    let groups = security_group::ours(&clients.ec2, &stack, Some(&wish.name)).await?;
    let Some(zone) = zone(clients, &groups, &wish).await? else { return Ok(None) };
    let standing = dns::standing(&clients.route53, &zone, &wish.domain).await?;
    let holder = standing.lock.as_ref().and_then(lock::holder);
    let left_locked = holder.as_ref() == Some(&ended.execution_arn);
    if groups.is_empty() && !left_locked {
        return Ok(None);
    }
    let spared = match holder {
        _ if wish.on_failure == OnFailure::Keep => Some("its input says onFailure keep".into()),
        Some(other) if !left_locked && execution::may_run(&clients.sfn, &other).await? => {
            Some(format!("{other} works on it"))
        }
        _ if dns::is_owned(&stack, &wish.name, &wish.domain, &standing) => Some("it is complete".into()),
        _ => None,
    };
    Ok(Some(Found { name: wish.name, domain: Some(wish.domain), hosted_zone_id: Some(zone), spared, own_only: true }))
}

/// The hosted zone of what a provision has begun, or would have.
async fn zone(clients: &Clients, groups: &[security_group::Ours], wish: &Wish) -> Result<Option<String>> {
    if let Some(zone) = groups.first().and_then(|group| group.tags.get(tags::ZONE)) {
        return Ok(Some(zone.into()));
    }
    dns::find_zone(&clients.route53, &wish.domain, wish.hosted_zone_id.as_deref()).await
}

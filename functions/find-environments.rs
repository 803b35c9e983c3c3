//! Finds what the night takes down: all environments of the stack, or the one that a provision left unfinished when it
//! ended. Each that is spared says why.

use std::collections::BTreeMap;
use std::time::SystemTime;

use albatross::environment::{OnFailure, date_time};
use albatross::error::Result;
use albatross::execution::{self, Ended};
use albatross::tags::{self, Tags};
use albatross::{aws, dns, lambda, load_balancer, security_group};
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
    domain: String,
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
        let domain = tags.get(tags::DOMAIN).unwrap_or_default().to_owned();
        found.insert(name.clone(), Found { name, domain, spared: kept(tags), own_only: false });
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
    let Some(tags) = groups.first().map(|group| &group.tags) else { return Ok(None) };
    let found = |spared: Option<String>| {
        Ok(Some(Found { name: wish.name.clone(), domain: wish.domain.clone(), spared, own_only: true }))
    };
    if wish.on_failure == OnFailure::Keep {
        return found(Some("its input says onFailure keep".into()));
    }
    if let Some(other) = execution::running(&clients.sfn, &ended.state_machine_arn, &wish.name).await? {
        return found(Some(format!("{other} provisions it")));
    }
    let standing = dns::standing(&clients.route53, tags.get(tags::ZONE).unwrap_or_default(), &wish.domain).await?;
    if dns::is_owned(&stack, &wish.name, &wish.domain, &standing) {
        return found(Some("it is complete".into()));
    }
    found(None)
}

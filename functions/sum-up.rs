//! Last state of every machine: what stands costs, what a teardown saves, what the execution itself cost; the night's mail.

use albatross::error::{Error, Result};
use albatross::price::{self, Cost, Rate, RunCost};
use albatross::resource::seen::Seen;
use albatross::resource::{execution, load_balancer, tags};
use albatross::schedule::night::{self, Fate, NightOutcome, Summary};
use albatross::spec::environment::Environment;
use albatross::teardown::{Item, item};
use albatross::{aws, lambda, metric};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Event {
    /// ARN of the execution.
    run: String,
    #[serde(flatten)]
    did: Did,
}

/// What the execution did, by the one field that its machine gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Did {
    Provisioned {
        environment: Box<Environment>,
        seen: Box<Seen>,
        seconds: u64,
    },
    /// With its environment, for the log.
    TornDown {
        items: Vec<Item>,
    },
    Night {
        outcomes: Vec<NightOutcome>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Provisioned {
        cost: Cost,
        execution_cost: RunCost,
    },
    #[serde(rename_all = "camelCase")]
    TornDown {
        saves: Rate,
        execution_cost: RunCost,
    },
    Night(Summary),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        region: aws::region(&config),
    };
    lambda::run(async |event: Event| sum_up(&clients, event).await).await
}

struct Clients {
    elb: aws_sdk_elasticloadbalancingv2::Client,
    sfn: aws_sdk_sfn::Client,
    region: String,
}

async fn sum_up(clients: &Clients, event: Event) -> Result<Answer> {
    let Clients { elb, sfn, region } = clients;
    let execution_cost = price::run(region, execution::usage(sfn, &event.run).await?, lambda::memory());
    let stack = lambda::stack();
    Ok(match event.did {
        Did::Provisioned { environment, seen, seconds } => {
            // What stood already took its time before.
            if !seen.complete {
                metric::emit(&stack, &[("TimeToHttps", "Seconds", json!(seconds))]);
            }
            let cost = price::environment(region, environment.subnets.len(), environment.public_ipv4());
            Answer::Provisioned { cost, execution_cost }
        }
        Did::TornDown { items } => Answer::TornDown { saves: item::saves(&items), execution_cost },
        Did::Night { outcomes } => {
            let all_went = outcomes.iter().all(|one| one.outcome == Fate::Removed);
            let standing = if all_went { None } else { standing(elb, region, &stack).await? };
            let summary = night::sum_up(&stack, &event.run, execution_cost, &outcomes, standing.as_ref());
            metric::emit(
                &stack,
                &[
                    ("NightRemoved", "Count", json!(summary.removed.len())),
                    ("NightKept", "Count", json!(summary.kept.len())),
                    ("NightFailed", "Count", json!(summary.failed.len())),
                ],
            );
            Answer::Night(summary)
        }
    })
}

/// What each environment that has a load balancer costs, in dollars an hour; `None` where AWS refuses to list them.
async fn standing(
    elb: &aws_sdk_elasticloadbalancingv2::Client,
    region: &str,
    stack: &str,
) -> Result<Option<HashMap<String, Decimal>>> {
    let load_balancers = match load_balancer::of_stack(elb, stack).await {
        Err(Error::AwsRefused(_)) => return Ok(None),
        load_balancers => load_balancers?,
    };
    let hourly = load_balancers.iter().map(|one| {
        let name = one.tags.get(tags::ENVIRONMENT).unwrap_or_default().to_owned();
        (name, price::load_balancer(region, one.zones))
    });
    Ok(Some(hourly.collect()))
}

//! Last state of every machine: what stands costs, what a teardown saves, what the execution itself cost; the night's mail.

use albatross::environment::Environment;
use albatross::error::Result;
use albatross::night::{self, Outcome, Summary};
use albatross::price::{self, Cost, Rate, RunCost};
use albatross::teardown::{self, Item};
use albatross::{aws, execution, lambda, metric};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
        seconds: u64,
    },
    /// With its environment, for the log.
    TornDown {
        items: Vec<Item>,
    },
    Night {
        outcomes: Vec<Outcome>,
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
    let (sfn, region) = (aws_sdk_sfn::Client::new(&config), aws::region(&config));
    lambda::run(async |event: Event| sum_up(&sfn, &region, event).await).await
}

async fn sum_up(sfn: &aws_sdk_sfn::Client, region: &str, event: Event) -> Result<Answer> {
    let execution_cost = price::run(region, execution::usage(sfn, &event.run).await?, lambda::memory());
    let stack = lambda::stack();
    Ok(match event.did {
        Did::Provisioned { environment, seconds } => {
            // What stood already took its time before.
            if !environment.complete {
                metric::emit(&stack, &[("TimeToHttps", "Seconds", json!(seconds))]);
            }
            let cost = price::environment(region, environment.subnets.len(), environment.public_ipv4());
            Answer::Provisioned { cost, execution_cost }
        }
        Did::TornDown { items } => Answer::TornDown { saves: teardown::saves(&items), execution_cost },
        Did::Night { outcomes } => {
            let summary = night::sum_up(&stack, &event.run, execution_cost, &outcomes);
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

//! Points the domain at the load balancer, last: a site that was served over HTTP has no gap. Gives the lock back.

use albatross::environment::Environment;
use albatross::error::Result;
use albatross::load_balancer::Front;
use albatross::step::Step;
use albatross::{aws, dns, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    environment: Environment,
    load_balancer: Front,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize)]
struct Answer {
    url: String,
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let route53 = aws_sdk_route53::Client::new(&aws::config());
    lambda::run(async |event: Event| point(&route53, &event).await).await
}

async fn point(route53: &aws_sdk_route53::Client, event: &Event) -> Result<Answer> {
    let step = dns::ensure_alias(route53, &event.environment, &event.load_balancer, &event.run).await?;
    Ok(Answer { url: format!("https://{}", event.environment.domain), steps: vec![step] })
}

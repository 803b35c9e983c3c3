//! Points the domain at the load balancer, last: a site that was served over HTTP has no gap. Gives the lock back.

use albatross::error::Result;
use albatross::resource::dns;
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::spec::ids::LoadBalancerIds;
use albatross::step::Step;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    environment: Environment,
    seen: Seen,
    load_balancer: LoadBalancerIds,
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
    let step =
        dns::ensure_alias(route53, &event.environment, &event.seen.at_domain, &event.load_balancer, &event.run).await?;
    Ok(Answer { url: format!("https://{}", event.environment.input.domain), steps: vec![step] })
}

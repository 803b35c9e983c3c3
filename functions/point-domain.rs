//! Points the domain at the load balancer, last: a site that was served over HTTP has no gap. Gives the lock back.

use albatross::error::Result;
use albatross::resource::dns::alias;
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
    let Event { environment, seen, load_balancer, run } = event;
    let mut difference = alias::differ(environment, load_balancer, &seen.at_domain.after_lock())?;
    difference.apply(route53, environment, load_balancer, run).await?;
    Ok(Answer { url: format!("https://{}", environment.input.domain), steps: vec![difference.step()] })
}

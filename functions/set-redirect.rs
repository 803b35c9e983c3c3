//! Turns HTTP:80 into the redirect to HTTPS.

use albatross::error::Result;
use albatross::resource::listener::{Http, redirect};
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::step::Step;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    environment: Environment,
    seen: Seen,
    http: Http,
}

#[derive(Serialize)]
struct Answer {
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&aws::config());
    lambda::run(async |event: Event| set(&elb, &event).await).await
}

async fn set(elb: &aws_sdk_elasticloadbalancingv2::Client, event: &Event) -> Result<Answer> {
    let Event { environment, seen, http } = event;
    let difference = redirect::differ(environment, Some(http));
    difference.apply(elb, environment, seen, http).await?;
    Ok(Answer { steps: vec![difference.step()] })
}

//! Finds the environment's certificate or requests one, and writes the CNAME that proves control of the domain.

use albatross::error::Result;
use albatross::provision::certificate;
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::step::Step;
use albatross::{aws, lambda, resource};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    environment: Environment,
    seen: Seen,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    certificate_arn: String,
    /// There is nothing to wait for.
    issued: bool,
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let (acm, route53) = (aws_sdk_acm::Client::new(&config), aws_sdk_route53::Client::new(&config));
    lambda::run(async |event: Event| request(&acm, &route53, &event.environment, &event.seen).await).await
}

async fn request(
    acm: &aws_sdk_acm::Client,
    route53: &aws_sdk_route53::Client,
    environment: &Environment,
    seen: &Seen,
) -> Result<Answer> {
    let ours = resource::certificate::find(acm, environment, seen.at_domain.validated).await?;
    let (certificate_arn, issued, difference) = certificate::apply(acm, route53, environment, ours).await?;
    Ok(Answer { certificate_arn, issued, steps: difference.steps() })
}

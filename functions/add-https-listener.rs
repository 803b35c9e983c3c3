//! Adds HTTPS:443 with the certificate, the TLS policy and HSTS.

use albatross::error::{Error, Result};
use albatross::resource::listener::{Http, Listeners, https};
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
    target_group_arn: String,
    certificate_arn: String,
    /// As create-alb left them.
    listeners: Listeners,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    https_listener_arn: String,
    /// The other listener, for set-redirect.
    http: Http,
    steps: Vec<Step>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&aws::config());
    lambda::run(async |event: Event| add(&elb, &event).await).await
}

async fn add(elb: &aws_sdk_elasticloadbalancingv2::Client, event: &Event) -> Result<Answer> {
    let Event { environment, seen, load_balancer, target_group_arn, certificate_arn, listeners } = event;
    let http = listeners.http().ok_or_else(|| Error::input("$.listeners", "has none on port 80"))?;
    let ends =
        https::Ends { load_balancer: &load_balancer.arn, target_group: target_group_arn, certificate: certificate_arn };
    let hsts = https::find_hsts(elb, listeners).await?;
    let mut difference = https::differ(environment, ends, listeners, hsts.as_deref());
    let https_listener_arn = difference.apply(elb, environment, seen, ends).await?;
    Ok(Answer { https_listener_arn, http, steps: vec![difference.step()] })
}

//! Finds the environment's certificate or requests one, and writes the CNAME that proves control of the domain.

use albatross::error::{Error, Result};
use albatross::resource::certificate::{self, Certificate};
use albatross::resource::dns;
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::step::Step;
use albatross::{aws, lambda};
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
    let ours = certificate::find(acm, environment, seen.at_domain.validated).await?;
    let mut step = certificate::plan(environment, &ours);
    if let Some(given) = &environment.input.certificate_arn {
        return Ok(Answer { certificate_arn: given.clone(), issued: true, steps: vec![step] });
    }
    let certificate = match certificate::best(&ours) {
        Some(usable) => usable.clone(),
        None => certificate::request(acm, environment, arns(&ours)).await?,
    };
    step.id.clone_from(&certificate.arn);
    let mut steps = vec![step];
    let issued = certificate.check_issued().is_ok();
    if !issued && certificate.records.is_empty() {
        let waiting_for = "waiting for ACM to name the validation record".into();
        return Err(Error::CertificatePending { arn: certificate.arn, waiting_for });
    }
    for record in &certificate.records {
        steps.push(dns::ensure_cname(route53, &environment.zone, record).await?);
    }
    Ok(Answer { certificate_arn: certificate.arn, issued, steps })
}

fn arns(certificates: &[Certificate]) -> Vec<String> {
    certificates.iter().map(|certificate| certificate.arn.clone()).collect()
}

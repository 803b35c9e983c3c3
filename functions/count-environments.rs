//! Writes every hour, as metrics, how many environments stand, what they cost, and how long ago the last night began.

use std::time::SystemTime;

use albatross::error::Result;
use albatross::resource::{execution, load_balancer};
use albatross::{aws, lambda, metric, price};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environments_standing: usize,
    cost_per_hour: Decimal,
    hours_since_night: Decimal,
}

struct Clients {
    elb: aws_sdk_elasticloadbalancingv2::Client,
    sfn: aws_sdk_sfn::Client,
    region: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let config = aws::config();
    let clients = Clients {
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        region: aws::region(&config),
    };
    lambda::run(async |_: Value| count(&clients).await).await
}

async fn count(clients: &Clients) -> Result<Answer> {
    let (stack, nightly) = (lambda::stack(), lambda::machine("NIGHTLY_MACHINE"));
    let (load_balancers, last) = tokio::try_join!(
        load_balancer::of_stack(&clients.elb, &stack),
        execution::last_start(&clients.sfn, &nightly),
    )?;
    let seconds = SystemTime::now().duration_since(last).unwrap_or_default().as_secs();
    let answer = Answer {
        environments_standing: load_balancers.len(),
        cost_per_hour: load_balancers.iter().map(|one| price::load_balancer(&clients.region, one.zones)).sum(),
        hours_since_night: (Decimal::from(seconds) / Decimal::from(3600)).round_dp(2),
    };
    metric::emit(
        &stack,
        &[
            ("EnvironmentsStanding", "Count", json!(answer.environments_standing)),
            ("CostPerHour", "None", json!(answer.cost_per_hour)),
            ("HoursSinceNight", "None", json!(answer.hours_since_night)),
        ],
    );
    Ok(answer)
}

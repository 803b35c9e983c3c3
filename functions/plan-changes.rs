//! Tells what a provision would make, change or find, and changes nothing: the rows of its answer, in their order, its
//! edits of the DNS records, and the cost.

use albatross::aws::{self, Clients};
use albatross::error::Result;
use albatross::lambda;
use albatross::price::{self, Cost};
use albatross::provision::Difference;
use albatross::resource::seen::Seen;
use albatross::spec::environment::Environment;
use albatross::spec::input::{Input, Mode};
use albatross::step::Step;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    environment: Environment,
    seen: Seen,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    environment: String,
    domain: String,
    mode: Mode,
    steps: Vec<Step>,
    dns: Vec<String>,
    warnings: Vec<String>,
    cost: Cost,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| plan(&clients, event).await).await
}

async fn plan(clients: &Clients, event: Event) -> Result<Answer> {
    let Event { environment, seen, warnings } = event;
    let difference = Difference::find(clients, &environment, &seen).await?;
    let region = aws::region(&clients.config);
    let cost = price::environment(&region, environment.subnets.len(), environment.public_ipv4());
    let (steps, dns) = (difference.steps(), difference.dns(&environment, &seen));
    let Environment { name, input: Input { domain, mode, .. }, .. } = environment;
    Ok(Answer { environment: name, domain, mode, steps, dns, warnings, cost })
}

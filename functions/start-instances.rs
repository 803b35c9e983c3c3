//! Starts the instances that a night has stopped with their user's consent, so that their environment can come back.

use albatross::error::Result;
use albatross::resource::instance;
use albatross::spec::input::Input;
use albatross::{aws, lambda};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    /// The input of the provision that is to follow.
    input: Value,
    /// The state machine repeats the call: the instances have been started.
    again: bool,
}

#[derive(Serialize)]
struct Answer {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let ec2 = aws_sdk_ec2::Client::new(&aws::config());
    lambda::run(async |event: Event| start(&ec2, event).await).await
}

async fn start(ec2: &aws_sdk_ec2::Client, event: Event) -> Result<Answer> {
    let input = Input::parse(event.input)?;
    instance::wake(ec2, &input.instances.into_iter().collect(), event.again).await?;
    Ok(Answer {})
}

//! Executions: the event of an ended provision, what it wished for, and whether one still runs.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_sdk_sfn as sfn;
use serde::Deserialize;
use serde_json::Value;
use sfn::operation::describe_execution::DescribeExecutionOutput;
use sfn::types::ExecutionStatus;

use crate::environment::{Input, Mode, OnFailure};
use crate::error::{Call, Codes, Error, Result};

/// `detail` of a "Step Functions Execution Status Change" (Step Functions developer guide, EventBridge events).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    pub execution_arn: String,
    pub state_machine_arn: String,
    pub status: String,
    /// The execution's input, a JSON text; absent where it is too large for an event.
    pub input: Option<String>,
}

/// The provision whose end an event tells of; `None` for the nightly schedule's event or any other input.
pub fn ended(event: &Value) -> Option<Ended> {
    let event: EventBridgeEvent<Value> = serde_json::from_value(event.clone()).ok()?;
    (event.source == "aws.states").then(|| serde_json::from_value(event.detail).ok()).flatten()
}

/// What a provision execution's input says of its environment; `None` where it was refused as bad input, or was just to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub name: String,
    pub domain: String,
    pub hosted_zone_id: Option<String>,
    pub on_failure: OnFailure,
}

impl Wish {
    pub fn of(input: &str) -> Option<Wish> {
        let input = Input::parse(serde_json::from_str(input).ok()?).ok()?;
        if input.mode == Mode::Plan {
            return None;
        }
        Some(Wish {
            name: input.name(),
            domain: input.domain,
            hosted_zone_id: input.hosted_zone_id,
            on_failure: input.on_failure,
        })
    }
}

async fn describe(client: &sfn::Client, arn: &str) -> Result<Option<DescribeExecutionOutput>> {
    let answer = client.describe_execution().execution_arn(arn).send().await.call("states:DescribeExecution");
    answer.unless(&["ExecutionDoesNotExist"])
}

/// What the ended provision wished for.
pub async fn wish(client: &sfn::Client, ended: &Ended) -> Result<Option<Wish>> {
    let text = match &ended.input {
        Some(text) => Some(text.clone()),
        None => describe(client, &ended.execution_arn).await?.and_then(|found| found.input),
    };
    Ok(text.as_deref().and_then(Wish::of))
}

/// Whether an execution of this stack's machines runs, as far as can be told.
pub async fn may_run(client: &sfn::Client, arn: &str) -> Result<bool> {
    match describe(client, arn).await {
        Ok(found) => Ok(found.is_some_and(|found| found.status == ExecutionStatus::Running)),
        // Of another stack or region, which this one may not ask about.
        Err(Error::AwsRefused(_)) => Ok(true),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_ended_execution_is_one() {
        let detail = json!({
            "executionArn": "arn:aws:states:us-east-1:1:execution:provision:x", "stateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:provision",
            "name": "x", "status": "ABORTED", "input": "{\"domain\": \"api.example.com\", \"instances\": [\"i-0abc1234def567890\"], \"onFailure\": \"keep\"}",
        });
        let event = |source: &str, detail: Value| {
            json!({
                "version": "0", "id": "1", "detail-type": "Step Functions Execution Status Change", "source": source,
                "account": "1", "time": "2026-11-24T00:00:00Z", "region": "us-east-1", "resources": [], "detail": detail,
            })
        };
        let ended_one = ended(&event("aws.states", detail)).unwrap();
        let wish = Wish::of(&ended_one.input.unwrap()).unwrap();
        assert_eq!((wish.name.as_str(), wish.on_failure), ("api-example-com", OnFailure::Keep));
        assert!(ended(&event("aws.events", json!({}))).is_none());
        assert!(ended(&json!({})).is_none());
        assert!(Wish::of("{\"domain\": \"*\"}").is_none());
        let plan = "{\"domain\": \"api.example.com\", \"instances\": [\"i-0abc1234def567890\"], \"mode\": \"plan\"}";
        assert!(Wish::of(plan).is_none());
    }
}

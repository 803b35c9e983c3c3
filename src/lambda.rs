//! Runs a function on Lambda: its log, its errors by name, and the variables that it is given.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::error::{Error, Result};
use crate::owner::Owner;

/// Serves `step` on the Lambda Runtime API until Lambda ends the process.
pub async fn run<Event, Answer, Step>(step: Step) -> std::result::Result<(), lambda_runtime::Error>
where
    Event: DeserializeOwned,
    Answer: Serialize,
    Step: AsyncFn(Event) -> Result<Answer>,
{
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).with_span_list(false).init();
    let step = &step;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let span = span(&event.payload);
        async move {
            let result = match serde_json::from_value(event.payload) {
                // In a box, as the SDK's futures nest deeper than the compiler's limit.
                Ok(event) => Box::pin(step(event)).await,
                Err(problem) => Err(Error::input("$", format!("not an event of this function: {problem}"))),
            };
            match &result {
                Ok(_) => tracing::info!("done"),
                Err(error) => tracing::warn!(error = error.name(), "{error}"),
            }
            result.map_err(Diagnostic::from)
        }
        .instrument(span)
    }))
    .await
}

/// Where the functions' events name their environment. The first that is there counts.
const ENVIRONMENT: [&str; 6] = [
    "/environment/name",
    "/plan/environment/name",
    "/provisioned/environment/name",
    "/tornDown/environment/name",
    "/input/name",
    "/input/domain",
];

/// Makes the fields that every line of an invocation's log has: step, execution and environment, and no more of the event.
fn span(event: &Value) -> tracing::Span {
    let text =
        |paths: &[&str]| paths.iter().find_map(|path| event.pointer(path)?.as_str()).unwrap_or_default().to_owned();
    tracing::info_span!(
        "invocation",
        step = std::env::var("AWS_SDK_UA_APP_ID").unwrap_or_default(),
        run = text(&["/run"]),
        environment = text(&ENVIRONMENT),
    )
}

/// Returns the name of the CloudFormation stack that the function belongs to, which owns what the function makes.
pub fn stack() -> String {
    std::env::var("ALBATROSS_STACK").expect("template.yaml sets ALBATROSS_STACK for every function")
}

/// Returns the owner of what the function makes.
pub fn owner() -> Owner {
    let region = std::env::var("AWS_REGION").expect("Lambda sets AWS_REGION");
    let account = std::env::var("ALBATROSS_ACCOUNT").expect("template.yaml sets ALBATROSS_ACCOUNT for every function");
    Owner { stack: stack(), region, account }
}

/// Returns the stack's parameter ResourceTags. Only check-input is given it.
pub fn resource_tags() -> String {
    std::env::var("ALBATROSS_RESOURCE_TAGS").expect("template.yaml sets ALBATROSS_RESOURCE_TAGS")
}

/// Returns the ARN of one of the stack's machines, from a variable that template.yaml gives this function.
pub fn machine(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("template.yaml sets {variable}"))
}

/// Returns the memory of this function, in MB.
pub fn memory() -> u64 {
    let text = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").expect("Lambda sets AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
    text.parse().expect("a number of MB")
}

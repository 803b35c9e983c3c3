//! How the functions reach AWS.

use aws_config::{BehaviorVersion, SdkConfig};

/// The SDK's configuration from the Lambda environment. `AWS_SDK_UA_APP_ID` there puts the function's name into the user
/// agent, so that CloudTrail tells which step made a call.
///
/// Retries are the SDK's standard three attempts; what is still throttled then waits in the state machine, whose backoff
/// costs nothing. The SDK's adaptive mode would sleep here: at its lowest rate ten seconds for each retry.
pub async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// The region that the functions work in.
pub fn region(config: &SdkConfig) -> String {
    config.region().map(ToString::to_string).unwrap_or_default()
}

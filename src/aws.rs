//! How the functions reach AWS.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// The SDK's configuration from the Lambda environment, with retries that slow down where AWS throttles. `AWS_SDK_UA_APP_ID`
/// there puts the function's name into the user agent, so that CloudTrail tells which step made a call.
pub async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::adaptive()).load().await
}

/// The region that the functions work in.
pub fn region(config: &SdkConfig) -> String {
    config.region().map(ToString::to_string).unwrap_or_default()
}

//! How the functions reach AWS.

use aws_config::{BehaviorVersion, SdkConfig};

/// The SDK's configuration from the Lambda environment. `AWS_SDK_UA_APP_ID` there puts the function's name into the
/// user agent, so that CloudTrail tells which step made a call.
pub async fn config() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

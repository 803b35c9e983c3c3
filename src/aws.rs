//! How the functions reach AWS.

use aws_config::{AppName, BehaviorVersion, SdkConfig};

/// The SDK's configuration from the Lambda environment. The function's name goes into the user agent, so that
/// CloudTrail tells which step made a call.
pub async fn config() -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(name) = std::env::var("ALBATROSS_FUNCTION").ok().and_then(|name| AppName::new(name).ok()) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

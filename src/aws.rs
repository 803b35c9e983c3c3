//! How the functions reach AWS.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// With ring: AWS-LC, the SDK's own choice, makes each function a third of a megabyte larger.
pub const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// The SDK's configuration from the Lambda environment. `AWS_SDK_UA_APP_ID` there puts the function's name into the user
/// agent, so that CloudTrail tells which step made a call. All clients share one HTTP client, which reads the trusted roots
/// once.
///
/// Retries are the SDK's standard three attempts; what is still throttled then waits in the state machine, whose backoff
/// costs nothing. The SDK's adaptive mode would sleep here: at its lowest rate ten seconds for each retry.
pub async fn config() -> SdkConfig {
    let http = Builder::new().tls_provider(TLS).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
}

/// The region that the functions work in.
pub fn region(config: &SdkConfig) -> String {
    config.region().map(ToString::to_string).unwrap_or_default()
}

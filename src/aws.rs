//! How the functions reach AWS: configuration, clients and endpoints.

use std::env;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::app_name::AppName;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// The cryptography is ring's: AWS-LC, the SDK's own choice, makes each function 0.3 MB larger.
pub const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// Reads the SDK's configuration from the variables that Lambda sets (developer guide, "Using Lambda environment variables"),
/// and from nowhere else: `aws-config` looks in files and asks other services too, and would be a sixth of each function.
/// `AWS_SDK_UA_APP_ID` puts the function's name into the user agent, so that CloudTrail tells which step made a call. All
/// clients share one HTTP client, which reads the trusted roots once.
///
/// The SDK makes its standard three attempts at a call. A call that is still throttled then waits in the state machine, whose
/// waits cost nothing. The SDK's adaptive mode would sleep here, at its lowest rate ten seconds for each retry.
pub fn config() -> SdkConfig {
    let text = |name: &str| env::var(name).unwrap_or_default();
    let token = env::var("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty());
    let (id, secret) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"));
    let credentials = Credentials::new(id, secret, token, None, "Lambda");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(text("AWS_REGION")))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .http_client(Builder::new().tls_provider(TLS).build_https())
        .service_config(Endpoints);
    config.set_app_name(AppName::new(text("AWS_SDK_UA_APP_ID")).ok());
    config.build()
}

/// A client for each service, for functions that need most of them.
pub struct Clients {
    pub config: SdkConfig,
    pub acm: aws_sdk_acm::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    pub route53: aws_sdk_route53::Client,
    pub sfn: aws_sdk_sfn::Client,
}

impl Clients {
    pub fn new(config: SdkConfig) -> Self {
        Clients {
            acm: aws_sdk_acm::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            config,
        }
    }
}

/// Finds services that are not at their usual endpoints, as on the local AWS.
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    /// Returns a setting of one service, or else that of all (SDKs and tools reference guide, "Service-specific endpoints").
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        env::var(format!("{}_{service}", key.env())).or_else(|_| env::var(key.env())).ok()
    }
}

/// Returns the region that the functions work in.
pub fn region(config: &SdkConfig) -> String {
    config.region().map(ToString::to_string).unwrap_or_default()
}

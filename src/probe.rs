//! The proof: real requests to the load balancer with the domain as server name, before DNS points there.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, redirect};
use serde::Serialize;

use crate::environment::Environment;
use crate::error::{Error, Result, chain};
use crate::load_balancer::Front;

const TIMEOUT: Duration = Duration::from_secs(5);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub result: Verdict,
    pub detail: String,
}

/// A check that fails is an error, so there is no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Skipped,
}

impl Check {
    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, result: Verdict::Passed, detail: detail.into() }
    }
}

/// The checks of [`run`], by name.
const CHECKS: [&str; 3] = ["https health path", "certificate chain and name", "http redirect"];

/// Why this function cannot reach the load balancer, where it cannot: then its checks are reported as skipped.
fn unreachable(environment: &Environment) -> Option<&'static str> {
    let everybody = |range: &ipnet::IpNet| range.prefix_len() == 0;
    if std::env::var_os("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2").is_some() {
        Some("the load balancer is an emulator's, which serves no traffic")
    } else if !environment.allowed_cidrs.iter().any(everybody) {
        Some("allowedCidrs does not admit the function that checks")
    } else {
        None
    }
}

/// Requests the health path over HTTPS and the root over HTTP, as a browser that knows the domain would.
///
/// # Errors
/// [`Error::HttpsNotServing`] with what differed; wrong certificates included.
pub async fn run(environment: &Environment, front: &Front) -> Result<Vec<Check>> {
    if let Some(why) = unreachable(environment) {
        return Ok(CHECKS.map(|name| Check { name, result: Verdict::Skipped, detail: why.into() }).into());
    }
    let domain = &environment.domain;
    let https = format!("https://{domain}{}", environment.health_check.path);
    let http = format!("http://{domain}/");
    let failed = |url: &str, problem: String| Error::HttpsNotServing {
        url: url.into(),
        load_balancer: front.dns_name.clone(),
        problem,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((front.dns_name.as_str(), 0))
        .await
        .map_err(|error| failed(&https, format!("its DNS name does not resolve yet: {error}")))?
        .collect();
    let client = Client::builder()
        .resolve_to_addrs(domain, &addresses)
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| failed(&https, chain(&error)))?;
    let get = async |url: &str| client.get(url).send().await.map_err(|error| failed(url, chain(&error)));
    let (secure, plain) = tokio::try_join!(get(&https), get(&http))?;
    // Any answer of the backend is an answer over TLS; that the path answers as it should is the health check's matter,
    // but a 5xx from here means that the front does not serve it.
    if secure.status().is_server_error() {
        return Err(failed(&https, format!("status {}", secure.status())));
    }
    check_redirect(&plain, domain).map_err(|problem| failed(&http, problem))?;
    let details = [
        format!("{https} answers {}", secure.status()),
        format!("trusted, and for {domain}"),
        format!("{http} answers {} to {}", plain.status(), location(&plain)),
    ];
    Ok(CHECKS.into_iter().zip(details).map(|(name, detail)| Check::passed(name, detail)).collect())
}

fn location(response: &Response) -> &str {
    response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn check_redirect(response: &Response, domain: &str) -> std::result::Result<(), String> {
    let to = location(response);
    let is_https = [format!("https://{domain}/"), format!("https://{domain}:443/")].iter().any(|root| to == root);
    if response.status() == StatusCode::MOVED_PERMANENTLY && is_https {
        Ok(())
    } else {
        Err(format!("status {} to {to:?}, not 301 to https://{domain}/", response.status()))
    }
}

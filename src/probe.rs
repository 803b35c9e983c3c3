//! The proof: real requests to the load balancer with the domain as server name, before DNS points there.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Serialize;

use crate::environment::Environment;
use crate::error::{Error, Result, chain};
use crate::load_balancer::Front;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Names where to ask where a load balancer of the local AWS listens, as its DNS name resolves nowhere. Not set on AWS.
const RESOLVE: &str = "ALBATROSS_RESOLVE";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    let admitted = environment.allowed_cidrs.iter().any(everybody);
    (!admitted).then_some("allowedCidrs does not admit the function that checks")
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
    let get = async |url: &str, port: u16| {
        let addresses = addresses(&front.dns_name, port)
            .await
            .map_err(|error| failed(url, format!("its address is not known yet: {}", chain(&*error))))?;
        request(url, domain, &addresses).await.map_err(|error| failed(url, chain(&error)))
    };
    let (secure, plain) = tokio::try_join!(get(&https, 443), get(&http, 80))?;
    // Any answer of the backend is an answer over TLS; that the path answers as it should is the health check's matter,
    // but a 5xx from here means that the front does not serve it.
    if secure.status().is_server_error() {
        return Err(failed(&https, format!("status {}", secure.status())));
    }
    let to = plain.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    check_redirect(plain.status(), to, domain).map_err(|problem| failed(&http, problem))?;
    let details = [
        format!("{https} answers {}", secure.status()),
        format!("trusted, and for {domain}"),
        format!("{http} answers {} to {to}", plain.status()),
    ];
    Ok(CHECKS.into_iter().zip(details).map(|(name, detail)| Check::passed(name, detail)).collect())
}

/// Where a port of the load balancer listens: at that port of what its DNS name resolves to.
async fn addresses(dns_name: &str, port: u16) -> std::result::Result<Vec<SocketAddr>, BoxError> {
    let host = format!("{dns_name}:{port}");
    let host = match std::env::var(RESOLVE) {
        Ok(local) => {
            let answer = reqwest::get(format!("{local}/{host}")).await?.error_for_status()?;
            serde_json::from_slice(&answer.bytes().await?)?
        }
        Err(_) => host,
    };
    Ok(tokio::net::lookup_host(host).await?.collect())
}

/// One request of the domain at these addresses, whatever DNS says of it.
async fn request(url: &str, domain: &str, addresses: &[SocketAddr]) -> reqwest::Result<Response> {
    let client = Client::builder()
        .resolve_to_addrs(domain, addresses)
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()?;
    client.get(url).send().await
}

/// Elastic Load Balancing names the port in its redirects.
fn check_redirect(status: StatusCode, to: &str, domain: &str) -> std::result::Result<(), String> {
    let roots = [format!("https://{domain}/"), format!("https://{domain}:443/")];
    if status == StatusCode::MOVED_PERMANENTLY && roots.iter().any(|root| to == root) {
        Ok(())
    } else {
        Err(format!("status {status} to {to:?}, not 301 to https://{domain}/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "api.example.com";

    #[tokio::test]
    async fn on_aws_a_name_is_resolved_and_its_own_port_taken() {
        let found = addresses("localhost", 443).await.unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 443));
    }

    #[test]
    fn a_permanent_redirect_to_the_domains_root_is_right_with_and_without_port() {
        for to in ["https://api.example.com/", "https://api.example.com:443/"] {
            assert_eq!(check_redirect(StatusCode::MOVED_PERMANENTLY, to, DOMAIN), Ok(()));
        }
    }

    #[test]
    fn any_other_answer_over_http_is_said_as_it_was() {
        let wrong = [
            (StatusCode::OK, ""),
            (StatusCode::FOUND, "https://api.example.com:443/"),
            (StatusCode::MOVED_PERMANENTLY, "http://api.example.com/"),
            (StatusCode::MOVED_PERMANENTLY, "https://api.example.com.evil.test/"),
            (StatusCode::MOVED_PERMANENTLY, "https://api.example.com:8443/"),
        ];
        for (status, to) in wrong {
            let problem = check_redirect(status, to, DOMAIN).unwrap_err();
            assert_eq!(problem, format!("status {status} to {to:?}, not 301 to https://api.example.com/"));
        }
    }
}

//! The proof: real requests to the load balancer with the domain as server name, before DNS points there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http::header::LOCATION;
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::aws;
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
    let https = url(domain, &environment.health_check.path);
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
        request(url, domain, &addresses).await.map_err(|error| failed(url, chain(&*error)))
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

/// What a load balancer takes in a health path and no URL may have (URL standard, query and path percent-encode sets).
const ESCAPED: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'`');

fn url(domain: &str, path: &str) -> String {
    format!("https://{domain}{}", utf8_percent_encode(path, ESCAPED))
}

/// Where a port of the load balancer listens: at that port of what its DNS name resolves to.
async fn addresses(dns_name: &str, port: u16) -> std::result::Result<Vec<SocketAddr>, BoxError> {
    let host = format!("{dns_name}:{port}");
    let host = match std::env::var(RESOLVE) {
        Ok(local) => {
            let answer = send(HttpRequest::get(format!("{local}/{host}"))?, Vec::new()).await?;
            serde_json::from_slice(&ByteStream::new(answer.into_body()).collect().await?.into_bytes())?
        }
        Err(_) => host,
    };
    Ok(tokio::net::lookup_host(host).await?.collect())
}

/// One request of the domain at these addresses, whatever DNS says of it.
async fn request(
    url: &str,
    domain: &str,
    addresses: &[SocketAddr],
) -> std::result::Result<Response<SdkBody>, BoxError> {
    let mut request = HttpRequest::get(url)?;
    // A resolver gives no ports: one that is not the scheme's own, as on the local AWS, has to be in the URL.
    if let Some(port) = addresses.first().map(SocketAddr::port).filter(|port| ![80, 443].contains(port)) {
        request.set_uri(url.replacen(domain, &format!("{domain}:{port}"), 1))?;
        request.headers_mut().insert("host", domain.to_owned());
    }
    send(request, addresses.iter().map(SocketAddr::ip).collect()).await
}

/// Sends it to these addresses if it is to a name. Redirects are not followed.
async fn send(request: HttpRequest, addresses: Vec<IpAddr>) -> std::result::Result<Response<SdkBody>, BoxError> {
    let connector = Connector::builder().tls_provider(aws::TLS).build_with_resolver(Resolved(addresses));
    let answer = tokio::time::timeout(TIMEOUT, connector.call(request)).await;
    Ok(answer.map_err(|_| format!("no answer in {} seconds", TIMEOUT.as_secs()))??.try_into_http1x()?)
}

/// What every name resolves to.
#[derive(Debug, Clone)]
struct Resolved(Vec<IpAddr>);

impl ResolveDns for Resolved {
    fn resolve_dns<'a>(&'a self, _: &'a str) -> DnsFuture<'a> {
        DnsFuture::ready(Ok(self.0.clone()))
    }
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
    fn every_health_path_that_is_admitted_makes_a_url() {
        let printable: String = ('!'..='~').collect();
        for path in ["/health", &format!("/{printable}"), &format!("/?{printable}")] {
            assert!(HttpRequest::get(url(DOMAIN, path)).is_ok(), "{path}");
        }
        assert_eq!(url(DOMAIN, "/<`>?a=b"), "https://api.example.com/%3C%60%3E?a=b");
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

//! The proof: real requests to the load balancer with the domain as server name, before DNS points there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http::header::{LOCATION, SET_COOKIE};
use http::{Response, StatusCode, Uri};
use ipnet::Ipv4Net;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use crate::aws;
use crate::error::{Error, Result, chain};
use crate::spec::environment::Environment;
use crate::spec::ids::LoadBalancerIds;
use crate::spec::input::{HealthCheck, Redirect};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Names where to ask where a load balancer of the local AWS listens, as its DNS name resolves nowhere. Not set on AWS.
const RESOLVE: &str = "LOCAL_AWS_RESOLVE";

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

/// Why this function cannot reach the load balancer, where it cannot: then its checks are reported as skipped. It asks from
/// any IPv4 address, and never by IPv6: a function outside a VPC has none (Lambda developer guide, networking).
fn unreachable(environment: &Environment) -> Option<&'static str> {
    let allowed = environment.input.allowed_cidrs();
    let v4 = allowed.iter().filter_map(|range| match range {
        ipnet::IpNet::V4(range) => Some(*range),
        ipnet::IpNet::V6(_) => None,
    });
    let admitted = Ipv4Net::aggregate(&v4.collect()).iter().any(|range| range.prefix_len() == 0);
    (!admitted).then_some("allowedCidrs does not admit the function that checks, which may ask from any IPv4 address")
}

/// Requests the health path and the root over HTTPS and the root over HTTP, as a browser that knows the domain would.
///
/// # Errors
/// [`Error::HttpsNotServing`] with what differed; wrong certificates included.
pub async fn run(environment: &Environment, load_balancer: &LoadBalancerIds) -> Result<Vec<Check>> {
    if let Some(why) = unreachable(environment) {
        return Ok(CHECKS.map(|name| Check { name, result: Verdict::Skipped, detail: why.into() }).into());
    }
    let domain = &environment.input.domain;
    let https = url(domain, &environment.input.health_check.path);
    let (root, http) = (url(domain, "/"), format!("http://{domain}/"));
    let failed = |url: &str, problem: String| Error::HttpsNotServing {
        url: url.into(),
        load_balancer: load_balancer.dns_name.clone(),
        problem,
    };
    let get = async |url: &str, port: u16| {
        let addresses = addresses(&load_balancer.dns_name, port)
            .await
            .map_err(|error| failed(url, format!("its address is not known yet: {}", chain(&*error))))?;
        request(url, domain, &addresses).await.map_err(|error| failed(url, chain(&*error)))
    };
    // What the root answers is the site's own matter, unless nobody ever gets there.
    let front_page = async { Ok(get(&root, 443).await.ok()) };
    let (secure, front_page, plain) = tokio::try_join!(get(&https, 443), front_page, get(&http, 80))?;
    check_loop(&https, &secure).map_err(|problem| failed(&https, problem))?;
    check_status(secure.status(), &environment.input.health_check).map_err(|problem| failed(&https, problem))?;
    // One that sets a cookie may look whether it comes back.
    if let Some(front_page) = front_page.filter(|answer| !answer.headers().contains_key(SET_COOKIE)) {
        check_loop(&root, &front_page).map_err(|problem| failed(&root, problem))?;
    }
    let to = location(&plain);
    check_redirect(plain.status(), to, domain, environment.input.redirect).map_err(|problem| failed(&http, problem))?;
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

fn location<T>(answer: &Response<T>) -> &str {
    answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A redirect to where it came from never ends, whatever the matcher says.
fn check_loop<T>(url: &str, answer: &Response<T>) -> std::result::Result<(), String> {
    let to = location(answer);
    if answer.status().is_redirection() && answer.headers().contains_key(LOCATION) && leads_back(url, to) {
        return Err(format!(
            "status {} to {to:?}: it redirects to itself, without end. The load balancer speaks HTTP to the instances; make the backend heed the header X-Forwarded-Proto, which says https, before it redirects to HTTPS",
            answer.status()
        ));
    }
    Ok(())
}

/// Whether what a redirect leads to is the URL itself, if only by way of the HTTP listener, which redirects back.
fn leads_back(url: &str, to: &str) -> bool {
    let to = to.split('#').next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let without_query = path.split('?').next().unwrap_or_default();
    // A reference is resolved as RFC 3986, 5.2.2, says.
    let resolved = match to {
        _ if to.contains("://") => to.to_owned(),
        "" => url.to_owned(),
        _ if to.starts_with("//") => format!("{scheme}:{to}"),
        _ if to.starts_with('/') => format!("{scheme}://{authority}{to}"),
        _ if to.starts_with('?') => format!("{scheme}://{authority}{without_query}{to}"),
        _ => {
            let folder = &without_query[..without_query.rfind('/').map_or(0, |slash| slash + 1)];
            format!("{scheme}://{authority}{folder}{to}")
        }
    };
    let (Ok(url), Ok(to)) = (url.parse::<Uri>(), resolved.parse::<Uri>()) else { return false };
    let site = |url: &Uri| match (url.scheme_str().map(str::to_ascii_lowercase).as_deref(), url.port_u16()) {
        (Some("https"), None | Some(443)) | (Some("http"), None | Some(80)) => {
            url.host().map(|host| host.trim_end_matches('.').to_ascii_lowercase())
        }
        _ => None,
    };
    let asks = |url: &Uri| {
        let path_and_query = url.path_and_query().map_or("/", |asked| asked.as_str());
        percent_decode_str(path_and_query).collect::<Vec<u8>>()
    };
    site(&to).is_some() && site(&url) == site(&to) && asks(&url) == asks(&to)
}

/// Through the load balancer the health path answers as its health check wants.
fn check_status(status: StatusCode, wanted: &HealthCheck) -> std::result::Result<(), String> {
    if wanted.admits(status.as_u16()) {
        return Ok(());
    }
    Err(format!(
        "status {status}, and healthCheck.matcher wants {}. Does the backend answer otherwise for this host name, or for what X-Forwarded-For and X-Forwarded-Proto say?",
        wanted.matcher
    ))
}

/// Elastic Load Balancing names the port in its redirects.
fn check_redirect(status: StatusCode, to: &str, domain: &str, wanted: Redirect) -> std::result::Result<(), String> {
    let wanted = u16::from(wanted);
    let roots = [format!("https://{domain}/"), format!("https://{domain}:443/")];
    if status.as_u16() == wanted && roots.iter().any(|root| to == root) {
        Ok(())
    } else {
        Err(format!("status {status} to {to:?}, not {wanted} to https://{domain}/"))
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
    fn a_redirect_to_the_domains_root_is_right_with_and_without_port() {
        for to in ["https://api.example.com/", "https://api.example.com:443/"] {
            assert_eq!(check_redirect(StatusCode::FOUND, to, DOMAIN, Redirect::Temporary), Ok(()));
            assert_eq!(check_redirect(StatusCode::MOVED_PERMANENTLY, to, DOMAIN, Redirect::Permanent), Ok(()));
        }
    }

    #[test]
    fn any_other_answer_over_http_is_said_as_it_was() {
        let wrong = [
            (StatusCode::OK, ""),
            (StatusCode::MOVED_PERMANENTLY, "https://api.example.com:443/"),
            (StatusCode::FOUND, "http://api.example.com/"),
            (StatusCode::FOUND, "https://api.example.com.evil.test/"),
            (StatusCode::FOUND, "https://api.example.com:8443/"),
        ];
        for (status, to) in wrong {
            let problem = check_redirect(status, to, DOMAIN, Redirect::Temporary).unwrap_err();
            assert_eq!(problem, format!("status {status} to {to:?}, not 302 to https://api.example.com/"));
        }
    }

    const HEALTH: &str = "https://api.example.com/health?deep=1";

    #[test]
    fn a_redirect_to_itself_leads_back_however_it_is_written() {
        for to in [
            HEALTH,
            "HTTPS://API.Example.com:443/health?deep=1",
            "https://api.example.com./health?deep=1#top",
            // The HTTP listener redirects that back.
            "http://api.example.com/health?deep=1",
            "http://api.example.com:80/health?deep=1",
            "//api.example.com/health?deep=1",
            "/health?deep=1",
            "/h%65alth?deep=1",
            "?deep=1",
            "health?deep=1",
            "",
        ] {
            assert!(leads_back(HEALTH, to), "{to}");
        }
        assert!(leads_back("https://api.example.com/", "https://api.example.com"));
        assert!(leads_back("https://api.example.com/", "/"));
    }

    #[test]
    fn a_redirect_elsewhere_does_not_lead_back() {
        for to in [
            "https://api.example.com/health",
            "https://api.example.com/health/?deep=1",
            "https://www.example.com/health?deep=1",
            "https://api.example.com:8443/health?deep=1",
            "http://api.example.com:443/health?deep=1",
            "ftp://api.example.com/health?deep=1",
            "/login",
            "login",
            "?deep=2",
            "https://",
            "http://[",
        ] {
            assert!(!leads_back(HEALTH, to), "{to}");
        }
    }

    #[test]
    fn a_loop_is_one_whatever_the_matcher_admits() {
        let answer = |status: u16, to: &str| Response::builder().status(status).header(LOCATION, to).body(()).unwrap();
        for status in [301, 302, 303, 307, 308] {
            let problem = check_loop(HEALTH, &answer(status, HEALTH)).unwrap_err();
            assert!(problem.contains("redirects to itself"), "{problem}");
            assert!(problem.contains("X-Forwarded-Proto"), "{problem}");
        }
        assert_eq!(check_loop(HEALTH, &answer(302, "/login")), Ok(()));
        assert_eq!(check_loop(HEALTH, &answer(201, HEALTH)), Ok(()));
        let not_modified = Response::builder().status(304).body(()).unwrap();
        assert_eq!(check_loop(HEALTH, &not_modified), Ok(()));
    }

    #[test]
    fn the_health_path_answers_as_its_matcher_says() {
        let wanted = HealthCheck { matcher: "200-299,401".into(), ..HealthCheck::default() };
        assert_eq!(check_status(StatusCode::UNAUTHORIZED, &wanted), Ok(()));
        let problem = check_status(StatusCode::NOT_FOUND, &wanted).unwrap_err();
        assert!(problem.starts_with("status 404 Not Found, and healthCheck.matcher wants 200-299,401"), "{problem}");
    }

    #[test]
    fn only_all_of_ipv4_admits_the_function_that_checks() {
        let reachable = |ranges: &[&str]| {
            let mut environment = Environment::example();
            environment.input.allowed_cidrs = Some(ranges.iter().map(|range| range.parse().unwrap()).collect());
            unreachable(&environment).is_none()
        };
        assert!(reachable(&["0.0.0.0/0"]));
        assert!(reachable(&["::/0", "0.0.0.0/0"]));
        assert!(reachable(&["0.0.0.0/1", "128.0.0.0/1"]));
        assert!(!reachable(&["::/0"]));
        assert!(!reachable(&["0.0.0.0/1"]));
        assert!(!reachable(&["203.0.113.0/24", "::/0"]));
    }
}

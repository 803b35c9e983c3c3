//! The load balancer's listeners: HTTP:80, which forwards until it redirects, and HTTPS:443.

use std::fmt;

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    Action, ActionTypeEnum, Certificate, ListenerAttribute, ProtocolEnum, RedirectActionConfig,
    RedirectActionStatusCodeEnum,
};
use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::tags;
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::spec::environment::Environment;
use crate::spec::input::Redirect;
use crate::step::{Outcome, Step, change};

const HTTP: i32 = 80;
const HTTPS: i32 = 443;
/// HSTS is an attribute of the listener (ELB user guide, header modification).
const HSTS: &str = "routing.http.response.strict_transport_security.header_value";

/// The HTTP listener, and how it redirects to HTTPS already, if it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    pub arn: String,
    pub redirects: Option<Redirect>,
}

/// The listeners of a load balancer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Listeners(Vec<Listener>);

/// Of a listener what we set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listener {
    arn: String,
    port: i32,
    protocol: String,
    tls_policy: String,
    /// ARNs.
    certificates: Vec<String>,
    does: Does,
}

/// Its default action.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Does {
    /// To the target group of this ARN.
    Forward(String),
    /// To HTTPS, whatever the host, path and query.
    Redirect(Redirect),
    /// In words.
    Other(String),
}

impl From<&elb::types::Listener> for Listener {
    fn from(described: &elb::types::Listener) -> Self {
        Listener {
            arn: described.listener_arn().unwrap_or_default().into(),
            port: described.port().unwrap_or_default(),
            protocol: described.protocol().map_or("", |protocol| protocol.as_str()).into(),
            tls_policy: described.ssl_policy().unwrap_or_default().into(),
            certificates: described.certificates().iter().filter_map(|has| has.certificate_arn.clone()).collect(),
            does: Does::from(described.default_actions()),
        }
    }
}

impl From<&Action> for Does {
    fn from(action: &Action) -> Self {
        match (redirects(action), action.target_group_arn()) {
            (Some(redirect), _) => Does::Redirect(redirect),
            (None, Some(to)) => Does::Forward(to.into()),
            (None, None) => Does::Other(action.r#type().map_or("none", |kind| kind.as_str()).into()),
        }
    }
}

impl From<&[Action]> for Does {
    fn from(actions: &[Action]) -> Self {
        match actions {
            [action] => action.into(),
            several => {
                Does::Other(several.iter().map(|action| Does::from(action).to_string()).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl fmt::Display for Does {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Does::Forward(group) => write!(to, "forward to {group}"),
            Does::Redirect(_) => to.write_str("redirect"),
            Does::Other(words) => to.write_str(words),
        }
    }
}

impl Listeners {
    /// # Errors
    /// As [`Call`] sorts AWS's.
    pub async fn of(client: &elb::Client, load_balancer: &str) -> Result<Self> {
        let mut listeners = vec![];
        let mut pages = client.describe_listeners().load_balancer_arn(load_balancer).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.call("elasticloadbalancing:DescribeListeners").appears_late(&["LoadBalancerNotFound"])?;
            listeners.extend(page.listeners().iter().map(Listener::from));
        }
        Ok(Listeners(listeners))
    }

    fn on(&self, port: i32) -> Option<&Listener> {
        self.0.iter().find(|listener| listener.port == port)
    }

    /// The HTTP listener as set-redirect needs it.
    pub fn http(&self) -> Option<Http> {
        let http = self.on(HTTP)?;
        let redirects = match http.does {
            Does::Redirect(redirect) => Some(redirect),
            _ => None,
        };
        Some(Http { arn: http.arn.clone(), redirects })
    }
}

/// The ARN of the one that was just created.
fn arn(created: &[elb::types::Listener]) -> String {
    created.first().and_then(|listener| listener.listener_arn()).unwrap_or_default().into()
}

fn forward(target_group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build()
}

/// How the action of a listener differs from the forward.
fn other_action(listener: &Listener, target_group: &str) -> Option<String> {
    change("default action", &listener.does, Does::Forward(target_group.into()))
}

/// Host, path and query stay as they are by ELB's default.
fn redirect(status: Redirect) -> Action {
    let status = match status {
        Redirect::Permanent => RedirectActionStatusCodeEnum::Http301,
        Redirect::Temporary => RedirectActionStatusCodeEnum::Http302,
    };
    let to = RedirectActionConfig::builder().protocol("HTTPS").port("443").status_code(status);
    Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(to.build()).build()
}

fn redirects(action: &Action) -> Option<Redirect> {
    let to = action.redirect_config()?;
    let is = |value: Option<&str>, default: &str| value.is_none_or(|value| value == default);
    let to_https = to.protocol() == Some("HTTPS")
        && to.port() == Some("443")
        && is(to.host(), "#{host}")
        && is(to.path(), "/#{path}")
        && is(to.query(), "#{query}");
    match to.status_code()? {
        RedirectActionStatusCodeEnum::Http301 if to_https => Some(Redirect::Permanent),
        RedirectActionStatusCodeEnum::Http302 if to_https => Some(Redirect::Temporary),
        _ => None,
    }
}

/// An HTTP:80 listener; a new one forwards, one that redirects already is left so. Answers all listeners with it. `new`: the
/// load balancer was made a moment ago.
pub async fn ensure_http(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    load_balancer: &str,
    target_group: &str,
    new: bool,
) -> Result<(Listeners, Step)> {
    let mut listeners = if new { Listeners::default() } else { Listeners::of(client, load_balancer).await? };
    let mut step = plan_http(&listeners, target_group);
    match step.outcome {
        Outcome::Changed => {
            let call = client.modify_listener().listener_arn(&step.id).default_actions(forward(target_group));
            let modified = call.send().await.call("elasticloadbalancing:ModifyListener");
            modified.authorised_late(!seen.complete)?;
        }
        Outcome::Created => {
            let created = client
                .create_listener()
                .load_balancer_arn(load_balancer)
                .protocol(ProtocolEnum::Http)
                .port(HTTP)
                .default_actions(forward(target_group))
                .set_tags(Some(tags::of_elb(environment)))
                .send()
                .await
                .call("elasticloadbalancing:CreateListener")
                // DuplicateListener: made beside us since we looked; the next look finds it.
                .appears_late(&["LoadBalancerNotFound", "TargetGroupNotFound", "DuplicateListener"])
                .authorised_late(new || !seen.complete)?;
            listeners.0.extend(created.listeners().iter().map(Listener::from));
            step.id = arn(created.listeners());
        }
        _ => {}
    }
    Ok((listeners, step))
}

/// What [`ensure_http`] would do.
pub fn plan_http(listeners: &Listeners, target_group: &str) -> Step {
    let Some(listener) = listeners.on(HTTP) else { return Step::new(Kind::HttpListener, "", Outcome::Created) };
    let redirects = matches!(listener.does, Does::Redirect(_));
    let other = if redirects { None } else { other_action(listener, target_group) };
    Step::settled(Kind::HttpListener, &listener.arn, other.into_iter().collect())
}

/// An HTTPS:443 listener with the certificate, the TLS policy and HSTS; `listeners` are those that stood.
///
/// # Errors
/// [`Error::CertificatePending`] while ELB does not see the certificate as ISSUED yet: ACM's own answer can be ahead.
pub async fn ensure_https(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    load_balancer: &str,
    target_group: &str,
    certificate: &str,
    listeners: &Listeners,
) -> Result<Step> {
    let mut step = differ(listeners, environment, target_group, certificate);
    if step.outcome == Outcome::Created {
        if let Some(arn) = create_https(client, environment, seen, load_balancer, target_group, certificate).await? {
            set_hsts(client, environment, &arn, true).await?;
            return Ok(Step { id: arn, ..step });
        }
        // Made beside us since they were listed, and otherwise.
        step = differ(&Listeners::of(client, load_balancer).await?, environment, target_group, certificate);
    }
    match step.outcome {
        Outcome::Created => return Err(Error::not_shown_yet("elasticloadbalancing:DescribeListeners", "HTTPS:443")),
        Outcome::Changed => {
            let modified = client
                .modify_listener()
                .listener_arn(&step.id)
                .protocol(ProtocolEnum::Https)
                .ssl_policy(&environment.input.tls_policy)
                .certificates(Certificate::builder().certificate_arn(certificate).build())
                .default_actions(forward(target_group))
                .send()
                .await;
            let modified = usable(modified.call("elasticloadbalancing:ModifyListener"), certificate);
            modified.authorised_late(!seen.complete)?;
        }
        _ => {}
    }
    let hsts = other_hsts(client, environment, &step.id).await?;
    if hsts.is_some() {
        set_hsts(client, environment, &step.id, !seen.complete).await?;
    }
    Ok(with_hsts(step, hsts))
}

/// The new listener's ARN; `None` where another stands on its port.
async fn create_https(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    load_balancer: &str,
    target_group: &str,
    certificate: &str,
) -> Result<Option<String>> {
    let created = client
        .create_listener()
        .load_balancer_arn(load_balancer)
        .protocol(ProtocolEnum::Https)
        .port(HTTPS)
        .ssl_policy(&environment.input.tls_policy)
        .certificates(Certificate::builder().certificate_arn(certificate).build())
        .default_actions(forward(target_group))
        .set_tags(Some(tags::of_elb(environment)))
        .send()
        .await
        .call("elasticloadbalancing:CreateListener");
    let created = usable(created, certificate).unless(&["DuplicateListener"]).authorised_late(!seen.complete)?;
    Ok(created.map(|created| arn(created.listeners())))
}

/// What [`ensure_https`] would do.
pub async fn plan_https(
    client: &elb::Client,
    environment: &Environment,
    target_group: &str,
    certificate: &str,
    listeners: &Listeners,
) -> Result<Step> {
    let step = differ(listeners, environment, target_group, certificate);
    if step.outcome == Outcome::Created {
        return Ok(step);
    }
    let hsts = other_hsts(client, environment, &step.id).await?;
    Ok(with_hsts(step, hsts))
}

/// All of the HTTPS listener but its attributes.
fn differ(listeners: &Listeners, environment: &Environment, target_group: &str, certificate: &str) -> Step {
    let Some(listener) = listeners.on(HTTPS) else { return Step::new(Kind::HttpsListener, "", Outcome::Created) };
    let other_certificate = if listener.certificates.iter().any(|has| has == certificate) {
        None
    } else {
        change("certificate", listener.certificates.join(", "), certificate)
    };
    let changes = [
        change("protocol", &listener.protocol, ProtocolEnum::Https),
        change("TLS policy", &listener.tls_policy, &environment.input.tls_policy),
        other_certificate,
        other_action(listener, target_group),
    ];
    Step::settled(Kind::HttpsListener, &listener.arn, changes.into_iter().flatten().collect())
}

fn with_hsts(step: Step, hsts: Option<String>) -> Step {
    Step::settled(Kind::HttpsListener, step.id, step.changes.into_iter().chain(hsts).collect())
}

/// Validation SUCCESS can precede ISSUED, and ELB can see a certificate later than ACM says so.
fn usable<T>(result: Result<T>, certificate: &str) -> Result<T> {
    result.map_err(|error| match error {
        Error::AwsRefused(refusal) if refusal.is(&["UnsupportedCertificate", "CertificateNotFound"]) => {
            Error::CertificatePending {
                arn: certificate.into(),
                waiting_for: format!("the load balancer does not take it yet ({})", refusal.message),
            }
        }
        other => other,
    })
}

/// How the header of a listener that stands differs.
async fn other_hsts(client: &elb::Client, environment: &Environment, arn: &str) -> Result<Option<String>> {
    let answer = client.describe_listener_attributes().listener_arn(arn).send().await;
    let answer = answer.call("elasticloadbalancing:DescribeListenerAttributes")?;
    let header = answer.attributes().iter().find(|is| is.key() == Some(HSTS)).and_then(|is| is.value());
    Ok(change("HSTS", header.unwrap_or_default(), environment.hsts_header()))
}

async fn set_hsts(client: &elb::Client, environment: &Environment, arn: &str, just_made: bool) -> Result<()> {
    client
        .modify_listener_attributes()
        .listener_arn(arn)
        .attributes(ListenerAttribute::builder().key(HSTS).value(environment.hsts_header()).build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyListenerAttributes")
        .appears_late(&["ListenerNotFound"])
        .authorised_late(just_made)
        .map(drop)
}

/// Replaces the HTTP listener's action by the redirect, in place: no moment without a listener.
pub async fn ensure_redirect(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    http: &Http,
) -> Result<Step> {
    let step = plan_redirect(environment, http);
    if step.outcome == Outcome::Changed {
        let call =
            client.modify_listener().listener_arn(&http.arn).default_actions(redirect(environment.input.redirect));
        let modified = call.send().await.call("elasticloadbalancing:ModifyListener");
        modified.authorised_late(!seen.complete)?;
    }
    Ok(step)
}

/// What [`ensure_redirect`] would do; the HTTP listener forwards before that.
pub fn plan_redirect(environment: &Environment, http: &Http) -> Step {
    let change = match http.redirects {
        Some(stands) => change("status", u16::from(stands), u16::from(environment.input.redirect)),
        None => Some("default action: forward → redirect to HTTPS".to_owned()),
    };
    Step::settled(Kind::Redirect, &http.arn, change.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(port: i32, action: Action) -> Listener {
        let described = elb::types::Listener::builder().listener_arn("arn").port(port).default_actions(action);
        Listener::from(&described.build())
    }

    fn closed() -> Action {
        Action::builder().r#type(ActionTypeEnum::FixedResponse).build()
    }

    #[test]
    fn the_http_listener_forwards_or_redirects() {
        let outcome = |listeners: Vec<Listener>| plan_http(&Listeners(listeners), "tg").outcome;
        assert_eq!(outcome(vec![on(HTTPS, forward("tg"))]), Outcome::Created);
        assert_eq!(outcome(vec![on(HTTP, forward("tg"))]), Outcome::Found);
        assert_eq!(outcome(vec![on(HTTP, redirect(Redirect::Permanent))]), Outcome::Found);
        assert_eq!(outcome(vec![on(HTTP, forward("other"))]), Outcome::Changed);
        let step = plan_http(&Listeners(vec![on(HTTP, closed())]), "tg");
        assert_eq!(step.changes, ["default action: fixed-response → forward to tg"]);
    }

    #[test]
    fn the_redirect_has_the_wanted_status() {
        let mut environment = Environment::example();
        let http = |action: Action| Listeners(vec![on(HTTP, action)]).http().unwrap();
        let changes = |environment: &Environment, http: &Http| plan_redirect(environment, http).changes;
        let (forwards, for_good) = (http(forward("tg")), http(redirect(Redirect::Permanent)));
        assert_eq!(changes(&environment, &forwards), ["default action: forward → redirect to HTTPS"]);
        assert_eq!(changes(&environment, &for_good), ["status: 301 → 302"]);
        assert_eq!(changes(&environment, &http(redirect(Redirect::Temporary))), [""; 0]);
        environment.input.redirect = Redirect::Permanent;
        assert_eq!(changes(&environment, &for_good), [""; 0]);
        let elsewhere = RedirectActionConfig::builder().protocol("HTTPS").port("443").host("example.org");
        let elsewhere = elsewhere.status_code(RedirectActionStatusCodeEnum::Http302).build();
        assert_eq!(http(Action::builder().redirect_config(elsewhere).build()).redirects, None);
    }

    #[test]
    fn the_https_listener_differs_by_all_that_it_serves() {
        let environment = Environment::example();
        let listener = |action: Action, tls_policy: &str, certificate: &str| Listener {
            protocol: "HTTPS".into(),
            tls_policy: tls_policy.into(),
            certificates: vec![certificate.into()],
            ..on(HTTPS, action)
        };
        let step = |listener: Listener| differ(&Listeners(vec![listener]), &environment, "tg", "c");
        let as_wanted = || listener(forward("tg"), &environment.input.tls_policy, "c");
        assert_eq!(step(as_wanted()), Step::new(Kind::HttpsListener, "arn", Outcome::Found));
        let hsts = Some("HSTS: none → max-age=300".to_owned());
        assert_eq!(with_hsts(step(as_wanted()), hsts).outcome, Outcome::Changed);
        assert_eq!(
            step(listener(closed(), "old", "d")).changes,
            [
                format!("TLS policy: old → {}", environment.input.tls_policy),
                "certificate: d → c".into(),
                "default action: fixed-response → forward to tg".into(),
            ]
        );
        assert_eq!(differ(&Listeners::default(), &environment, "tg", "c").outcome, Outcome::Created);
    }
}

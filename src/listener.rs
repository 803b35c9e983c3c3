//! The load balancer's listeners: HTTP:80, which forwards until it redirects, and HTTPS:443.

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{
    Action, ActionTypeEnum, Certificate, Listener, ListenerAttribute, ProtocolEnum, RedirectActionConfig,
    RedirectActionStatusCodeEnum,
};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Call, Codes, Error, Result};
use crate::load_balancer::own_tags;
use crate::step::{Outcome, Step};

const HTTP: i32 = 80;
const HTTPS: i32 = 443;
/// HSTS is an attribute of the listener (ELB user guide, header modification).
const HSTS: &str = "routing.http.response.strict_transport_security.header_value";

/// The HTTP listener, and whether it redirects already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    pub arn: String,
    pub redirects: bool,
}

/// The listeners of a load balancer, by port.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// # Errors
    /// As [`Call`] sorts AWS's.
    pub async fn of(client: &elb::Client, load_balancer: &str) -> Result<Self> {
        let mut listeners = vec![];
        let mut pages = client.describe_listeners().load_balancer_arn(load_balancer).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.call("elasticloadbalancing:DescribeListeners").appears_late(&["LoadBalancerNotFound"])?;
            listeners.extend(page.listeners.unwrap_or_default());
        }
        Ok(Listeners(listeners))
    }

    fn on(&self, port: i32) -> Option<&Listener> {
        self.0.iter().find(|listener| listener.port() == Some(port))
    }

    /// The HTTP listener as set-redirect needs it.
    pub fn http(&self) -> Option<Http> {
        self.on(HTTP).map(|listener| Http { arn: arn(listener), redirects: redirects(listener) })
    }
}

fn arn(listener: &Listener) -> String {
    listener.listener_arn().unwrap_or_default().into()
}

fn forward(target_group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build()
}

fn forwards(listener: &Listener, target_group: &str) -> bool {
    matches!(listener.default_actions(), [action] if action.target_group_arn() == Some(target_group))
}

/// Host, path and query stay as they are by ELB's default.
fn redirect() -> Action {
    let to = RedirectActionConfig::builder()
        .protocol("HTTPS")
        .port("443")
        .status_code(RedirectActionStatusCodeEnum::Http301);
    Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(to.build()).build()
}

fn redirects(listener: &Listener) -> bool {
    let [action] = listener.default_actions() else { return false };
    action.redirect_config().is_some_and(|to| {
        let is = |value: Option<&str>, default: &str| value.is_none_or(|value| value == default);
        to.protocol() == Some("HTTPS")
            && to.port() == Some("443")
            && to.status_code() == Some(&RedirectActionStatusCodeEnum::Http301)
            && is(to.host(), "#{host}")
            && is(to.path(), "/#{path}")
            && is(to.query(), "#{query}")
    })
}

/// An HTTP:80 listener; a new one forwards, one that redirects already is left so.
pub async fn ensure_http(
    client: &elb::Client,
    environment: &Environment,
    load_balancer: &str,
    target_group: &str,
    new: bool,
) -> Result<Step> {
    let listeners = if new { Listeners::default() } else { Listeners::of(client, load_balancer).await? };
    let (arn, outcome) = match listeners.on(HTTP) {
        Some(listener) if redirects(listener) || forwards(listener, target_group) => (arn(listener), Outcome::Found),
        Some(listener) => {
            let call = client.modify_listener().listener_arn(arn(listener)).default_actions(forward(target_group));
            call.send().await.call("elasticloadbalancing:ModifyListener")?;
            (arn(listener), Outcome::Changed)
        }
        None => {
            let created = client
                .create_listener()
                .load_balancer_arn(load_balancer)
                .protocol(ProtocolEnum::Http)
                .port(HTTP)
                .default_actions(forward(target_group))
                .set_tags(Some(own_tags(environment)))
                .send()
                .await
                .call("elasticloadbalancing:CreateListener")
                // DuplicateListener: made beside us since we looked; the next look finds it.
                .appears_late(&["LoadBalancerNotFound", "TargetGroupNotFound", "DuplicateListener"])?;
            (created.listeners().first().map(arn).unwrap_or_default(), Outcome::Created)
        }
    };
    Ok(Step::new("HTTP listener", arn, outcome))
}

/// An HTTPS:443 listener with the certificate, the TLS policy and HSTS.
///
/// # Errors
/// [`Error::CertificatePending`] while ELB does not see the certificate as ISSUED yet: ACM's own answer can be ahead.
pub async fn ensure_https(
    client: &elb::Client,
    environment: &Environment,
    load_balancer: &str,
    target_group: &str,
    certificate: &str,
    listeners: &Listeners,
) -> Result<Step> {
    let (arn, mut outcome) = match listeners.on(HTTPS) {
        Some(listener) if is_as_wanted(listener, environment, target_group, certificate) => {
            (arn(listener), Outcome::Found)
        }
        Some(listener) => {
            let modified = client
                .modify_listener()
                .listener_arn(arn(listener))
                .protocol(ProtocolEnum::Https)
                .ssl_policy(&environment.tls_policy)
                .certificates(Certificate::builder().certificate_arn(certificate).build())
                .default_actions(forward(target_group))
                .send()
                .await;
            usable(modified.call("elasticloadbalancing:ModifyListener"), certificate)?;
            (arn(listener), Outcome::Changed)
        }
        None => {
            let created = client
                .create_listener()
                .load_balancer_arn(load_balancer)
                .protocol(ProtocolEnum::Https)
                .port(HTTPS)
                .ssl_policy(&environment.tls_policy)
                .certificates(Certificate::builder().certificate_arn(certificate).build())
                .default_actions(forward(target_group))
                .set_tags(Some(own_tags(environment)))
                .send()
                .await
                .call("elasticloadbalancing:CreateListener")
                .appears_late(&["DuplicateListener"]);
            (usable(created, certificate)?.listeners().first().map(arn).unwrap_or_default(), Outcome::Created)
        }
    };
    if ensure_hsts(client, environment, &arn, outcome == Outcome::Created).await? && outcome == Outcome::Found {
        outcome = Outcome::Changed;
    }
    Ok(Step::new("HTTPS listener", arn, outcome))
}

fn is_as_wanted(listener: &Listener, environment: &Environment, target_group: &str, certificate: &str) -> bool {
    listener.protocol() == Some(&ProtocolEnum::Https)
        && listener.ssl_policy() == Some(&environment.tls_policy)
        && listener.certificates().iter().any(|has| has.certificate_arn() == Some(certificate))
        && forwards(listener, target_group)
}

/// Validation SUCCESS can precede ISSUED, and ELB can see a certificate later than ACM says so.
fn usable<T>(result: Result<T>, certificate: &str) -> Result<T> {
    result.map_err(|error| match error {
        Error::AwsRefused(refusal)
            if ["UnsupportedCertificate", "CertificateNotFound"].contains(&refusal.code.as_str()) =>
        {
            Error::CertificatePending {
                arn: certificate.into(),
                waiting_for: format!("the load balancer does not take it yet ({})", refusal.message),
            }
        }
        other => other,
    })
}

/// Answers whether the header had to be set.
async fn ensure_hsts(client: &elb::Client, environment: &Environment, arn: &str, new: bool) -> Result<bool> {
    let header = environment.hsts_header();
    if !new {
        let answer = client.describe_listener_attributes().listener_arn(arn).send().await;
        let answer = answer.call("elasticloadbalancing:DescribeListenerAttributes")?;
        if answer.attributes().iter().any(|is| is.key() == Some(HSTS) && is.value() == Some(&header)) {
            return Ok(false);
        }
    }
    client
        .modify_listener_attributes()
        .listener_arn(arn)
        .attributes(ListenerAttribute::builder().key(HSTS).value(header).build())
        .send()
        .await
        .call("elasticloadbalancing:ModifyListenerAttributes")
        .appears_late(&["ListenerNotFound"])?;
    Ok(true)
}

/// Replaces the HTTP listener's action by the redirect, in place: no moment without a listener.
pub async fn ensure_redirect(client: &elb::Client, http: &Http) -> Result<Step> {
    if !http.redirects {
        let call = client.modify_listener().listener_arn(&http.arn).default_actions(redirect());
        call.send().await.call("elasticloadbalancing:ModifyListener")?;
    }
    Ok(Step::new("redirect to HTTPS", &http.arn, if http.redirects { Outcome::Found } else { Outcome::Changed }))
}

//! Listeners as AWS shows them, with what is set of them, and their actions.

use std::fmt;

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::{Action, ActionTypeEnum, RedirectActionConfig, RedirectActionStatusCodeEnum};
use serde::{Deserialize, Serialize};

use crate::error::{Call, Codes, Result};
use crate::spec::input::Redirect;
use crate::step::change;

pub const HTTP: i32 = 80;
pub const HTTPS: i32 = 443;

/// The HTTP listener, and how it redirects to HTTPS already, if it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    pub arn: String,
    pub redirects: Option<Redirect>,
}

/// The listeners of a load balancer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Listeners(pub(super) Vec<Listener>);

/// What is set of a listener.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    pub arn: String,
    pub port: i32,
    pub protocol: String,
    /// `None` of an HTTP listener.
    pub tls_policy: Option<String>,
    /// ARNs.
    pub certificates: Vec<String>,
    pub does: Does,
}

/// A listener's default action.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
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
            tls_policy: described.ssl_policy().map(Into::into),
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

/// Reads the listeners of a load balancer; none where it is to be made.
pub async fn find(client: &elb::Client, load_balancer: Option<&str>) -> Result<Listeners> {
    let mut listeners = vec![];
    let Some(load_balancer) = load_balancer else { return Ok(Listeners(listeners)) };
    let mut pages = client.describe_listeners().load_balancer_arn(load_balancer).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.call("elasticloadbalancing:DescribeListeners").appears_late(&["LoadBalancerNotFound"])?;
        listeners.extend(page.listeners().iter().map(Listener::from));
    }
    Ok(Listeners(listeners))
}

impl Listeners {
    pub fn on(&self, port: i32) -> Option<&Listener> {
        self.0.iter().find(|listener| listener.port == port)
    }

    /// Adds one that was made since they were read.
    pub fn add(&mut self, made: Option<Listener>) {
        self.0.extend(made);
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

impl Listener {
    /// Says how its default action differs from the forward.
    pub fn other_than_forward(&self, target_group: &str) -> Option<String> {
        change("default action", Some(&self.does), Does::Forward(target_group.into()))
    }
}

pub fn forward(target_group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build()
}

/// Host, path and query stay as they are by ELB's default.
pub fn redirect(status: Redirect) -> Action {
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

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A listener on this port, and what it does, for the tests of each.
    pub fn on(port: i32, action: Action) -> Listener {
        let described = elb::types::Listener::builder().listener_arn("arn").port(port).default_actions(action);
        Listener::from(&described.build())
    }

    pub fn closed() -> Action {
        Action::builder().r#type(ActionTypeEnum::FixedResponse).build()
    }

    #[test]
    fn a_redirect_elsewhere_is_none_to_https() {
        let http = |action: Action| Listeners(vec![on(HTTP, action)]).http().unwrap();
        assert_eq!(http(redirect(Redirect::Permanent)).redirects, Some(Redirect::Permanent));
        let elsewhere = RedirectActionConfig::builder().protocol("HTTPS").port("443").host("example.org");
        let elsewhere = elsewhere.status_code(RedirectActionStatusCodeEnum::Http302).build();
        assert_eq!(http(Action::builder().redirect_config(elsewhere).build()).redirects, None);
    }
}

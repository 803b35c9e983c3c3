//! The HTTP:80 listener: a new one forwards, one that redirects already is left so.

use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::ProtocolEnum;

use super::listeners::{Does, HTTP, Listener, Listeners, forward};
use crate::error::{Call, Codes, Result};
use crate::kind::Kind;
use crate::resource::seen::Seen;
use crate::resource::tags;
use crate::spec::environment::Environment;
use crate::step::{Outcome, Step};

#[derive(Debug)]
pub struct Difference {
    row: Step,
}

/// `target_group` is the ARN that it is to forward to.
pub fn differ(listeners: &Listeners, target_group: &str) -> Difference {
    let Some(listener) = listeners.on(HTTP) else { return Difference { row: Step::missing(Kind::HttpListener) } };
    let redirects = matches!(listener.does, Does::Redirect(_));
    let other = if redirects { None } else { listener.other_than_forward(target_group) };
    Difference { row: Step::settled(Kind::HttpListener, Some(&listener.arn), other) }
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Creates the listener or changes its action. Returns the one that it creates. `just_made` is said of the load balancer.
    pub async fn apply(
        &mut self,
        client: &elb::Client,
        environment: &Environment,
        seen: &Seen,
        load_balancer: &str,
        target_group: &str,
        just_made: bool,
    ) -> Result<Option<Listener>> {
        let Some(arn) = &self.row.id else {
            let created = create(client, environment, load_balancer, target_group).await;
            let created = created.authorised_late(just_made || !seen.complete)?;
            self.row.id = created.as_ref().map(|listener| listener.arn.clone());
            return Ok(created);
        };
        if self.row.outcome == Outcome::Changed {
            let call = client.modify_listener().listener_arn(arn).default_actions(forward(target_group));
            let modified = call.send().await.call("elasticloadbalancing:ModifyListener");
            modified.authorised_late(!seen.complete)?;
        }
        Ok(None)
    }
}

async fn create(
    client: &elb::Client,
    environment: &Environment,
    load_balancer: &str,
    target_group: &str,
) -> Result<Option<Listener>> {
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
        .appears_late(&["LoadBalancerNotFound", "TargetGroupNotFound", "DuplicateListener"])?;
    Ok(created.listeners().first().map(Listener::from))
}

#[cfg(test)]
mod tests {
    use super::super::listeners::tests::{closed, on};
    use super::super::listeners::{HTTPS, redirect};
    use super::*;
    use crate::spec::input::Redirect;

    #[test]
    fn the_http_listener_forwards_or_redirects() {
        let step = |listeners: Vec<Listener>| differ(&Listeners(listeners), "tg").step();
        assert_eq!(step(vec![on(HTTPS, forward("tg"))]), Step::missing(Kind::HttpListener));
        assert_eq!(step(vec![on(HTTP, forward("tg"))]).outcome, Outcome::Found);
        assert_eq!(step(vec![on(HTTP, redirect(Redirect::Permanent))]).outcome, Outcome::Found);
        assert_eq!(step(vec![on(HTTP, forward("other"))]).outcome, Outcome::Changed);
        assert_eq!(step(vec![on(HTTP, closed())]).changes, ["default action: fixed-response → forward to tg"]);
    }
}

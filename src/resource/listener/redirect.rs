//! The redirect to HTTPS, which takes the place of what the HTTP listener does: no moment without a listener.

use aws_sdk_elasticloadbalancingv2 as elb;

use super::listeners::{Http, redirect};
use crate::error::{Call, Codes, Result};
use crate::kind::Kind;
use crate::resource::seen::Seen;
use crate::spec::environment::Environment;
use crate::step::{Outcome, Step, change};

#[derive(Debug)]
pub struct Difference {
    row: Step,
}

/// `http` is the HTTP listener, which forwards before it redirects; `None` where it is to be made.
pub fn differ(environment: &Environment, http: Option<&Http>) -> Difference {
    let change = match http.and_then(|http| http.redirects) {
        Some(stands) => change("status", Some(u16::from(stands)), u16::from(environment.input.redirect)),
        None => Some("default action: forward → redirect to HTTPS".to_owned()),
    };
    Difference { row: Step::settled(Kind::Redirect, http.map(|http| http.arn.as_str()), change) }
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// Replaces the action of the HTTP listener.
    pub async fn apply(&self, client: &elb::Client, environment: &Environment, seen: &Seen, http: &Http) -> Result<()> {
        if self.row.outcome == Outcome::Changed {
            let action = redirect(environment.input.redirect);
            let call = client.modify_listener().listener_arn(&http.arn).default_actions(action);
            let modified = call.send().await.call("elasticloadbalancing:ModifyListener");
            modified.authorised_late(!seen.complete)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::listeners::tests::on;
    use super::super::listeners::{HTTP, Listeners, forward};
    use super::*;
    use crate::spec::input::Redirect;
    use elb::types::Action;

    #[test]
    fn the_redirect_has_the_wanted_status() {
        let mut environment = Environment::example();
        let http = |action: Action| Listeners(vec![on(HTTP, action)]).http().unwrap();
        let changes = |environment: &Environment, http: &Http| differ(environment, Some(http)).step().changes;
        let (forwards, for_good) = (http(forward("tg")), http(redirect(Redirect::Permanent)));
        assert_eq!(changes(&environment, &forwards), ["default action: forward → redirect to HTTPS"]);
        assert_eq!(changes(&environment, &for_good), ["status: 301 → 302"]);
        assert_eq!(changes(&environment, &http(redirect(Redirect::Temporary))), [""; 0]);
        environment.input.redirect = Redirect::Permanent;
        assert_eq!(changes(&environment, &for_good), [""; 0]);
        let planned = differ(&environment, None).step();
        assert_eq!((planned.id, planned.outcome), (None, Outcome::Changed));
    }
}

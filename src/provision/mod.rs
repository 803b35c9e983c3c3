//! What a provision carries out: one part for each of its states that change something. A part is found, compared (`differ`),
//! told as rows (`steps`) and carried out (`apply`). [`Difference`] is the list of the parts in their order.

pub mod base;
pub mod certificate;
pub mod former;

use crate::aws::Clients;
use crate::error::Result;
use crate::resource::dns::{self, alias};
use crate::resource::listener::{https, redirect};
use crate::resource::security_group;
use crate::resource::seen::Seen;
use crate::spec::environment::Environment;
use crate::spec::ids::LoadBalancerIds;
use crate::spec::names;
use crate::step::Step;
use former::Former;

/// How an environment differs from its input's wish, part by part in the order in which the state machine carries them out.
#[derive(Debug)]
pub struct Difference {
    /// create-alb's.
    base: base::Difference,
    /// request-cert's.
    certificate: certificate::Difference,
    /// add-https-listener's.
    https: https::Difference,
    /// set-redirect's.
    redirect: redirect::Difference,
    /// retire-former's.
    former: Option<Former>,
    /// point-domain's.
    alias: alias::Difference,
    load_balancer: LoadBalancerIds,
}

impl Difference {
    /// Reads all that stands of an environment, and compares; changes nothing.
    ///
    /// # Errors
    /// As the states that carry the parts out: [`Error::NotOurs`](crate::error::Error::NotOurs),
    /// [`Error::DnsRecordConflict`](crate::error::Error::DnsRecordConflict).
    pub async fn find(clients: &Clients, environment: &Environment, seen: &Seen) -> Result<Difference> {
        let Clients { acm, ec2, elb, route53, .. } = clients;
        let (group, found, certificates) = tokio::try_join!(
            security_group::find_id(ec2, environment),
            base::find(elb, environment),
            crate::resource::certificate::find(acm, environment, seen.at_domain.validated),
        )?;
        let details = async {
            let details = base::Details::find(elb, &found).await?;
            let hsts = https::find_hsts(elb, &details.listeners).await?;
            Result::Ok((details, hsts))
        };
        let (group, (details, hsts), certificate) = tokio::try_join!(
            security_group::find(ec2, environment, group.as_deref()),
            details,
            certificate::differ(route53, environment, certificates),
        )?;
        let ids = base::Ids::planned(environment, &found, group.as_ref());
        let base = base::differ(environment, seen, &found, group.as_ref(), &details, &ids);
        let (arn, listeners) = (certificate.arn(), details.listeners);
        let ends = https::Ends {
            load_balancer: &ids.load_balancer.arn,
            target_group: &ids.target_group,
            certificate: &arn.unwrap_or_else(|| names::to_be_made("certificate")),
        };
        Ok(Difference {
            https: https::differ(environment, ends, &listeners, hsts.as_deref()),
            redirect: redirect::differ(environment, listeners.http().as_ref()),
            former: base.former(),
            alias: alias::differ(environment, &ids.load_balancer, &seen.at_domain.after_lock())?,
            load_balancer: ids.load_balancer,
            base,
            certificate,
        })
    }

    /// The rows of a provision's answer.
    pub fn steps(&self) -> Vec<Step> {
        let Difference { base, certificate, https, redirect, former, alias, .. } = self;
        let mut steps = base.steps();
        steps.extend(certificate.steps());
        steps.extend([https.step(), redirect.step()]);
        steps.extend(former.iter().flat_map(Former::steps));
        steps.push(alias.step());
        steps
    }

    /// The edits of the domain's records, a line each.
    pub fn dns(&self, environment: &Environment, seen: &Seen) -> Vec<String> {
        let told = |edits: &[dns::Edit]| dns::diff(environment, &self.load_balancer, edits);
        let (edits, unknown) = self.certificate.edits(environment);
        let mut lines = told(&edits);
        lines.extend(unknown);
        lines.extend(told(&self.alias.edits_since(&seen.at_domain)));
        lines
    }
}

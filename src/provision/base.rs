//! create-alb's part: the load balancer with its security group, target group, targets and HTTP listener, and the rules in
//! the instances' own groups that admit it. It only adds to what serves: what is former goes when the new has proved to
//! serve.

use aws_sdk_ec2 as ec2;
use aws_sdk_elasticloadbalancingv2 as elb;
use elb::types::TargetGroup;

use super::former::Former;
use crate::error::Result;
use crate::kind::Kind;
use crate::resource::listener::{self, Listeners, http};
use crate::resource::security_group::{self, Rules, rule};
use crate::resource::seen::Seen;
use crate::resource::target::Target;
use crate::resource::{load_balancer, tags, target, target_group};
use crate::spec::environment::Environment;
use crate::spec::ids::LoadBalancerIds;
use crate::spec::names;
use crate::step::Step;

/// What stands by the environment's names.
#[derive(Debug)]
pub struct Found {
    load_balancer: Option<load_balancer::Found>,
    target_group: Option<TargetGroup>,
}

/// Finds the load balancer and the target group of the environment's names; their tags take one call.
///
/// # Errors
/// [`Error::NotOurs`](crate::error::Error::NotOurs).
pub async fn find(client: &elb::Client, environment: &Environment) -> Result<Found> {
    let (load_balancer, target_group) = tokio::try_join!(
        load_balancer::named(client, &environment.name),
        target_group::named(client, &environment.name),
    )?;
    let load_balancer_arn = load_balancer.as_ref().and_then(|found| found.load_balancer_arn.clone());
    let target_group_arn = target_group.as_ref().and_then(|found| found.target_group_arn.clone());
    let arns: Vec<String> = load_balancer_arn.iter().chain(&target_group_arn).cloned().collect();
    let mut tags = tags::by_arn(client, &arns).await?;
    let mut tags_of = |arn: Option<String>| arn.and_then(|arn| tags.remove(&arn)).unwrap_or_default();
    let load_balancer = match load_balancer {
        Some(found) => Some(load_balancer::Found::of(environment, found, tags_of(load_balancer_arn))?),
        None => None,
    };
    if let Some(arn) = &target_group_arn {
        tags_of(target_group_arn.clone()).check(environment, Kind::TargetGroup, arn)?;
    }
    Ok(Found { load_balancer, target_group })
}

impl Found {
    pub fn load_balancer_arn(&self) -> Option<&str> {
        self.load_balancer.as_ref().map(load_balancer::Found::arn)
    }

    pub fn target_group_arn(&self) -> Option<&str> {
        self.target_group.as_ref().and_then(|found| found.target_group_arn())
    }
}

/// What only the resources themselves tell, where they stand.
#[derive(Debug)]
pub struct Details {
    drops_invalid_headers: Option<String>,
    targets: Vec<Target>,
    pub listeners: Listeners,
}

impl Details {
    pub async fn find(client: &elb::Client, found: &Found) -> Result<Details> {
        let (drops_invalid_headers, targets, listeners) = tokio::try_join!(
            load_balancer::drops_invalid_headers(client, found.load_balancer.as_ref()),
            target::find(client, found.target_group_arn()),
            listener::find(client, found.load_balancer_arn()),
        )?;
        Ok(Details { drops_invalid_headers, targets, listeners })
    }
}

/// What others know the part's resources by.
#[derive(Debug)]
pub struct Ids {
    pub security_group: String,
    /// ARN.
    pub target_group: String,
    pub load_balancer: LoadBalancerIds,
}

impl Ids {
    /// The ids of a plan: what is to be made stands there by its name.
    pub fn planned(environment: &Environment, found: &Found, group: Option<&security_group::Found>) -> Ids {
        let load_balancer = found.load_balancer.as_ref().map(load_balancer::Found::ids);
        Ids {
            security_group: group
                .map_or_else(|| names::to_be_made(&environment.security_group_name()), |group| group.id.clone()),
            target_group: found
                .target_group_arn()
                .map_or_else(|| names::to_be_made(&environment.target_group_name()), Into::into),
            load_balancer: load_balancer
                .unwrap_or_else(|| LoadBalancerIds::to_be_made(&environment.load_balancer_name())),
        }
    }
}

/// How the part differs, resource by resource in the order of the rows.
#[derive(Debug)]
pub struct Difference {
    security_group: security_group::Difference,
    target_group: target_group::Difference,
    load_balancer: load_balancer::Difference,
    http: http::Difference,
    rules: rule::Difference,
    pub targets: target::Difference,
}

/// Compares all of the part, as a plan does; [`apply`] compares step by step, as ids become known.
pub fn differ(
    environment: &Environment,
    seen: &Seen,
    found: &Found,
    group: Option<&security_group::Found>,
    details: &Details,
    ids: &Ids,
) -> Difference {
    let none = Rules::default();
    Difference {
        security_group: security_group::differ(environment, group),
        target_group: target_group::differ(environment, found.target_group.as_ref()),
        load_balancer: differ_load_balancer(environment, seen, found, details, ids),
        http: http::differ(&details.listeners, &ids.target_group),
        rules: rule::differ(environment, &ids.security_group, group.map_or(&none, |group| &group.rules)),
        targets: target::differ(environment, &details.targets),
    }
}

fn differ_load_balancer(
    environment: &Environment,
    seen: &Seen,
    found: &Found,
    details: &Details,
    ids: &Ids,
) -> load_balancer::Difference {
    let drops = details.drops_invalid_headers.as_deref();
    load_balancer::differ(environment, seen, found.load_balancer.as_ref(), drops, &ids.security_group)
}

impl Difference {
    pub fn steps(&self) -> Vec<Step> {
        let Difference { security_group, target_group, load_balancer, http, rules, targets } = self;
        let of_load_balancer = [security_group.step(), target_group.step(), load_balancer.step(), http.step()];
        of_load_balancer.into_iter().chain(rules.steps()).chain(targets.steps()).collect()
    }

    /// What is to go once what is wanted has proved to serve.
    pub fn former(&self) -> Option<Former> {
        let Difference { targets, rules, load_balancer, .. } = self;
        Former::of(targets.former.clone(), rules.former.clone(), load_balancer.former_zones.clone())
    }
}

/// The part as it stands when it is carried out.
#[derive(Debug)]
pub struct Base {
    pub ids: Ids,
    /// The load balancer stood and served already.
    pub active: bool,
    pub listeners: Listeners,
    /// What was done.
    pub difference: Difference,
}

/// Makes what is missing and changes what differs.
///
/// # Errors
/// [`Error::NotOurs`](crate::error::Error::NotOurs).
pub async fn apply(ec2: &ec2::Client, elb: &elb::Client, environment: &Environment, seen: &Seen) -> Result<Base> {
    // Names that are somebody else's show before anything is made.
    let (found, group) = tokio::try_join!(
        find(elb, environment),
        security_group::find(ec2, environment, seen.security_group.as_deref()),
    )?;
    // First and alone: where the group stands an environment stands, whole or in part, and is found.
    let group = match group {
        Some(group) => group,
        None => security_group::create(ec2, environment).await?,
    };
    let security_group = security_group::differ(environment, Some(&group));
    let mut rules = rule::differ(environment, &group.id, &group.rules);
    let mut target_group = target_group::differ(environment, found.target_group.as_ref());
    let load_balancer = async {
        match &found.load_balancer {
            Some(found) => Ok(found.ids()),
            None => load_balancer::create(elb, environment, &group.id).await,
        }
    };
    // All to their end: a call that is dropped on its way may still be carried out, beside the rollback.
    let (load_balancer, arn, admitting, admitted) = tokio::join!(
        load_balancer,
        target_group.apply(elb, environment, seen),
        security_group.apply(ec2, environment, seen, &group.id),
        rules.apply(ec2, environment, &group.id),
    );
    let ids = Ids { load_balancer: load_balancer?, target_group: arn?, security_group: group.id };
    admitting.and(admitted)?;
    let (load_balancer, http, targets, listeners) = apply_details(elb, environment, seen, &found, &ids).await?;
    let active = found.load_balancer.is_some_and(|found| found.is_active());
    let difference = Difference { security_group, target_group, load_balancer, http, rules, targets };
    Ok(Base { ids, active, listeners, difference })
}

/// Changes what only the resources themselves tell, those that stood and those that were made a moment ago.
async fn apply_details(
    client: &elb::Client,
    environment: &Environment,
    seen: &Seen,
    found: &Found,
    ids: &Ids,
) -> Result<(load_balancer::Difference, http::Difference, target::Difference, Listeners)> {
    let details = Details::find(client, found).await?;
    let mut load_balancer = differ_load_balancer(environment, seen, found, &details, ids);
    let Details { targets, mut listeners, .. } = details;
    let mut http = http::differ(&listeners, &ids.target_group);
    let targets = target::differ(environment, &targets);
    let (no_load_balancer, no_target_group) = (found.load_balancer.is_none(), found.target_group.is_none());
    let arn = &ids.load_balancer.arn;
    // All to their end, as above.
    let (changed, registered, made) = tokio::join!(
        load_balancer.apply(client, environment, seen, arn, &ids.security_group),
        targets.apply(client, environment, seen, &ids.target_group, no_target_group),
        http.apply(client, environment, seen, arn, &ids.target_group, no_load_balancer),
    );
    changed?;
    listeners.add(made?);
    registered?;
    Ok((load_balancer, http, targets, listeners))
}

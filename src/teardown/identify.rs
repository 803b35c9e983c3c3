//! Finds out which environment a teardown is of, and what stands at its domain.

use super::call::Call;
use super::identity::{Identity, name_of};
use super::survey::Elb;
use crate::aws::Clients;
use crate::error::{Codes, Error, Result};
use crate::resource::dns::{self, DomainRecords};
use crate::resource::security_group;
use crate::spec::teardown_input::TeardownInput;

/// What is known of an environment before its lock is taken: only its security groups tell whose lock that is. Each of them
/// is deleted by its id, so it does no harm that they are read too early.
pub struct Known {
    pub identity: Identity,
    pub groups: Result<Vec<security_group::Tagged>>,
    /// Why the hosted zone is not known, where AWS refuses to tell.
    pub no_zone: Option<Error>,
}

/// Finds the environment that the input names.
///
/// # Errors
/// [`Error::InvalidInput`]; any other error makes what it is about unknown.
pub async fn identify(call: &Call<'_>) -> Result<Known> {
    let (clients, input) = (call.clients, &call.input);
    let mut identity = Identity::of(call.owner.stack.clone(), input)?;
    let groups = unless_bad(groups(clients, &mut identity, input).await)?;
    let mut no_zone = None;
    let none_known = groups.as_ref().map_or(true, Vec::is_empty);
    if none_known && input.name.is_none() {
        no_zone = find_zone(clients, &mut identity).await;
        if let Ok(Some(at_domain)) = domain_records(clients, &identity).await {
            identity.learn_name(&call.owner, &at_domain);
        }
    }
    if none_known && (identity.domain.is_none() || identity.zone.is_none()) {
        let Elb { load_balancer, target_group, .. } = Elb::read(call, &identity, true).await;
        let tags =
            load_balancer.and_then(|found| Ok(found.map(|found| found.tags).or(target_group?.map(|group| group.tags))));
        if let Ok(Some(tags)) = tags {
            identity.learn(&tags)?;
        }
    }
    if no_zone.is_none() {
        no_zone = find_zone(clients, &mut identity).await;
    }
    Ok(Known { identity, groups, no_zone })
}

/// Reads the security groups of an environment whose name is known, and learns from their tags.
///
/// # Errors
/// As [`identify`].
pub async fn groups_of(
    call: &Call<'_>,
    mut identity: Identity,
) -> Result<(Identity, Result<Vec<security_group::Tagged>>)> {
    let input = TeardownInput { name: Some(identity.name.clone()), ..call.input.clone() };
    let groups = unless_bad(groups(call.clients, &mut identity, &input).await)?;
    Ok((identity, groups))
}

/// Reads the security groups of the environment that an input names. A group is made first and deleted last: while anything
/// stands one stands, and its tags tell the name of a domain's environment, its domain and its zone.
async fn groups(
    clients: &Clients,
    identity: &mut Identity,
    input: &TeardownInput,
) -> Result<Vec<security_group::Tagged>> {
    let groups = match (&input.name, &identity.domain) {
        (None, Some(domain)) => {
            let found = security_group::of_domain(&clients.ec2, &identity.stack, domain).await?;
            identity.name = name_of(&found, domain)?.unwrap_or_else(|| identity.name.clone());
            found
        }
        _ => security_group::tagged(&clients.ec2, &identity.stack, Some(&identity.name)).await?,
    };
    if let Some(group) = groups.first() {
        identity.learn(&group.tags)?;
    }
    Ok(groups)
}

/// Looks for the hosted zone of the domain, where that is known and its zone is not. Returns why AWS does not tell.
async fn find_zone(clients: &Clients, identity: &mut Identity) -> Option<Error> {
    let (Some(domain), None) = (&identity.domain, &identity.zone) else { return None };
    match dns::find_zone(&clients.route53, domain, None).await {
        Ok(zone) => {
            identity.zone = zone;
            None
        }
        Err(error) => Some(error),
    }
}

/// Reads the records at the domain; `None` where domain or zone are unknown or gone.
pub async fn domain_records(clients: &Clients, identity: &Identity) -> Result<Option<DomainRecords>> {
    match (&identity.domain, &identity.zone) {
        (Some(domain), Some(zone)) => {
            dns::domain_records(&clients.route53, zone, domain).await.unless(&["NoSuchHostedZone"])
        }
        _ => Ok(None),
    }
}

/// Says what stands of what the input means under another name; see [`Identity::elsewhere`]. Where AWS refuses to tell, that
/// nothing stands is known all the same.
pub async fn elsewhere(clients: &Clients, identity: &Identity) -> Result<Option<String>> {
    match security_group::tagged(&clients.ec2, &identity.stack, None).await {
        Err(Error::AwsRefused(_)) => Ok(None),
        groups => Ok(identity.elsewhere(&groups?)),
    }
}

/// Bad input ends the teardown; any other error makes unknown what was to be read.
fn unless_bad<T>(read: Result<T>) -> Result<Result<T>> {
    match read {
        Err(error @ Error::InvalidInput { .. }) => Err(error),
        other => Ok(other),
    }
}

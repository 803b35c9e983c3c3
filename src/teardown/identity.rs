//! Which environment a teardown is of, as input, tags and the ownership record tell, and its lock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::item::Input;
use crate::aws::Clients;
use crate::error::{Codes, Error, Result};
use crate::owner::Owner;
use crate::resource::dns::lock;
use crate::resource::dns::{self, DomainRecords, Ownership};
use crate::resource::security_group;
use crate::resource::tags::{self, Tags};
use crate::spec::names;

/// Which environment, as far as input and tags tell. `domain` and `zone` are unknown where nothing stands any more and
/// the input gives a name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub stack: String,
    pub name: String,
    pub domain: Option<String>,
    /// Hosted zone id.
    pub zone: Option<String>,
}

impl Identity {
    /// The environment that an input names; of a domain alone the name is the default one, until [`find_name`] knows better.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where it names none, or a malformed one.
    pub fn of(stack: String, input: &Input) -> Result<Identity> {
        let domain = input.domain.as_deref().map(names::domain).transpose()?;
        let name = match (&input.name, &domain) {
            (Some(name), _) => name.clone(),
            (None, Some(domain)) => names::default(domain),
            (None, None) => {
                return Err(Error::input(
                    "$",
                    "give the environment's \"name\" or its \"domain\", such as {\"domain\": \"api.example.com\"}",
                ));
            }
        };
        names::check(&name)?;
        Ok(Identity { stack, name, domain, zone: input.hosted_zone_id.clone() })
    }

    /// Takes domain and zone from the tags of something of the environment's.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where the input's domain is not the environment's.
    pub fn learn(&mut self, tags: &Tags) -> Result<()> {
        self.check_domain(tags)?;
        self.domain = tags.get(tags::DOMAIN).map(Into::into).or(self.domain.take());
        self.zone = tags.get(tags::ZONE).map(Into::into).or(self.zone.take());
        Ok(())
    }

    /// # Errors
    /// [`Error::InvalidInput`] where a tag tells another domain than is known.
    pub fn check_domain(&self, tags: &Tags) -> Result<()> {
        match (&self.domain, tags.get(tags::DOMAIN)) {
            (Some(given), Some(domain)) if given != domain => {
                Err(Error::input("$.domain", format!("environment {} fronts {domain}, not {given}", self.name)))
            }
            _ => Ok(()),
        }
    }
}

/// The security groups of the environment that an input names. They are made first and deleted last: while anything stands
/// one stands, and its tags tell the name of a domain's environment, its domain and its zone.
///
/// # Errors
/// [`Error::InvalidInput`] where several environments have the domain, or the input's domain is not the environment's.
pub async fn groups(clients: &Clients, identity: &mut Identity, input: &Input) -> Result<Vec<security_group::Tagged>> {
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

/// The one environment of a domain; `None` where none has a group.
fn name_of(groups: &[security_group::Tagged], domain: &str) -> Result<Option<String>> {
    let names: BTreeSet<&str> = groups.iter().filter_map(|group| group.tags.get(tags::ENVIRONMENT)).collect();
    if names.len() > 1 {
        let names = names.into_iter().collect::<Vec<_>>().join(" and ");
        return Err(Error::input("$.name", format!("missing; the environments {names} have {domain}: name one")));
    }
    Ok(names.first().map(|name| (*name).to_owned()))
}

/// Of a domain without a group of ours: the name that the ownership record tells.
pub fn find_name(identity: &mut Identity, owner: &Owner, standing: &DomainRecords) {
    let Some(domain) = &identity.domain else { return };
    let ownership = standing.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    if let Some(ownership) = ownership.filter(|ownership| ownership.is_of(owner, &ownership.environment)) {
        identity.name = ownership.environment;
    }
}

/// What stands under another name of what the input means, in words: of its domain, or of the domain that would have its name
/// by default.
///
/// # Errors
/// As [`Call`](crate::error::Call) sorts AWS's.
pub async fn elsewhere(clients: &Clients, identity: &Identity) -> Result<Option<String>> {
    let Identity { stack, name, domain, .. } = identity;
    for group in security_group::tagged(&clients.ec2, stack, None).await? {
        let (Some(other), Some(fronts)) = (group.tags.get(tags::ENVIRONMENT), group.tags.get(tags::DOMAIN)) else {
            continue;
        };
        if other != name && (domain.as_deref() == Some(fronts) || names::default(fronts) == *name) {
            return Ok(Some(format!(
                "nothing stands as environment {name}; {fronts} has environment {other}: name that"
            )));
        }
    }
    Ok(None)
}

/// What stands at the domain; `None` where domain or zone are unknown or gone.
pub async fn standing(clients: &Clients, identity: &Identity) -> Result<Option<DomainRecords>> {
    match (&identity.domain, &identity.zone) {
        (Some(domain), Some(zone)) => {
            dns::domain_records(&clients.route53, zone, domain).await.unless(&["NoSuchHostedZone"])
        }
        _ => Ok(None),
    }
}

/// The environment's lock, as far as this execution has it.
#[derive(Debug, Default)]
pub struct Held {
    pub held: bool,
    /// What stood at the domain, where that was read under the lock.
    pub seen: Option<DomainRecords>,
}

/// Takes the environment's lock for the execution `run`; `has` where `run` should have it already. There is no lock where no
/// zone is known, and so no provision. Where none of the environment's `stands` as far as is known, a wildcard may serve the
/// domain, and goes on to by a copy.
///
/// A lock is a record, and no record is worth a load balancer that goes on to cost: where AWS refuses to write it, or
/// somebody's own record stands in its place, the teardown goes on without. No provision gets it then either.
///
/// # Errors
/// [`Error::EnvironmentBusy`], [`Error::AwsUnavailable`].
pub async fn lock(
    clients: &Clients,
    owner: &Owner,
    identity: &Identity,
    run: &str,
    has: bool,
    stands: bool,
) -> Result<Held> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(Held::default()) };
    let around = if has || stands { None } else { dns::around(&clients.route53, zone, domain).await.ok() };
    let copies = around.and_then(|around| around.copies(owner, &identity.name).ok()).unwrap_or_default();
    let take = async |seen: Option<&DomainRecords>| {
        let record = seen.and_then(|standing| standing.lock.as_ref());
        // A lock that stands is served by no wildcard.
        let made = if seen.is_some() { &[] } else { &copies[..] };
        lock::take(&clients.route53, &clients.sfn, zone, domain, record, run, made).await
    };
    let refused = |error: &Error| matches!(error, Error::AwsRefused(_) | Error::DnsRecordConflict { .. });
    if !has {
        match take(None).await {
            Ok(()) => return Ok(Held { held: true, seen: None }),
            // There is one, or it can be seen that there is none.
            Err(error) if dns::is_outdated(&error) || refused(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let seen = match standing(clients, identity).await {
        // What it should have it gives back unseen.
        Err(error) if refused(&error) => return Ok(Held { held: has, seen: None }),
        seen => seen?,
    };
    if seen.as_ref().is_some_and(|standing| lock::is_held(standing.lock.as_ref(), run)) {
        return Ok(Held { held: true, seen });
    }
    match take(seen.as_ref()).await {
        // What was read before may be another's, who worked until then.
        Ok(()) => Ok(Held { held: true, seen: None }),
        Err(error) if refused(&error) => Ok(Held { held: false, seen }),
        Err(error) => Err(error),
    }
}

/// Gives back the lock that `run` has, and where copies of a wildcard's records are `copied` to the domain, what is left of
/// them as nothing else of ours is. With the last look this is the proof: an alias is written in one batch with the
/// end of its writer's lock, so where this lock stands, none was written since the lock was taken.
///
/// # Errors
/// [`Error::AwsUnavailable`] where `run` has it no more.
pub async fn unlock(clients: &Clients, owner: &Owner, identity: &Identity, run: &str, copied: bool) -> Result<()> {
    let (Some(domain), Some(zone)) = (&identity.domain, &identity.zone) else { return Ok(()) };
    let mut edits = vec![lock::give_back(domain, run)];
    if copied {
        match standing(clients, identity).await {
            Ok(standing) => {
                edits.extend(standing.iter().flat_map(|seen| dns::farewell(owner, &identity.name, domain, seen)));
            }
            Err(error @ Error::AwsUnavailable(_)) => return Err(error),
            // The copies go on to serve the domain.
            Err(_) => {}
        }
    }
    dns::apply(&clients.route53, zone, &edits, "Albatross: done").await.unless(&["NoSuchHostedZone"]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> security_group::Tagged {
        let tags = [(tags::ENVIRONMENT, name), (tags::DOMAIN, "api.example.com"), (tags::ZONE, "Z1")];
        security_group::Tagged {
            id: "sg-1".into(),
            name: String::new(),
            vpc: String::new(),
            tags: tags.into_iter().collect(),
        }
    }

    #[test]
    fn a_domain_has_one_environment() {
        assert_eq!(name_of(&[], "api.example.com").unwrap(), None);
        assert_eq!(name_of(&[group("api"), group("api")], "api.example.com").unwrap().as_deref(), Some("api"));
        let several = name_of(&[group("web"), group("api")], "api.example.com").unwrap_err();
        assert!(several.to_string().contains("api and web"), "{several}");
    }

    #[test]
    fn tags_tell_domain_and_zone_and_contradict_another_domain() {
        let input = Input { name: Some("api".into()), ..Input::default() };
        let mut identity = Identity::of("albatross".into(), &input).unwrap();
        identity.learn(&group("api").tags).unwrap();
        assert_eq!(identity.domain.as_deref(), Some("api.example.com"));
        assert_eq!(identity.zone.as_deref(), Some("Z1"));
        identity.domain = Some("www.example.com".into());
        assert!(identity.learn(&group("api").tags).is_err());
    }
}

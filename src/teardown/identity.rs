//! Which environment a teardown is of, as input, tags and the ownership record tell. No I/O.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::owner::Owner;
use crate::resource::dns::{DomainRecords, Ownership};
use crate::resource::security_group;
use crate::resource::tags::{self, Tags};
use crate::spec::names;
use crate::spec::teardown_input::{CertificatePolicy, TeardownInput};

/// Which environment, as far as it is known. `domain` and `zone` are `None` where nothing stands any more and the input gives
/// a name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub stack: String,
    pub name: String,
    pub domain: Option<String>,
    /// Hosted zone id.
    pub zone: Option<String>,
}

impl Identity {
    /// Returns the environment that an input names. Where it gives a domain alone, the name is the default one until tags or
    /// the ownership record tell another.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where it names no environment, or a malformed one.
    pub fn of(stack: String, input: &TeardownInput) -> Result<Identity> {
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

    /// Takes domain and zone from the tags of a resource of the environment.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where the input's domain is not the environment's.
    pub fn learn(&mut self, tags: &Tags) -> Result<()> {
        self.check_domain(tags)?;
        self.domain = tags.get(tags::DOMAIN).map(Into::into).or(self.domain.take());
        self.zone = tags.get(tags::ZONE).map(Into::into).or(self.zone.take());
        Ok(())
    }

    /// Takes the name from the ownership record, where it is one of this owner's.
    pub fn learn_name(&mut self, owner: &Owner, at_domain: &DomainRecords) {
        let Some(domain) = &self.domain else { return };
        let ownership = Ownership::at(domain, at_domain);
        if let Some(ownership) = ownership.filter(|ownership| ownership.is_of(owner, &ownership.environment)) {
            self.name = ownership.environment;
        }
    }

    /// Refuses another domain than the one that is known.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where the tags name another domain.
    pub fn check_domain(&self, tags: &Tags) -> Result<()> {
        match (&self.domain, tags.get(tags::DOMAIN)) {
            (Some(given), Some(domain)) if given != domain => {
                Err(Error::input("$.domain", format!("environment {} fronts {domain}, not {given}", self.name)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to delete a certificate that cannot be found.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where the certificate is to go and the domain is unknown.
    pub fn check_certificate(&self, policy: CertificatePolicy) -> Result<()> {
        if self.domain.is_none() && policy == CertificatePolicy::Delete {
            let name = &self.name;
            let problem = format!(
                "missing; nothing of environment {name} stands that tells it, and its certificate is found by domain"
            );
            return Err(Error::input("$.domain", problem));
        }
        Ok(())
    }

    /// Reads the ownership record at the domain; `None` where it is not this environment's.
    pub fn ownership(&self, owner: &Owner, at_domain: &DomainRecords) -> Option<Ownership> {
        Ownership::at(self.domain.as_ref()?, at_domain).filter(|ownership| ownership.is_of(owner, &self.name))
    }

    /// Says what stands of what the input means under another name: of its domain, or of the domain that would have its name
    /// by default. `groups` are all security groups of the stack.
    pub fn elsewhere(&self, groups: &[security_group::Tagged]) -> Option<String> {
        let Identity { name, domain, .. } = self;
        groups.iter().find_map(|group| {
            let (other, fronts) = (group.tags.get(tags::ENVIRONMENT)?, group.tags.get(tags::DOMAIN)?);
            let is_meant = other != name && (domain.as_deref() == Some(fronts) || names::default(fronts) == *name);
            is_meant
                .then(|| format!("nothing stands as environment {name}; {fronts} has environment {other}: name that"))
        })
    }
}

/// Returns the name of the one environment that has these security groups of a domain; `None` where there are none.
///
/// # Errors
/// [`Error::InvalidInput`] where several environments have the domain.
pub fn name_of(groups: &[security_group::Tagged], domain: &str) -> Result<Option<String>> {
    let names: BTreeSet<&str> = groups.iter().filter_map(|group| group.tags.get(tags::ENVIRONMENT)).collect();
    if names.len() > 1 {
        let names = names.into_iter().collect::<Vec<_>>().join(" and ");
        return Err(Error::input("$.name", format!("missing; the environments {names} have {domain}: name one")));
    }
    Ok(names.first().map(|name| (*name).to_owned()))
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
        let input = TeardownInput { name: Some("api".into()), ..TeardownInput::default() };
        let mut identity = Identity::of("albatross".into(), &input).unwrap();
        identity.learn(&group("api").tags).unwrap();
        assert_eq!(identity.domain.as_deref(), Some("api.example.com"));
        assert_eq!(identity.zone.as_deref(), Some("Z1"));
        identity.domain = Some("www.example.com".into());
        assert!(identity.learn(&group("api").tags).is_err());
    }
}

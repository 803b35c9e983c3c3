//! Where the values of remembered records lead today, and which of them end with the teardown. No I/O.

use std::collections::{HashMap, HashSet};

use aws_sdk_route53::types::RrType;

use super::entry::{Action, Entry};
use super::survey::Survey;
use crate::error::Error;
use crate::resource::address::Address;
use crate::resource::dns::{self, Now};
use crate::resource::instance::{AtTeardown, Consent};
use crate::spec::ids::destination;
use crate::spec::teardown_input::TeardownInput;

/// Where addresses and names lead. An `Err` says what AWS refused to tell.
pub struct Destinations {
    /// All Elastic IPs of the account.
    elastic: Result<HashSet<String>, String>,
    instances: Result<Vec<AtTeardown>, String>,
    /// Elastic IPs whose user consented to their release.
    consented: HashSet<String>,
    /// Why it is not known whether the teardown ends what the user has consented to.
    undecided: Option<String>,
    /// Addresses and names that end with something that the teardown ends, each with the id of that.
    ends: HashMap<String, String>,
}

impl Destinations {
    /// Derives them from what was read and from the entries of the user's own instances and addresses.
    pub fn of(survey: &Survey, input: &TeardownInput, entries: &[Entry]) -> Self {
        let text = |error: &Error| error.to_string();
        let elastic = survey.addresses.as_ref().map(|found| found.all.clone()).map_err(text);
        let undecided = survey.elb.targets.as_ref().err().or(survey.users.as_ref().err()).map(text);
        Destinations {
            undecided: undecided.or(elastic.clone().err()).filter(|_| !input.own_only),
            elastic,
            instances: survey.instances.as_ref().cloned().map_err(text),
            consented: survey.addresses.as_ref().map(|found| found.consented.clone()).unwrap_or_default(),
            ends: ends(entries, survey.own_addresses(), &survey.own_instances()),
        }
    }

    /// Returns where a value of a remembered record leads now; `instance` is the id of the one to which it led then. An address
    /// that is nobody's any more may be a stranger's tomorrow, who would then serve the user's domain.
    pub fn now(&self, kind: &RrType, value: &str, instance: Option<&str>) -> Now {
        let there = destination(value);
        let ends_with = self.ends.get(&there);
        let at = |value: String| {
            let ends_with = self.ends.get(&destination(&value)).cloned();
            Now::At { value, ends_with }
        };
        // As long as it is not known whether this is an Elastic IP, it is not known either whether it ends with an instance.
        let elastic = match &self.elastic {
            Ok(all) => Ok(all.contains(&there)),
            Err(why) => Err(Now::Unknown(why.clone())),
        };
        if let (Some(_), Err(unknown)) = (ends_with, &elastic) {
            return unknown.clone();
        }
        if let (Some(why), true) = (&self.undecided, self.consented.contains(&there)) {
            return Now::Unknown(why.clone());
        }
        let is_elastic = elastic.as_ref().is_ok_and(|is_elastic| *is_elastic);
        let Some(id) = instance.filter(|_| !is_elastic && ends_with.is_none()) else { return at(value.into()) };
        let instances = match &self.instances {
            Ok(instances) => instances,
            Err(why) => return Now::Unknown(why.clone()),
        };
        let instance = instances.iter().find(|instance| instance.id == id);
        if let (Some(why), Some(_)) = (&self.undecided, instance.and_then(|instance| instance.consent)) {
            return Now::Unknown(why.clone());
        }
        let present = instance.map(AtTeardown::present).unwrap_or_default();
        if present.contains(&there) {
            return at(value.into());
        }
        if let Err(unknown) = elastic {
            return unknown;
        }
        let Some(instance) = instance else { return Now::Nowhere(format!("instance {id} is gone")) };
        match present.into_iter().find(|one| dns::is_of_kind(one, kind)) {
            Some(value) => at(value),
            None => Now::Nowhere(format!("instance {id} is {} and has no such address now", instance.state)),
        }
    }
}

/// Returns the addresses and names that end with what the entries end, each with the id of that. The public ones of an
/// instance that has an Elastic IP belong to the Elastic IP.
fn ends(entries: &[Entry], addresses: &[Address], instances: &[&AtTeardown]) -> HashMap<String, String> {
    let ends = |key: &str| entries.iter().filter_map(|entry| entry.action.as_ref()).find(|action| action.key() == key);
    let mut found = HashMap::new();
    for address in addresses.iter().filter(|address| ends(&address.allocation_id).is_some()) {
        found.insert(address.public_ip.clone(), address.allocation_id.clone());
    }
    for instance in instances {
        let elastic = addresses.iter().find(|address| address.instance.as_ref() == Some(&instance.id));
        let holder = elastic.map_or(&instance.id, |address| &address.allocation_id);
        if ends(holder).is_some() {
            found.extend(instance.public.iter().map(|address| (address.clone(), holder.clone())));
        }
        if matches!(ends(&instance.id), Some(Action::Instance { consent: Consent::Terminate, .. })) {
            found.extend(instance.ipv6.iter().map(|address| (address.clone(), instance.id.clone())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::users_own::tests::{decided, elastic, instance};
    use super::*;

    #[test]
    fn an_address_goes_with_what_holds_it() {
        let (stop, terminate) = (Some(Consent::Stop), Some(Consent::Terminate));
        let cases: [(Vec<Address>, Option<Consent>, &[&str]); 7] = [
            (vec![], None, &[]),
            (vec![], stop, &["203.0.113.7 i-1"]),
            (vec![], terminate, &["2001:db8::7 i-1", "203.0.113.7 i-1"]),
            (vec![elastic(false)], stop, &[]),
            (vec![elastic(false)], terminate, &["2001:db8::7 i-1"]),
            (vec![elastic(true)], None, &["203.0.113.7 eipalloc-1"]),
            (vec![elastic(true)], stop, &["203.0.113.7 eipalloc-1"]),
        ];
        for (addresses, consent, wanted) in cases {
            let instance = instance(consent);
            let going = decided(&addresses, &instance, None);
            let mut found: Vec<String> = ends(&going, &addresses, &[&instance])
                .into_iter()
                .map(|(address, holder)| format!("{address} {holder}"))
                .collect();
            found.sort();
            assert_eq!(found, wanted, "{addresses:?} {consent:?}");
        }
    }

    #[test]
    fn a_value_leads_to_what_the_users_instance_has_now() {
        let mut destinations = Destinations {
            elastic: Ok(HashSet::from(["203.0.113.9".to_owned()])),
            consented: HashSet::new(),
            undecided: None,
            instances: Ok(vec![instance(None)]),
            ends: HashMap::new(),
        };
        let at = |value: &str| Now::At { value: value.into(), ends_with: None };
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        assert_eq!(destinations.now(&RrType::Aaaa, "2001:db8::1", Some("i-1")), at("2001:db8::7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", None), at("198.51.100.1"));
        assert!(matches!(destinations.now(&RrType::A, "198.51.100.1", Some("i-2")), Now::Nowhere(_)));
        // What it leads to may end, and is not put back before that is known.
        destinations.undecided = Some("denied".into());
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        destinations.instances = Ok(vec![instance(Some(Consent::Stop))]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), Now::Unknown("denied".into()));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        destinations.consented = HashSet::from(["203.0.113.9".to_owned()]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), Now::Unknown("denied".into()));
        destinations.undecided = None;
        destinations.instances = Ok(vec![instance(None)]);
        let by_instances = destinations.instances.clone();
        destinations.instances = Err("denied".into());
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), Now::Unknown("denied".into()));
        assert_eq!(destinations.now(&RrType::A, "203.0.113.9", Some("i-1")), at("203.0.113.9"));
        // It may be an Elastic IP's, which neither moves nor ends with its instance.
        destinations.instances = by_instances;
        destinations.elastic = Err("denied".into());
        let unknown = Now::Unknown("denied".into());
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), at("203.0.113.7"));
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-1")), unknown);
        assert_eq!(destinations.now(&RrType::A, "198.51.100.1", Some("i-2")), unknown);
        destinations.ends = HashMap::from([("203.0.113.7".to_owned(), "i-1".to_owned())]);
        assert_eq!(destinations.now(&RrType::A, "203.0.113.7", Some("i-1")), unknown);
    }
}

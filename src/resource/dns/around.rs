//! What stands around a domain in its zone, and what follows from it for a provision. No I/O.

use std::collections::BTreeSet;

use aws_sdk_route53::types::{ResourceRecordSet, RrType};

use super::caa::Property;
use super::domain_records::DomainRecords;
use super::ownership::Ownership;
use super::record::{describe, describe_all, is_address, is_routed, name_of, validates, values};
use crate::error::{Error, Result};
use crate::owner::Owner;
use crate::spec::ids::{Zone, destination};

/// So many pages of a zone's listing are read for what may stand anywhere in it. A page has 300 record sets.
pub const PAGES: usize = 4;

/// The record sets of a zone; of a large one those that decide about a domain, and some of the others.
#[derive(Debug, Clone)]
pub struct Around {
    pub zone: Zone,
    pub domain: String,
    pub records: Vec<ResourceRecordSet>,
    /// Whether these are all record sets of the zone.
    pub whole: bool,
}

/// Returns the names above a domain in its zone, the closest first and the zone's own last.
pub fn above<'a>(domain: &'a str, zone: &str) -> Vec<&'a str> {
    let parent = |name: &&'a str| name.split_once('.').map(|(_, parent)| parent);
    let names = std::iter::successors(Some(domain), parent).skip(1);
    names.take_while(|name| *name == zone || name.ends_with(&format!(".{zone}"))).collect()
}

impl Around {
    /// Returns the records at the domain itself.
    pub fn at_domain(&self) -> DomainRecords {
        DomainRecords::of(self.records.clone(), &self.domain)
    }

    /// Returns the domain and the names above it in the zone, the closest first.
    fn upwards(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.domain.as_str()).chain(above(&self.domain, &self.zone.name))
    }

    fn of<'a>(&'a self, name: &'a str, kind: RrType) -> impl Iterator<Item = &'a ResourceRecordSet> {
        self.records.iter().filter(move |record| *record.r#type() == kind && name_of(record) == name)
    }

    /// Returns the zone's own name servers.
    pub fn name_servers(&self) -> Vec<String> {
        all_values(self.of(&self.zone.name, RrType::Ns)).map(destination).collect()
    }

    /// Refuses a domain that NS records of the zone hand to other name servers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub fn check_not_delegated(&self) -> Result<()> {
        let (domain, zone) = (&self.domain, &self.zone);
        let names = self.upwards().filter(|name| *name != zone.name);
        match names.flat_map(|name| self.of(name, RrType::Ns)).next() {
            None => Ok(()),
            Some(record) => Err(Error::input(
                "$.domain",
                format!(
                    "hosted zone {} hands {domain} to other name servers: {}. What it holds of the domain is not asked for. Give the \"hostedZoneId\" of the zone that they serve, or delete the record if nothing needs it",
                    zone.id,
                    describe(record)
                ),
            )),
        }
    }

    /// Returns the CAA properties that hold for the domain, as far as the zone tells, and the name at which they stand: the
    /// closest one that has any (RFC 8659, 3).
    pub fn caa(&self) -> Option<(&str, Vec<Property>)> {
        let found = self
            .upwards()
            .map(|name| (name, all_values(self.of(name, RrType::Caa)).filter_map(Property::parse).collect()));
        found.into_iter().find(|(_, properties): &(_, Vec<Property>)| !properties.is_empty())
    }

    /// A CNAME stands at the domain: its CAA properties are then first of all those of where it leads.
    pub fn is_cname(&self) -> bool {
        self.of(&self.domain, RrType::Cname).next().is_some()
    }

    /// Whether a CNAME stands by which ACM validates the domain.
    pub fn is_validated(&self) -> bool {
        self.records.iter().any(|record| validates(record, &self.domain))
    }

    /// Returns the record sets of the wildcard that serves the domain: the one just under the closest name that exists, and
    /// none where the domain itself exists (RFC 4592, 3.3.1). A name exists if anything stands at it or under it whose name
    /// `counts`.
    fn wildcard(&self, counts: impl Fn(&str) -> bool) -> Vec<&ResourceRecordSet> {
        let names: Vec<String> = self.records.iter().map(name_of).filter(|name| counts(name)).collect();
        let exists = |name: &str| names.iter().any(|other| is_in(other, name));
        if exists(&self.domain) {
            return vec![];
        }
        let encloser = self.upwards().find(|name| exists(name)).unwrap_or(&self.zone.name);
        let wildcard = format!("*.{encloser}");
        self.records.iter().filter(|record| name_of(record) == wildcard).collect()
    }

    /// Returns the records that keep a domain served that only a wildcard serves: as soon as anything stands under the domain,
    /// such as the lock record, the wildcard serves it no more (RFC 4592, 2.2.2). They are copies of the wildcard's address
    /// records at the domain, and the ownership record that calls them ours.
    ///
    /// # Errors
    /// [`Error::DnsRecordConflict`] where the wildcard cannot be copied.
    pub fn copies(&self, owner: &Owner, environment: &str) -> Result<Vec<ResourceRecordSet>> {
        let domain = &self.domain;
        let wildcard = self.wildcard(|_| true);
        let copied = copied(&wildcard, domain);
        if copied.iter().any(is_routed) {
            let problem = format!(
                "it serves {domain}, and has a routing policy or a health check, which an environment cannot copy; give {domain} a record of its own"
            );
            return Err(Error::DnsRecordConflict {
                record: describe_all(wildcard),
                zone: self.zone.id.clone(),
                problem,
            });
        }
        if copied.is_empty() {
            return Ok(vec![]);
        }
        let ownership = Ownership::of_copies(owner, environment, &copied).record(domain);
        Ok(copied.into_iter().chain([ownership]).collect())
    }

    /// Returns the copies that would serve the domain if nothing stood at it or under it any more; none where the wildcard
    /// cannot be copied.
    pub fn served(&self) -> Vec<ResourceRecordSet> {
        let copied = copied(&self.wildcard(|name| !is_in(name, &self.domain)), &self.domain);
        if copied.iter().any(is_routed) { vec![] } else { copied }
    }

    /// Warns of the names that a wildcard serves today and will not serve once the domain has records of its own.
    fn shadowed(&self) -> Option<String> {
        let domain = &self.domain;
        let wildcard = self.wildcard(|_| true);
        let name = name_of(wildcard.first()?);
        // The topmost name that begins to exist.
        let encloser = name.trim_start_matches("*.");
        let top = self.upwards().take_while(|above| *above != encloser).last()?;
        let under = if top == domain {
            format!("names under {domain}, such as x.{domain},")
        } else {
            format!("{top} and names under it other than {domain}")
        };
        let others: BTreeSet<_> =
            wildcard.iter().filter(|record| !is_address(record)).map(|record| record.r#type().as_str()).collect();
        let others = match others.into_iter().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            kinds => format!("; nor does {domain} have its {kinds} records any more"),
        };
        Some(format!(
            "{name} serves {under} no more, as {domain} has records of its own (RFC 4592){others}. Give those in use records of their own"
        ))
    }

    /// Returns the names that lead to the domain, directly or by another of them, each with its record.
    fn followers(&self) -> Vec<(String, &ResourceRecordSet)> {
        let mut found: Vec<(String, &ResourceRecordSet)> = vec![];
        let leads_to = |record: &ResourceRecordSet, name: &str| match record.alias_target() {
            Some(to) => destination(to.dns_name()) == name,
            None => *record.r#type() == RrType::Cname && values(record).any(|value| destination(value) == name),
        };
        let mut next = vec![self.domain.clone()];
        while let Some(name) = next.pop() {
            for record in self.records.iter().filter(|record| leads_to(record, &name)) {
                let follower = name_of(record);
                if follower != self.domain
                    && !follower.starts_with('_')
                    && !found.iter().any(|(known, _)| *known == follower)
                {
                    next.push(follower.clone());
                    found.push((follower, record));
                }
            }
        }
        found
    }

    /// Returns what may be meant as it stands, and may be a mistake; `covers` tells whether the certificate is for a name.
    pub fn warnings(&self, covers: impl Fn(&str) -> bool) -> Vec<String> {
        let (domain, zone) = (&self.domain, &self.zone.id);
        let mut warnings: Vec<String> = self.shadowed().into_iter().collect();
        for (name, record) in self.followers() {
            if !covers(&name) {
                warnings.push(format!(
                    "{} follows the domain: http://{name} will be redirected to https://{name}, which the certificate does not name. Point it elsewhere, or give a \"certificateArn\" that is for it too",
                    describe(record)
                ));
            }
        }
        if !self.whole {
            warnings.push(format!(
                "hosted zone {zone} has more than the {} record sets that are looked through for names that follow {domain}, which the certificate would not name",
                300 * PAGES
            ));
        }
        warnings
    }
}

fn all_values<'a>(records: impl Iterator<Item = &'a ResourceRecordSet>) -> impl Iterator<Item = &'a str> {
    records.flat_map(values)
}

/// Whether `name` is `other` or lies under it.
fn is_in(name: &str, other: &str) -> bool {
    name == other || name.ends_with(&format!(".{other}"))
}

/// Copies a wildcard's address records to the domain, but for one that leads to the domain: that serves nothing.
fn copied(wildcard: &[&ResourceRecordSet], domain: &str) -> Vec<ResourceRecordSet> {
    let leads_there = |record: &ResourceRecordSet| {
        let to = record.alias_target().map(|to| to.dns_name());
        to.into_iter().chain(values(record)).any(|name| destination(name) == domain)
    };
    let wanted = wildcard.iter().filter(|record| is_address(record) && !leads_there(record));
    let at_domain = |record: &&ResourceRecordSet| {
        let mut record = (*record).clone();
        record.name = domain.into();
        record
    };
    wanted.map(at_domain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::batch::Edit;
    use super::super::ownership::tests::{owner, summary};
    use super::super::record::{alias, plain};
    use super::*;

    const DOMAIN: &str = "api.w.test";

    fn around(records: &[ResourceRecordSet], domain: &str) -> Around {
        let zone = Zone { id: "Z1".into(), name: "w.test".into() };
        let apex = plain("w.test.", RrType::Ns, 172_800, "ns-1.awsdns-01.org.");
        Around { zone, domain: domain.into(), records: [&[apex], records].concat(), whole: true }
    }

    fn record(name: &str, kind: RrType, value: &str) -> ResourceRecordSet {
        plain(&format!("{name}."), kind, 300, value)
    }

    fn served(records: &[ResourceRecordSet], domain: &str) -> String {
        match around(records, domain).copies(&owner(), "api-w-test") {
            Ok(made) => summary(&made.into_iter().map(Edit::Create).collect::<Vec<_>>()),
            Err(error) => error.name().into(),
        }
    }

    #[test]
    fn a_domain_that_a_wildcard_serves_gets_a_copy() {
        let wildcard = || record("\\052.w.test", RrType::A, "203.0.113.7");
        let deep = || record("x.b.w.test", RrType::A, "203.0.113.9");
        let under = || record("_hash.api.w.test", RrType::Cname, "_x.acm-validations.aws");
        let own = || record("api.w.test", RrType::Mx, "10 mail.w.test");
        let cname = || record("*.w.test", RrType::Cname, "web.example.net");
        let itself = || record("*.w.test", RrType::Cname, "API.w.test.");
        let to_elb = || alias("\\052.w.test.", RrType::A, "elb.amazonaws.com.", "Z35", true);
        let mut weighted = wildcard();
        weighted.set_identifier = Some("one".into());
        let cases = [
            (vec![], DOMAIN, ""),
            (vec![wildcard()], DOMAIN, "create A, create TXT"),
            (
                vec![wildcard(), record("*.w.test", RrType::Aaaa, "2001:db8::7")],
                DOMAIN,
                "create A, create AAAA, create TXT",
            ),
            (vec![to_elb()], DOMAIN, "create A, create TXT"),
            (vec![cname()], DOMAIN, "create CNAME, create TXT"),
            (vec![itself()], DOMAIN, ""),
            (vec![record("*.w.test", RrType::Mx, "10 mail.w.test")], DOMAIN, ""),
            (vec![wildcard(), own()], DOMAIN, ""),
            (vec![wildcard(), under()], DOMAIN, ""),
            (vec![wildcard()], "a.b.w.test", "create A, create TXT"),
            (vec![wildcard(), deep()], "a.b.w.test", ""),
            (vec![wildcard(), record("*.b.w.test", RrType::A, "203.0.113.8")], "a.b.w.test", "create A, create TXT"),
            (vec![wildcard()], "w.test", ""),
            (vec![weighted], DOMAIN, "DnsRecordConflict"),
        ];
        for (records, domain, wanted) in cases {
            assert_eq!(served(&records, domain), wanted, "{domain} {records:?}");
        }
        let made = around(&[to_elb()], DOMAIN).copies(&owner(), "api-w-test").unwrap();
        let [copy, txt] = &made[..] else { panic!("{made:?}") };
        assert_eq!(copy, &alias(DOMAIN, RrType::A, "elb.amazonaws.com.", "Z35", true));
        let ownership = Ownership::parse(txt, DOMAIN).unwrap();
        assert_eq!((ownership.target, ownership.remembered[0].wildcard), (None, true));
    }

    #[test]
    fn what_the_wildcard_has_now_would_serve_the_domain_without_us() {
        let wildcard = record("\\052.w.test", RrType::A, "198.51.100.9");
        let ours = [
            record(DOMAIN, RrType::A, "203.0.113.7"),
            record("_albatross.api.w.test", RrType::Txt, "\"x\""),
            record("_hash.api.w.test", RrType::Cname, "_x.acm-validations.aws"),
        ];
        let served = around(&[&ours[..], &[wildcard]].concat(), DOMAIN).served();
        assert_eq!(served, [plain(DOMAIN, RrType::A, 300, "198.51.100.9")]);
        assert_eq!(around(&ours, DOMAIN).served(), []);
    }

    #[test]
    fn a_name_that_is_handed_on_is_refused_with_its_servers() {
        let checked = |records: &[ResourceRecordSet], domain: &str| {
            around(records, domain).check_not_delegated().map_err(|error| error.to_string())
        };
        let ns = |name: &str| record(name, RrType::Ns, "ns1.other.net.");
        assert_eq!(checked(&[], DOMAIN), Ok(()));
        assert_eq!(checked(&[ns("other.w.test")], DOMAIN), Ok(()));
        assert_eq!(checked(&[], "w.test"), Ok(()));
        assert!(checked(&[ns("api.w.test")], DOMAIN).unwrap_err().contains("api.w.test NS ns1.other.net."));
        assert!(checked(&[ns("b.w.test")], "a.b.w.test").unwrap_err().starts_with("$.domain: "));
    }

    #[test]
    fn the_closest_caa_records_hold() {
        let apex = record("w.test", RrType::Caa, "0 issue \"letsencrypt.org\"");
        let own = record(DOMAIN, RrType::Caa, "0 issue \"amazon.com\"");
        let records = [apex, own];
        assert_eq!(around(&records, DOMAIN).caa().map(|(name, _)| name.to_owned()).as_deref(), Some(DOMAIN));
        assert_eq!(around(&records, "x.y.w.test").caa().map(|(name, _)| name.to_owned()).as_deref(), Some("w.test"));
        assert_eq!(around(&[], DOMAIN).caa(), None);
    }

    #[test]
    fn names_that_follow_the_domain_are_told_once_and_through_each_other() {
        let records = [
            record("www.w.test", RrType::Cname, "W.test."),
            alias("shop.w.test.", RrType::A, "w.test.", "Z1", false),
            alias("shop.w.test.", RrType::Aaaa, "w.test.", "Z1", false),
            record("old.w.test", RrType::Cname, "www.w.test"),
            record("other.w.test", RrType::Cname, "example.net"),
            record("_dmarc.w.test", RrType::Cname, "w.test"),
        ];
        let warned = around(&records, "w.test").warnings(|name| name == "shop.w.test");
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(
            warned[0].starts_with("www.w.test CNAME W.test. follows the domain: http://www.w.test will be redirected")
        );
        assert!(warned[1].starts_with("old.w.test CNAME www.w.test follows"));
        assert!(around(&records, DOMAIN).warnings(|_| false).is_empty());
        let large = Around { whole: false, ..around(&records, "w.test") };
        assert!(large.warnings(|_| true)[0].contains("1200 record sets"));
    }

    #[test]
    fn what_a_wildcard_serves_no_more_is_told() {
        let wildcard = || record("\\052.w.test", RrType::A, "203.0.113.7");
        let mail = || record("\\052.w.test", RrType::Mx, "10 mail.w.test");
        let told = |records: &[ResourceRecordSet], domain: &str| around(records, domain).shadowed();
        assert_eq!(told(&[], DOMAIN), None);
        assert_eq!(told(&[wildcard(), record(DOMAIN, RrType::A, "203.0.113.7")], DOMAIN), None);
        let one = told(&[wildcard()], DOMAIN).unwrap();
        assert!(one.starts_with("*.w.test serves names under api.w.test, such as x.api.w.test, no more"), "{one}");
        let deep = told(&[wildcard(), mail()], "a.b.w.test").unwrap();
        assert!(
            deep.starts_with("*.w.test serves b.w.test and names under it other than a.b.w.test no more"),
            "{deep}"
        );
        assert!(deep.contains("nor does a.b.w.test have its MX records any more"), "{deep}");
    }

    #[test]
    fn a_validation_record_is_known_by_where_it_leads() {
        let validated = |name: &str, value: &str| around(&[record(name, RrType::Cname, value)], DOMAIN).is_validated();
        assert!(validated("_0a1b.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("_0a1b.api.w.test", "example.net"));
        assert!(!validated("_0a1b.www.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("_0a1b.x.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("x.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
    }
}

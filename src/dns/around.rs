//! What stands around a domain in its zone, and what follows from it for a provision: pure, but for the reading.

use std::collections::BTreeSet;

use aws_sdk_route53 as route53;
use route53::types::{ResourceRecordSet, RrType};

use super::caa::Property;
use super::ownership::{Owner, Ownership};
use super::record::{Standing, at, describe, is_address, name_of, read_from};
use crate::environment::Zone;
use crate::error::{Error, Result};
use crate::instance;

/// How much of a zone's listing is read for what may stand anywhere in it. A page has 300 record sets.
const PAGES: usize = 4;

/// The record sets of a zone; of a large one those that decide about a domain, and the first of the others.
#[derive(Debug, Clone, Default)]
pub struct Around {
    pub records: Vec<ResourceRecordSet>,
    /// All of the zone is there.
    pub whole: bool,
}

/// The names above a domain in its zone, the closest first and the zone's own last.
fn above<'a>(domain: &'a str, zone: &str) -> Vec<&'a str> {
    let parent = |name: &&'a str| name.split_once('.').map(|(_, parent)| parent);
    let names = std::iter::successors(Some(domain), parent).skip(1);
    names.take_while(|name| *name == zone || name.ends_with(&format!(".{zone}"))).collect()
}

/// Reads what stands around a domain: one call for most zones; for one of more than 1,200 record sets four, and beside each
/// other one or two at the domain and one at each name between it and the zone's own.
pub async fn around(client: &route53::Client, zone: &Zone, domain: &str) -> Result<Around> {
    let mut pages = 0;
    let goes_on = |_: &ResourceRecordSet| {
        pages += 1;
        pages < PAGES
    };
    let (mut records, more) = read_from(client, &zone.id, None, goes_on).await?;
    if more {
        let between = above(domain, &zone.name).into_iter().filter(|name| *name != zone.name);
        // A name's wildcard is listed next to it.
        let reads = between.map(|name| {
            let wildcard = format!("*.{name}");
            let goes_on = move |last: &ResourceRecordSet| [name, &wildcard].contains(&name_of(last).as_str());
            read_from(client, &zone.id, Some(name), goes_on)
        });
        let (own, others) = tokio::try_join!(at(client, &zone.id, domain), futures_util::future::try_join_all(reads))?;
        let mut seen: BTreeSet<_> = records.iter().map(key).collect();
        let read = own.into_iter().chain(others.into_iter().flat_map(|(records, _)| records));
        records.extend(read.filter(|record| seen.insert(key(record))).collect::<Vec<_>>());
    }
    Ok(Around { records, whole: !more })
}

fn key(record: &ResourceRecordSet) -> (String, String, Option<String>) {
    (name_of(record), record.r#type().as_str().into(), record.set_identifier().map(Into::into))
}

impl Around {
    pub fn standing(&self, domain: &str) -> Standing {
        Standing::of(self.records.clone(), domain)
    }

    fn of<'a>(&'a self, name: &'a str, kind: RrType) -> impl Iterator<Item = &'a ResourceRecordSet> {
        self.records.iter().filter(move |record| *record.r#type() == kind && name_of(record) == name)
    }

    /// The zone's own name servers.
    pub fn name_servers(&self, zone: &str) -> Vec<String> {
        values(self.of(zone, RrType::Ns)).map(instance::destination).collect()
    }

    /// Refuses a domain that NS records of the zone hand to other name servers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub fn check_not_delegated(&self, domain: &str, zone: &Zone) -> Result<()> {
        let names = std::iter::once(domain).chain(above(domain, &zone.name)).filter(|name| *name != zone.name);
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

    /// The CAA properties that hold for a domain, as far as the zone tells: those at the closest name that has any
    /// (RFC 8659, 3), with that name.
    pub fn caa<'a>(&'a self, domain: &'a str, zone: &str) -> Option<(&'a str, Vec<Property>)> {
        let names = std::iter::once(domain).chain(above(domain, zone));
        let found = names.map(|name| (name, values(self.of(name, RrType::Caa)).filter_map(Property::parse).collect()));
        found.into_iter().find(|(_, properties): &(_, Vec<Property>)| !properties.is_empty())
    }

    /// A CNAME stands at the domain: its CAA properties are then first of all those of where it leads.
    pub fn is_cname(&self, domain: &str) -> bool {
        self.of(domain, RrType::Cname).next().is_some()
    }

    /// A CNAME by which ACM validates the domain stands (ACM user guide, DNS validation).
    pub fn is_validated(&self, domain: &str) -> bool {
        let is_under = |name: &str| {
            let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
            label.is_some_and(|label| label.starts_with('_') && !label.contains('.'))
        };
        let cnames = self.records.iter().filter(|record| *record.r#type() == RrType::Cname);
        let mut leads =
            cnames.filter(|record| is_under(&name_of(record))).flat_map(|record| values([record].into_iter()));
        leads.any(|value| instance::destination(value).ends_with(".acm-validations.aws"))
    }

    /// The record sets of the wildcard that serves a domain of which nothing stands: the one just under the closest name
    /// that exists (RFC 4592, 3.3.1). A name exists where anything stands at it or under it; what is `ours` does not count.
    fn wildcard(&self, domain: &str, zone: &str, ours: impl Fn(&ResourceRecordSet) -> bool) -> Vec<&ResourceRecordSet> {
        let names: Vec<String> = self.records.iter().filter(|record| !ours(record)).map(name_of).collect();
        let exists = |name: &str| names.iter().any(|other| other == name || other.ends_with(&format!(".{name}")));
        if exists(domain) {
            return vec![];
        }
        let encloser = above(domain, zone).into_iter().find(|name| exists(name)).unwrap_or(zone);
        let wildcard = format!("*.{encloser}");
        self.records.iter().filter(|record| name_of(record) == wildcard).collect()
    }

    /// What keeps a domain served that a wildcard alone serves: as soon as anything stands under it, as the lock, the wildcard
    /// serves it no more (RFC 4592, 2.2.2). They are copies of the wildcard's address records at the domain, and the ownership
    /// record that calls them ours.
    ///
    /// # Errors
    /// [`Error::DnsRecordConflict`] where the wildcard cannot be copied.
    pub fn copies(
        &self,
        owner: &Owner,
        environment: &str,
        domain: &str,
        zone: &Zone,
    ) -> Result<Vec<ResourceRecordSet>> {
        let wildcard = self.wildcard(domain, &zone.name, |_| false);
        let copied = copied(&wildcard, domain);
        if let Some(record) = copied.iter().find(|record| is_routed(record)) {
            let problem = format!(
                "it serves {domain}, and has a routing policy or a health check, which an environment cannot copy; give {domain} a record of its own"
            );
            let record = wildcard.iter().find(|found| found.r#type() == record.r#type()).map(|found| describe(found));
            return Err(Error::DnsRecordConflict {
                record: record.unwrap_or_default(),
                zone: zone.id.clone(),
                problem,
            });
        }
        if copied.is_empty() {
            return Ok(vec![]);
        }
        let ownership = Ownership::of_copies(owner, environment, &copied).record(domain);
        Ok(copied.into_iter().chain([ownership]).collect())
    }

    /// What a wildcard served before and will not, as the domain has records of its own.
    fn shadowed(&self, domain: &str, zone: &str) -> Option<String> {
        let wildcard = self.wildcard(domain, zone, |_| false);
        let name = name_of(wildcard.first()?);
        // The topmost name that begins to exist.
        let encloser = name.trim_start_matches("*.");
        let top = std::iter::once(domain).chain(above(domain, zone)).take_while(|above| *above != encloser).last()?;
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

    /// The names that lead to the domain, each with its record, whether directly or by another of them.
    fn followers(&self, domain: &str) -> Vec<(String, &ResourceRecordSet)> {
        let mut found: Vec<(String, &ResourceRecordSet)> = vec![];
        let leads_to = |record: &ResourceRecordSet, name: &str| match record.alias_target() {
            Some(to) => instance::destination(to.dns_name()) == name,
            None => {
                *record.r#type() == RrType::Cname
                    && values([record].into_iter()).any(|value| instance::destination(value) == name)
            }
        };
        let mut next = vec![domain.to_owned()];
        while let Some(name) = next.pop() {
            for record in self.records.iter().filter(|record| leads_to(record, &name)) {
                let follower = name_of(record);
                if follower != domain
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

    /// What may be meant, and may not; `covers` tells whether the certificate is for a name.
    pub fn warnings(&self, domain: &str, zone: &Zone, covers: impl Fn(&str) -> bool) -> Vec<String> {
        let mut warnings: Vec<String> = self.shadowed(domain, &zone.name).into_iter().collect();
        for (name, record) in self.followers(domain) {
            if !covers(&name) {
                warnings.push(format!(
                    "{} follows the domain: http://{name} will be redirected to https://{name}, which the certificate does not name. Point it elsewhere, or give a \"certificateArn\" that is for it too",
                    describe(record)
                ));
            }
        }
        if !self.whole {
            warnings.push(format!(
                "hosted zone {} has more than the {} record sets that are looked through for names that follow {domain}, which the certificate would not name",
                zone.id,
                300 * PAGES
            ));
        }
        warnings
    }
}

fn values<'a>(records: impl Iterator<Item = &'a ResourceRecordSet>) -> impl Iterator<Item = &'a str> {
    records.flat_map(|record| record.resource_records().iter().map(|value| value.value()))
}

fn is_routed(record: &ResourceRecordSet) -> bool {
    record.set_identifier().is_some() || record.health_check_id().is_some()
}

/// A wildcard's records that say where a name is served, at the domain. One that leads to the domain serves nothing.
fn copied(wildcard: &[&ResourceRecordSet], domain: &str) -> Vec<ResourceRecordSet> {
    let leads_there = |record: &ResourceRecordSet| {
        let to = record.alias_target().map(|to| to.dns_name());
        to.into_iter().chain(values([record].into_iter())).any(|name| instance::destination(name) == domain)
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
    use super::super::ownership::tests::{owner, summary};
    use super::super::record::{Edit, alias, plain};
    use super::*;

    const DOMAIN: &str = "api.w.test";

    fn zone() -> Zone {
        Zone { id: "Z1".into(), name: "w.test".into() }
    }

    fn around(records: &[ResourceRecordSet]) -> Around {
        let apex = plain("w.test.", RrType::Ns, 172_800, "ns-1.awsdns-01.org.");
        Around { records: [&[apex], records].concat(), whole: true }
    }

    fn record(name: &str, kind: RrType, value: &str) -> ResourceRecordSet {
        plain(&format!("{name}."), kind, 300, value)
    }

    fn served(records: &[ResourceRecordSet], domain: &str) -> String {
        match around(records).copies(&owner(), "api-w-test", domain, &zone()) {
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
        let made = around(&[to_elb()]).copies(&owner(), "api-w-test", DOMAIN, &zone()).unwrap();
        let [copy, txt] = &made[..] else { panic!("{made:?}") };
        assert_eq!(copy, &alias(DOMAIN, RrType::A, "elb.amazonaws.com.", "Z35", true));
        let ownership = Ownership::parse(txt, DOMAIN).unwrap();
        assert_eq!((ownership.target, ownership.previous[0].wildcard), (None, true));
    }

    #[test]
    fn a_name_that_is_handed_on_is_refused_with_its_servers() {
        let checked = |records: &[ResourceRecordSet], domain: &str| {
            around(records).check_not_delegated(domain, &zone()).map_err(|error| error.to_string())
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
        let zone = around(&[apex, own]);
        assert_eq!(zone.caa(DOMAIN, "w.test").map(|(name, _)| name), Some(DOMAIN));
        assert_eq!(zone.caa("x.y.w.test", "w.test").map(|(name, _)| name), Some("w.test"));
        assert_eq!(around(&[]).caa(DOMAIN, "w.test"), None);
    }

    #[test]
    fn names_that_follow_the_domain_are_told_once_and_through_each_other() {
        let zone_of = around(&[
            record("www.w.test", RrType::Cname, "W.test."),
            alias("shop.w.test.", RrType::A, "w.test.", "Z1", false),
            alias("shop.w.test.", RrType::Aaaa, "w.test.", "Z1", false),
            record("old.w.test", RrType::Cname, "www.w.test"),
            record("other.w.test", RrType::Cname, "example.net"),
            record("_dmarc.w.test", RrType::Cname, "w.test"),
        ]);
        let warned = zone_of.warnings("w.test", &zone(), |name| name == "shop.w.test");
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(
            warned[0].starts_with("www.w.test CNAME W.test. follows the domain: http://www.w.test will be redirected")
        );
        assert!(warned[1].starts_with("old.w.test CNAME www.w.test follows"));
        assert!(zone_of.warnings(DOMAIN, &zone(), |_| false).is_empty());
        let large = Around { whole: false, ..zone_of };
        assert!(large.warnings("w.test", &zone(), |_| true)[0].contains("1200 record sets"));
    }

    #[test]
    fn what_a_wildcard_serves_no_more_is_told() {
        let wildcard = || record("\\052.w.test", RrType::A, "203.0.113.7");
        let mail = || record("\\052.w.test", RrType::Mx, "10 mail.w.test");
        let told = |records: &[ResourceRecordSet], domain: &str| around(records).shadowed(domain, "w.test");
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
        let validated = |name: &str, value: &str| around(&[record(name, RrType::Cname, value)]).is_validated(DOMAIN);
        assert!(validated("_0a1b.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("_0a1b.api.w.test", "example.net"));
        assert!(!validated("_0a1b.www.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("_0a1b.x.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
        assert!(!validated("x.api.w.test", "_1.xlfgrmvvlj.acm-validations.aws."));
    }
}

//! What public DNS says of a domain beside its zone: whether the internet asks the zone at all, and whether ACM may issue a
//! certificate.

use futures_util::future::join_all;

use super::around::Around;
use super::caa::{Property, forbids_amazon};
use super::resolver::{Resolver, Said};
use crate::error::{Error, Result};
use crate::spec::ids::Zone;

/// The answers of public DNS.
#[derive(Debug, Clone, Default)]
pub struct Public {
    /// The zone's name servers; `None` where they were not asked for.
    name_servers: Option<Said<Vec<String>>>,
    /// The CAA properties of the names above the zone, the closest first.
    above: Vec<(String, Said<Vec<Property>>)>,
}

impl Public {
    /// Asks for the zone's `delegation` and for the `caa` records above it, as far as wanted, all at once.
    pub async fn ask(resolver: &Resolver, zone: &Zone, delegation: bool, caa: bool) -> Self {
        let name_servers = async { if delegation { Some(resolver.name_servers(&zone.name).await) } else { None } };
        let above = std::iter::successors(zone.name.split_once('.'), |(_, name)| name.split_once('.'));
        let above = above.filter(|_| caa).map(async |(_, name)| (name.to_owned(), resolver.caa(name).await));
        let (name_servers, above) = tokio::join!(name_servers, join_all(above));
        Public { name_servers, above }
    }

    /// Refuses a zone that the internet does not ask: `own` are the zone's own name servers, `path` is the JSON path of the
    /// field that chose it. Returns a warning where only some of the name servers that the internet asks are the zone's, or
    /// where public DNS does not answer.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub fn check_asked(&self, zone: &Zone, own: &[String], path: &str) -> Result<Option<String>> {
        let Zone { id, name } = zone;
        let has = own.join(", ");
        let servers = match &self.name_servers {
            None => return Ok(None),
            Some(Ok(servers)) => servers,
            Some(Err(problem)) => {
                return Ok(Some(format!(
                    "whether the internet asks hosted zone {id} for {name} is not known, as public DNS does not answer ({problem}). At the registrar its name servers are to be {has}"
                )));
            }
        };
        let (known, others): (Vec<&String>, Vec<&String>) = servers.iter().partition(|server| own.contains(server));
        let others: Vec<&str> = others.into_iter().map(String::as_str).collect();
        let advice = format!(
            "At the registrar of {name}, or in the zone above it, give it the name servers of hosted zone {id}: {has}. Where that was done a moment ago, give \"delegation\": \"trust\""
        );
        match (known.is_empty(), others.is_empty()) {
            (false, true) => Ok(None),
            (false, false) => Ok(Some(format!(
                "the internet asks {} for {name} too, which are not of hosted zone {id} ({has}): who asks them, ACM among others, sees what they say",
                others.join(", ")
            ))),
            (true, true) => Err(Error::input(
                path,
                format!("the internet knows no zone {name}: public DNS names no name servers of it. {advice}"),
            )),
            (true, false) => Err(Error::input(
                path,
                format!("the internet does not ask hosted zone {id} for {name}, but {}. {advice}", others.join(", ")),
            )),
        }
    }

    /// Returns the name at which CAA properties stand that forbid ACM a certificate for the domain, and these properties, in
    /// words; `None` where ACM may issue one, or that is not known. `at_domain` are the properties that public DNS has for the
    /// domain itself, where a CNAME stands there.
    fn forbidding(&self, around: &Around, at_domain: Vec<Property>) -> Option<(String, String)> {
        let domain = &around.domain;
        let of_cname = (!at_domain.is_empty()).then(|| (format!("where the CNAME at {domain} leads"), at_domain));
        let in_zone = || around.caa().map(|(name, properties)| (name.to_owned(), properties));
        let in_public = || {
            let known = self.above.iter().filter_map(|(name, said)| Some((name, said.as_ref().ok()?)));
            let mut set = known.filter(|(_, properties)| !properties.is_empty());
            set.next().map(|(name, properties)| (name.clone(), properties.clone()))
        };
        let (name, properties) = of_cname.or_else(in_zone).or_else(in_public)?;
        let said = properties.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        forbids_amazon(&properties).then_some((name, said))
    }
}

/// Says why ACM may not issue a certificate for a domain, and what to do; `None` where it may, or that is not known.
pub async fn forbidden(resolver: &Resolver, public: &Public, around: &Around) -> Option<String> {
    let domain = &around.domain;
    let at_domain = if around.is_cname() { resolver.caa(domain).await.unwrap_or_default() } else { vec![] };
    let (name, said) = public.forbidding(around, at_domain)?;
    Some(format!(
        "the CAA records of {name} ({said}) forbid Amazon to issue a certificate for {domain}. Add 0 issue \"amazon.com\" to them"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::record::plain;
    use super::*;
    use aws_sdk_route53::types::RrType;

    fn zone() -> Zone {
        Zone { id: "Z1".into(), name: "w.test".into() }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_zone_that_is_not_asked_is_refused_and_one_among_others_told() {
        let own = strings(&["ns-1.awsdns-01.org", "ns-2.awsdns-02.com"]);
        let told = |name_servers: Option<Said<Vec<String>>>| {
            let public = Public { name_servers, above: vec![] };
            public.check_asked(&zone(), &own, "$.domain").map_err(|error| error.to_string())
        };
        assert_eq!(told(None), Ok(None));
        assert_eq!(told(Some(Ok(own.clone()))), Ok(None));
        assert_eq!(told(Some(Ok(strings(&["ns-2.awsdns-02.com"])))), Ok(None));
        let both = told(Some(Ok(strings(&["ns-1.awsdns-01.org", "ns1.other.net"])))).unwrap().unwrap();
        assert!(both.contains("asks ns1.other.net for w.test too"), "{both}");
        let other = told(Some(Ok(strings(&["ns1.other.net"])))).unwrap_err();
        assert!(other.starts_with("$.domain: the internet does not ask hosted zone Z1 for w.test, but ns1.other.net"));
        assert!(other.contains("ns-1.awsdns-01.org, ns-2.awsdns-02.com"), "{other}");
        let none = told(Some(Ok(vec![]))).unwrap_err();
        assert!(none.starts_with("$.domain: the internet knows no zone w.test"), "{none}");
        let unknown = told(Some(Err("no answer in 2 seconds".into()))).unwrap().unwrap();
        assert!(unknown.contains("no answer in 2 seconds"), "{unknown}");
    }

    #[test]
    fn the_closest_caa_records_of_cname_zone_and_the_names_above_decide() {
        let caa = |value: &str| Property::parse(&format!("0 issue \"{value}\"")).unwrap();
        let in_zone = |value: &str| {
            let record = plain("w.test.", RrType::Caa, 300, &format!("0 issue \"{value}\""));
            Around { zone: zone(), domain: "api.w.test".into(), records: vec![record], whole: true }
        };
        let above = |value: &str| Public {
            name_servers: None,
            above: vec![("lost.test".into(), Err("no answer".into())), ("test".into(), Ok(vec![caa(value)]))],
        };
        let (ours, theirs) = ("amazon.com", "letsencrypt.org");
        let forbidding = |public: &Public, around: &Around, at_domain: &[&str]| {
            let at_domain = at_domain.iter().map(|value| caa(value)).collect();
            public.forbidding(around, at_domain).map(|(name, _)| name)
        };
        let (silent, empty) = (Public::default(), Around { records: vec![], ..in_zone(ours) });
        assert_eq!(forbidding(&silent, &empty, &[]), None);
        assert_eq!(forbidding(&above(theirs), &empty, &[]), Some("test".into()));
        assert_eq!(forbidding(&above(theirs), &in_zone(ours), &[]), None);
        assert_eq!(forbidding(&above(ours), &in_zone(theirs), &[]), Some("w.test".into()));
        assert_eq!(forbidding(&silent, &in_zone(theirs), &[ours]), None);
        let led = forbidding(&silent, &in_zone(ours), &[theirs]);
        assert_eq!(led, Some("where the CNAME at api.w.test leads".into()));
    }
}

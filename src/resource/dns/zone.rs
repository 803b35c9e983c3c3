//! Hosted zones: which of them holds a domain.

use aws_sdk_route53 as route53;
use route53::types::HostedZone;

use crate::error::{Call, Error, Result};
use crate::spec::ids::Zone;

/// Lists all hosted zones of the account.
pub async fn zones(client: &route53::Client) -> Result<Vec<HostedZone>> {
    client.list_hosted_zones().into_paginator().items().send().try_collect().await.call("route53:ListHostedZones")
}

/// Chooses the public zone whose name is the longest suffix of the domain; `given` is the input's `hostedZoneId`.
///
/// # Errors
/// [`Error::InvalidInput`] where there is none, or the given one is missing, private or not the closest.
pub fn choose_zone(zones: &[HostedZone], domain: &str, given: Option<&str>) -> Result<Zone> {
    let mut closest: Vec<&HostedZone> = zones.iter().filter(|zone| holds(zone, domain) && !is_private(zone)).collect();
    let longest = closest.iter().map(|zone| name_of(zone).len()).max().unwrap_or_default();
    closest.retain(|zone| name_of(zone).len() == longest);
    let chosen = match given.map(|given| given.trim_start_matches("/hostedzone/")) {
        None => only(zones, &closest, domain)?,
        Some(given) => check_given(zones, &closest, domain, given)?,
    };
    Ok(Zone { id: id_of(chosen), name: name_of(chosen).into() })
}

/// Returns the one zone of the `closest` ones.
fn only<'a>(zones: &[HostedZone], closest: &[&'a HostedZone], domain: &str) -> Result<&'a HostedZone> {
    match closest {
        [zone] => Ok(zone),
        [] => {
            let has_private = zones.iter().any(|zone| holds(zone, domain));
            let hidden = if has_private { " (a private one does not serve the internet)" } else { "" };
            let problem = format!(
                "no public hosted zone of this account holds {domain}{hidden}. Create one in Route 53 and delegate to it"
            );
            Err(Error::input("$.domain", problem))
        }
        _ => {
            let problem = format!(
                "several public zones hold {domain} ({}); name the one that the registrar delegates to",
                ids(closest)
            );
            Err(Error::input("$.hostedZoneId", problem))
        }
    }
}

/// Returns the zone of the id `given`, which must be among the `closest` ones.
fn check_given<'a>(
    zones: &'a [HostedZone],
    closest: &[&HostedZone],
    domain: &str,
    given: &str,
) -> Result<&'a HostedZone> {
    let wrong = |problem: String| Err(Error::input("$.hostedZoneId", problem));
    let Some(zone) = zones.iter().find(|zone| id_of(zone) == given) else {
        return wrong(format!("{given} is not a hosted zone of this account"));
    };
    if is_private(zone) {
        return wrong(format!("{given} is a private zone; it does not serve the internet"));
    }
    if !closest.iter().any(|zone| id_of(zone) == given) {
        let closest = if closest.is_empty() { "none".into() } else { ids(closest) };
        return wrong(format!("{given} is {}; the closest public zone of {domain} is {closest}", name_of(zone)));
    }
    Ok(zone)
}

fn id_of(zone: &HostedZone) -> String {
    zone.id().trim_start_matches("/hostedzone/").to_owned()
}

fn ids(zones: &[&HostedZone]) -> String {
    zones.iter().map(|zone| id_of(zone)).collect::<Vec<_>>().join(", ")
}

fn name_of(zone: &HostedZone) -> &str {
    zone.name().trim_end_matches('.')
}

fn is_private(zone: &HostedZone) -> bool {
    zone.config().is_some_and(|config| config.private_zone())
}

fn holds(zone: &HostedZone, domain: &str) -> bool {
    let name = name_of(zone);
    domain == name || domain.ends_with(&format!(".{name}"))
}

/// Returns the id of the zone that [`choose_zone`] chooses among the account's; `None` where it chooses none.
pub async fn find_zone(client: &route53::Client, domain: &str, given: Option<&str>) -> Result<Option<String>> {
    Ok(choose_zone(&zones(client).await?, domain, given).ok().map(|zone| zone.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use route53::types::HostedZoneConfig;

    #[test]
    fn the_closest_public_zone_is_chosen() {
        let zone = |id: &str, name: &str, private: bool| {
            let config = HostedZoneConfig::builder().private_zone(private).build();
            HostedZone::builder()
                .id(format!("/hostedzone/{id}"))
                .name(name)
                .caller_reference("x")
                .config(config)
                .build()
                .unwrap()
        };
        let zones = [
            zone("Z1", "example.com.", false),
            zone("Z2", "api.example.com.", true),
            zone("Z3", "notexample.com.", false),
            zone("Z4", "twice.org.", false),
            zone("Z5", "twice.org.", false),
            zone("Z6", "sub.example.com.", false),
        ];
        let choice = |domain: &str, given: Option<&str>| match choose_zone(&zones, domain, given) {
            Ok(zone) => zone.id,
            Err(Error::InvalidInput { path, .. }) => path,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(choice("api.example.com", None), "Z1");
        assert_eq!(choice("a.sub.example.com", None), "Z6");
        assert_eq!(choice("example.com", Some("/hostedzone/Z1")), "Z1");
        assert_eq!(choice("a.sub.example.com", Some("Z1")), "$.hostedZoneId");
        assert_eq!(choice("api.example.com", Some("Z2")), "$.hostedZoneId");
        assert_eq!(choice("api.example.com", Some("Z9")), "$.hostedZoneId");
        assert_eq!(choice("twice.org", None), "$.hostedZoneId");
        assert_eq!(choice("twice.org", Some("Z5")), "Z5");
        assert_eq!(choice("other.net", None), "$.domain");
    }
}

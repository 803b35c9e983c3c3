//! Reads the record sets of a hosted zone: those at a domain, and those around it.

use std::collections::BTreeSet;

use aws_sdk_route53 as route53;
use futures_util::future::try_join_all;
use route53::types::{ResourceRecordSet, RrType};

use super::around::{Around, PAGES, above};
use super::domain_records::DomainRecords;
use super::ownership::Ownership;
use super::record::{is_named, name_of};
use crate::error::{Call, Result};
use crate::spec::ids::Zone;
use crate::spec::names;

/// Reads the records around a domain. Most zones take one call. One of more than 1,200 record sets takes four, and after
/// them, at once, one or two at the domain and one at each name between the domain and the zone's own.
pub async fn around(client: &route53::Client, zone: &str, domain: &str) -> Result<Around> {
    let mut pages = 0;
    let goes_on = |_: &ResourceRecordSet| {
        pages += 1;
        pages < PAGES
    };
    let (mut records, more) = read_from(client, zone, None, goes_on).await?;
    // The zone's own name is that of its SOA record, and listed first.
    let apex = records.iter().find(|record| *record.r#type() == RrType::Soa).map(name_of).unwrap_or_default();
    if more {
        let between = above(domain, &apex).into_iter().filter(|name| *name != apex);
        // A name's wildcard is listed next to it.
        let reads = between.map(|name| {
            let wildcard = format!("*.{name}");
            let goes_on = move |last: &ResourceRecordSet| [name, &wildcard].contains(&name_of(last).as_str());
            read_from(client, zone, Some(name), goes_on)
        });
        let (own, others) = tokio::try_join!(at(client, zone, domain), try_join_all(reads))?;
        let mut seen: BTreeSet<_> = records.iter().map(key).collect();
        let read = own.into_iter().chain(others.into_iter().flat_map(|(records, _)| records));
        records.extend(read.filter(|record| seen.insert(key(record))).collect::<Vec<_>>());
    }
    let zone = Zone { id: zone.into(), name: apex };
    Ok(Around { zone, domain: domain.into(), records, whole: !more })
}

/// Reads the records at a domain: one call or two, and where the ownership record remembers a wildcard, those of [`around`].
pub async fn domain_records(client: &route53::Client, zone: &str, domain: &str) -> Result<DomainRecords> {
    let mut at_domain = DomainRecords::of(at(client, zone, domain).await?, domain);
    let ownership = at_domain.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    if ownership.is_some_and(|ownership| ownership.has_copies()) {
        at_domain.served = around(client, zone, domain).await?.served();
    }
    Ok(at_domain)
}

/// Reads the record sets of the domain's name and of its ownership record's, and some of those between and after them: one
/// call where the zone has few names under the domain, else two.
async fn at(client: &route53::Client, zone: &str, domain: &str) -> Result<Vec<ResourceRecordSet>> {
    let owner = names::ownership_record(domain);
    // Route 53 lists names by their labels from the right, so what is under a name follows it.
    let (mut records, more) = read_from(client, zone, Some(domain), |last| is_named(last, domain)).await?;
    if more {
        let of_ours = |last: &ResourceRecordSet| is_named(last, &owner);
        records.extend(read_from(client, zone, Some(&owner), of_ours).await?.0);
    }
    Ok(records)
}

/// Reads record sets from a name on, or from the zone's first, page by page as long as `goes_on` says so of a page's last
/// one. Returns them, and whether more follow.
async fn read_from(
    client: &route53::Client,
    zone: &str,
    name: Option<&str>,
    mut goes_on: impl FnMut(&ResourceRecordSet) -> bool,
) -> Result<(Vec<ResourceRecordSet>, bool)> {
    let mut records = vec![];
    let mut call = client.list_resource_record_sets().hosted_zone_id(zone).set_start_record_name(name.map(Into::into));
    loop {
        let page = call.send().await.call("route53:ListResourceRecordSets")?;
        records.extend(page.resource_record_sets);
        if !page.is_truncated || !records.last().is_some_and(&mut goes_on) {
            return Ok((records, page.is_truncated));
        }
        call = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .set_start_record_name(page.next_record_name)
            .set_start_record_type(page.next_record_type)
            .set_start_record_identifier(page.next_record_identifier);
    }
}

fn key(record: &ResourceRecordSet) -> (String, String, Option<String>) {
    (name_of(record), record.r#type().as_str().into(), record.set_identifier().map(Into::into))
}

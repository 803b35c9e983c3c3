//! Route 53: the hosted zone, the alias to the load balancer, the ownership record, validation CNAMEs.
//!
//! What to change is a pure function of what stands ([`point`], [`restore`]); the effects are below it.

use std::collections::HashSet;

use aws_sdk_route53 as route53;
use route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, HostedZone, ResourceRecord, ResourceRecordSet, RrType,
};
use serde::{Deserialize, Serialize};

use crate::certificate::{self, ValidationRecord};
use crate::environment::{DnsPolicy, Environment, IpAddressType, Zone};
use crate::error::{Call, Error, Result};
use crate::load_balancer::Front;
use crate::lock;
use crate::step::{Outcome, Step};

/// Seconds, of the records that we write: short, as the environment may be gone tonight.
const TTL: i64 = 60;

// --- Hosted zones ------------------------------------------------------------------------------------------------

/// All hosted zones of the account.
pub async fn zones(client: &route53::Client) -> Result<Vec<HostedZone>> {
    client.list_hosted_zones().into_paginator().items().send().try_collect().await.call("route53:ListHostedZones")
}

/// The public zone whose name is the longest suffix of the domain; `given` is the input's `hostedZoneId`.
///
/// # Errors
/// [`Error::InvalidInput`] where there is none, or the given one is missing, private or not the closest.
pub fn choose_zone(zones: &[HostedZone], domain: &str, given: Option<&str>) -> Result<Zone> {
    let id = |zone: &HostedZone| zone.id().trim_start_matches("/hostedzone/").to_owned();
    let name = |zone: &HostedZone| zone.name().trim_end_matches('.').to_owned();
    let private = |zone: &HostedZone| zone.config().is_some_and(|config| config.private_zone());
    let holds = |zone: &HostedZone| domain == name(zone) || domain.ends_with(&format!(".{}", name(zone)));
    let mut closest: Vec<&HostedZone> = zones.iter().filter(|zone| holds(zone) && !private(zone)).collect();
    let longest = closest.iter().map(|zone| name(zone).len()).max().unwrap_or_default();
    closest.retain(|zone| name(zone).len() == longest);
    let ids = || closest.iter().map(|zone| id(zone)).collect::<Vec<_>>().join(", ");
    let chosen = match given.map(|given| given.trim_start_matches("/hostedzone/")) {
        None => match closest[..] {
            [zone] => zone,
            [] => {
                let hidden = if zones.iter().any(holds) { " (a private one does not serve the internet)" } else { "" };
                return Err(Error::input(
                    "$.domain",
                    format!(
                        "no public hosted zone of this account holds {domain}{hidden}. Create one in Route 53 and delegate to it"
                    ),
                ));
            }
            _ => {
                return Err(Error::input(
                    "$.hostedZoneId",
                    format!(
                        "several public zones hold {domain} ({}); name the one that the registrar delegates to",
                        ids()
                    ),
                ));
            }
        },
        Some(given) => {
            let wrong = |problem: String| Err(Error::input("$.hostedZoneId", problem));
            let Some(zone) = zones.iter().find(|zone| id(zone) == given) else {
                return wrong(format!("{given} is not a hosted zone of this account"));
            };
            if private(zone) {
                return wrong(format!("{given} is a private zone; it does not serve the internet"));
            }
            if !closest.iter().any(|zone| id(zone) == given) {
                return wrong(format!(
                    "{given} is {}; the closest public zone of {domain} is {}",
                    name(zone),
                    if closest.is_empty() { "none".into() } else { ids() }
                ));
            }
            zone
        }
    };
    Ok(Zone { id: id(chosen), name: name(chosen) })
}

/// The id of the zone that [`choose_zone`] chooses of the account's; `None` where it refuses.
pub async fn find_zone(client: &route53::Client, domain: &str, given: Option<&str>) -> Result<Option<String>> {
    Ok(choose_zone(&zones(client).await?, domain, given).ok().map(|zone| zone.id))
}

// --- Records that stand ------------------------------------------------------------------------------------------

/// The name of the TXT record that says whose the records of a domain are.
pub fn ownership_name(domain: &str) -> String {
    format!("_albatross.{domain}")
}

/// What stands at a domain.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// All record sets of the domain's own name.
    pub records: Vec<ResourceRecordSet>,
    /// The record set of [`ownership_name`], where it is a TXT.
    pub ownership: Option<ResourceRecordSet>,
    /// The record set of [`lock::name`], where it is a TXT.
    pub lock: Option<ResourceRecordSet>,
}

/// Route 53 answers in lower case, with a trailing dot.
fn is_named(record: &ResourceRecordSet, name: &str) -> bool {
    record.name().trim_end_matches('.').eq_ignore_ascii_case(name)
}

/// Record sets from a name on, page by page as long as a page ends with one that `goes_on`; and whether more follow.
async fn read_from(
    client: &route53::Client,
    zone: &str,
    name: &str,
    goes_on: impl Fn(&ResourceRecordSet) -> bool,
) -> Result<(Vec<ResourceRecordSet>, bool)> {
    let mut records = vec![];
    let mut call = client.list_resource_record_sets().hosted_zone_id(zone).start_record_name(name);
    loop {
        let page = call.send().await.call("route53:ListResourceRecordSets")?;
        records.extend(page.resource_record_sets);
        if !page.is_truncated || !records.last().is_some_and(&goes_on) {
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

/// What stands at a domain: one call where the zone has few names under it, else two.
pub async fn standing(client: &route53::Client, zone: &str, domain: &str) -> Result<Standing> {
    let (owner, locked) = (ownership_name(domain), lock::name(domain));
    // Names are listed by their labels from the right, so what is under a name follows it.
    let (mut records, more) = read_from(client, zone, domain, |last| is_named(last, domain)).await?;
    if more {
        let of_ours = |last: &ResourceRecordSet| is_named(last, &owner);
        records.extend(read_from(client, zone, &owner, of_ours).await?.0);
    }
    let txt = |name: &str| {
        let is = |record: &&ResourceRecordSet| is_named(record, name) && *record.r#type() == RrType::Txt;
        records.iter().find(is).cloned()
    };
    let (ownership, lock) = (txt(&owner), txt(&locked));
    records.retain(|record| is_named(record, domain));
    Ok(Standing { records, ownership, lock })
}

// --- Ownership ---------------------------------------------------------------------------------------------------

/// Whose the records of a domain are, and what they replaced: the content of the ownership record.
///
/// One TXT value per line of it: `heritage=albatross stack=… environment=… target=<load balancer's DNS name>`, then
/// for each value of a replaced record `previous=A ttl=300 value=203.0.113.7`, or for a replaced alias
/// `previous=A alias=<DNS name> zone=<its hosted zone> health=false`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ownership {
    pub stack: String,
    pub environment: String,
    /// The DNS name that our alias points at.
    pub target: String,
    pub previous: Vec<ResourceRecordSet>,
}

impl Ownership {
    pub fn is_of(&self, stack: &str, environment: &str) -> bool {
        self.stack == stack && self.environment == environment
    }

    fn values(&self) -> Vec<String> {
        let mut values = vec![format!(
            "heritage=albatross stack={} environment={} target={}",
            self.stack, self.environment, self.target
        )];
        for record in &self.previous {
            let kind = record.r#type();
            match record.alias_target() {
                Some(to) => values.push(format!(
                    "previous={kind} alias={} zone={} health={}",
                    to.dns_name(),
                    to.hosted_zone_id(),
                    to.evaluate_target_health()
                )),
                None => values.extend(record.resource_records().iter().map(|value| {
                    format!("previous={kind} ttl={} value={}", record.ttl().unwrap_or(TTL), value.value())
                })),
            }
        }
        values
    }

    fn record(&self, domain: &str) -> ResourceRecordSet {
        txt(&ownership_name(domain), &self.values())
    }

    /// `None` where the record is not one of Albatross.
    pub fn parse(record: &ResourceRecordSet, domain: &str) -> Option<Ownership> {
        let fields = |line: &str| -> Vec<(String, String)> {
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect()
        };
        let get = |fields: &[(String, String)], key: &str| {
            fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
        };
        let mut ownership = None;
        let mut previous: Vec<ResourceRecordSet> = vec![];
        for fields in txt_values(record).iter().map(|line| fields(line)) {
            if get(&fields, "heritage").as_deref() == Some("albatross") {
                ownership = Some(Ownership {
                    stack: get(&fields, "stack")?,
                    environment: get(&fields, "environment")?,
                    target: get(&fields, "target")?,
                    previous: vec![],
                });
            } else if let Some(kind) = get(&fields, "previous") {
                let kind = RrType::from(kind.as_str());
                if let (Some(dns_name), Some(zone)) = (get(&fields, "alias"), get(&fields, "zone")) {
                    previous.push(alias(
                        domain,
                        kind,
                        &dns_name,
                        &zone,
                        get(&fields, "health").as_deref() == Some("true"),
                    ));
                } else if let Some(value) = get(&fields, "value") {
                    let ttl = get(&fields, "ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(TTL);
                    match previous.iter_mut().find(|record| *record.r#type() == kind) {
                        Some(record) => record.resource_records.get_or_insert_default().push(resource_record(&value)),
                        None => previous.push(plain(domain, kind, ttl, &value)),
                    }
                }
            }
        }
        ownership.map(|ownership| Ownership { previous, ..ownership })
    }
}

/// A TXT value as Route 53 writes it: strings of at most 255 characters, each in quotes.
fn quoted(value: &str) -> String {
    let strings: Vec<&str> = value.as_bytes().chunks(255).map(|part| str::from_utf8(part).expect("ASCII")).collect();
    format!("\"{}\"", strings.join("\" \""))
}

/// A TXT record set of these values.
pub fn txt(name: &str, values: &[String]) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::Txt)
        .ttl(TTL)
        .set_resource_records(Some(values.iter().map(|value| resource_record(&quoted(value))).collect()))
        .build()
        .expect("a name and a type")
}

/// The values of a TXT record set, without their quotes.
pub fn txt_values(record: &ResourceRecordSet) -> Vec<String> {
    record.resource_records().iter().map(|value| value.value().trim_matches('"').replace("\" \"", "")).collect()
}

/// A TXT record has a name of ours and says nothing of ours.
pub fn not_albatross(name: &str, zone: &str) -> Error {
    let problem = "it is not Albatross's; delete it if nothing needs it".into();
    Error::DnsRecordConflict { record: format!("{name} TXT"), zone: zone.into(), problem }
}

fn resource_record(value: &str) -> ResourceRecord {
    ResourceRecord::builder().value(value).build().expect("a value")
}

fn plain(name: &str, kind: RrType, ttl: i64, value: &str) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .ttl(ttl)
        .resource_records(resource_record(value))
        .build()
        .expect("a name and a type")
}

fn alias(name: &str, kind: RrType, dns_name: &str, zone: &str, evaluate_target_health: bool) -> ResourceRecordSet {
    let target =
        AliasTarget::builder().dns_name(dns_name).hosted_zone_id(zone).evaluate_target_health(evaluate_target_health);
    ResourceRecordSet::builder()
        .name(name)
        .r#type(kind)
        .alias_target(target.build().expect("all fields"))
        .build()
        .expect("a name and a type")
}

// --- The plan ----------------------------------------------------------------------------------------------------

/// One step of an atomic batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    Delete(#[serde(with = "carried")] ResourceRecordSet),
    Create(#[serde(with = "carried")] ResourceRecordSet),
}

/// A record set on its way from one function to the next, with the fields that ours have. Where somebody has given one more,
/// as a routing policy, Route 53 refuses to delete it without, and the next listing has it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Carried {
    name: String,
    kind: String,
    ttl: Option<i64>,
    values: Vec<String>,
    alias: Option<CarriedAlias>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedAlias {
    dns_name: String,
    zone: String,
    health: bool,
}

impl From<&ResourceRecordSet> for Carried {
    fn from(record: &ResourceRecordSet) -> Self {
        let alias = record.alias_target().map(|alias| CarriedAlias {
            dns_name: alias.dns_name().into(),
            zone: alias.hosted_zone_id().into(),
            health: alias.evaluate_target_health(),
        });
        let values = record.resource_records().iter().map(|value| value.value().into()).collect();
        let (name, kind) = (record.name().into(), record.r#type().as_str().into());
        Carried { name, kind, ttl: record.ttl(), values, alias }
    }
}

impl From<&Carried> for ResourceRecordSet {
    fn from(carried: &Carried) -> Self {
        let Carried { name, kind, ttl, values, alias } = carried;
        let alias = alias.as_ref().map(|alias| {
            let target = AliasTarget::builder().dns_name(&alias.dns_name).hosted_zone_id(&alias.zone);
            target.evaluate_target_health(alias.health).build().expect("all fields")
        });
        let values: Vec<_> = values.iter().map(|value| resource_record(value)).collect();
        let record = ResourceRecordSet::builder().name(name).r#type(kind.as_str().into()).set_ttl(*ttl);
        let record = record.set_resource_records((!values.is_empty()).then_some(values)).set_alias_target(alias);
        record.build().expect("a name and a type")
    }
}

mod carried {
    use super::{Carried, ResourceRecordSet};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(record: &ResourceRecordSet, to: S) -> Result<S::Ok, S::Error> {
        Carried::from(record).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ResourceRecordSet, D::Error> {
        Carried::deserialize(from).map(|carried| ResourceRecordSet::from(&carried))
    }
}

/// What check-input saw at the domain, so that [`ensure_alias`] need not read it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtDomain {
    addresses: Vec<Carried>,
    ownership: Option<Carried>,
}

impl AtDomain {
    pub fn of(standing: &Standing) -> Self {
        let addresses = standing.records.iter().filter(|record| is_address(record)).map(Carried::from).collect();
        AtDomain { addresses, ownership: standing.ownership.as_ref().map(Carried::from) }
    }

    fn standing(&self) -> Standing {
        let records = self.addresses.iter().map(ResourceRecordSet::from).collect();
        Standing { records, ownership: self.ownership.as_ref().map(ResourceRecordSet::from), lock: None }
    }
}

/// The edits that point the domain at the load balancer; none where it points there already.
///
/// | stands at the domain (A, AAAA, CNAME) | owner  | takeover          | create-only | overwrite         |
/// |---------------------------------------|--------|-------------------|-------------|-------------------|
/// | nothing                               | none   | create            | create      | create            |
/// | points at an instance                 | none   | remember, replace | conflict    | remember, replace |
/// | anything else, also a foreign alias   | none   | conflict          | conflict    | remember, replace |
/// | our alias                             | ours   | nothing           | nothing     | nothing           |
/// | our alias to an earlier load balancer | ours   | replace           | replace     | replace           |
/// | nothing (deleted by hand)             | ours   | create            | create      | create            |
/// | a record changed by hand              | ours   | as without owner  | conflict    | remember, replace |
/// | anything                              | other  | conflict          | conflict    | conflict          |
/// | weighted, latency or other routing    | any    | conflict          | conflict    | conflict          |
///
/// # Errors
/// [`Error::DnsRecordConflict`], naming the record and what to do.
pub fn point(environment: &Environment, front: &Front, standing: &Standing) -> Result<Vec<Edit>> {
    let domain = &environment.domain;
    let conflict = |record: String, problem: String| {
        Err(Error::DnsRecordConflict { record, zone: environment.zone.id.clone(), problem })
    };
    let owned = match &standing.ownership {
        None => None,
        Some(record) => match Ownership::parse(record, domain) {
            Some(ownership) if ownership.is_of(&environment.stack, &environment.name) => Some(ownership),
            Some(other) => {
                return conflict(
                    domain.clone(),
                    format!(
                        "{} says that it belongs to environment {} of stack {}; tear that down first",
                        ownership_name(domain),
                        other.environment,
                        other.stack
                    ),
                );
            }
            None => {
                return Err(not_albatross(&ownership_name(domain), &environment.zone.id));
            }
        },
    };
    let mut ownership = Ownership {
        stack: environment.stack.clone(),
        environment: environment.name.clone(),
        target: front.dns_name.clone(),
        previous: owned.iter().flat_map(|owned| owned.previous.clone()).collect(),
    };
    let mut wanted = wanted_aliases(environment, front);
    let mut edits = vec![];
    for record in standing.records.iter().filter(|record| is_address(record)) {
        if let Some(index) = wanted.iter().position(|alias| same_alias(alias, record)) {
            wanted.remove(index);
            continue;
        }
        let is_our_earlier_alias = owned.as_ref().is_some_and(|owned| points_at(record, &owned.target));
        if !is_our_earlier_alias {
            if let Err(problem) = may_replace(record, environment) {
                return conflict(describe(record), problem);
            }
            ownership.previous.retain(|previous| previous.r#type() != record.r#type());
            ownership.previous.push(record.clone());
        }
        edits.push(Edit::Delete(record.clone()));
    }
    edits.extend(wanted.into_iter().map(Edit::Create));
    if owned.as_ref() != Some(&ownership) {
        edits.extend(standing.ownership.clone().map(Edit::Delete));
        edits.push(Edit::Create(ownership.record(domain)));
    }
    Ok(edits)
}

/// The edits of [`point`] as a row of the answer.
pub fn pointed(environment: &Environment, front: &Front, edits: &[Edit]) -> Step {
    let outcome = match () {
        () if edits.is_empty() => Outcome::Found,
        () if edits.iter().any(|edit| matches!(edit, Edit::Delete(_))) => Outcome::Changed,
        () => Outcome::Created,
    };
    let changes = if outcome == Outcome::Changed { diff(environment, front, edits) } else { vec![] };
    Step { changes, ..Step::new("alias record", &environment.domain, outcome) }
}

/// Edits for the eye: `- api.example.com A 203.0.113.7`, `+ api.example.com A alias to the load balancer api-elb`.
pub fn diff(environment: &Environment, front: &Front, edits: &[Edit]) -> Vec<String> {
    let told = |record: &ResourceRecordSet| {
        if points_at(record, &front.dns_name) {
            let (name, kind) = (record.name().trim_end_matches('.'), record.r#type());
            format!("{name} {kind} alias to the load balancer {}", environment.load_balancer_name())
        } else {
            describe(record)
        }
    };
    let line = |edit: &Edit| match edit {
        Edit::Delete(record) => format!("- {}", told(record)),
        Edit::Create(record) => format!("+ {}", told(record)),
    };
    edits.iter().map(line).collect()
}

/// The ownership record says that the domain is this environment's: its last step was done.
pub fn is_owned(stack: &str, environment: &str, domain: &str, standing: &Standing) -> bool {
    let ownership = standing.ownership.as_ref().and_then(|record| Ownership::parse(record, domain));
    ownership.is_some_and(|ownership| ownership.is_of(stack, environment))
}

fn wanted_aliases(environment: &Environment, front: &Front) -> Vec<ResourceRecordSet> {
    let kinds: &[RrType] = match environment.ip_address_type {
        IpAddressType::Ipv4 => &[RrType::A],
        IpAddressType::Dualstack => &[RrType::A, RrType::Aaaa],
    };
    let zone = &front.canonical_hosted_zone_id;
    kinds.iter().map(|kind| alias(&environment.domain, kind.clone(), &front.dns_name, zone, false)).collect()
}

/// Of the types that say where a name is served.
fn is_address(record: &ResourceRecordSet) -> bool {
    matches!(record.r#type(), RrType::A | RrType::Aaaa | RrType::Cname)
}

fn points_at(record: &ResourceRecordSet, dns_name: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    record.alias_target().is_some_and(|to| plain(to.dns_name()) == plain(dns_name))
}

fn same_alias(wanted: &ResourceRecordSet, found: &ResourceRecordSet) -> bool {
    let Some(to) = wanted.alias_target() else { return false };
    found.r#type() == wanted.r#type()
        && points_at(found, to.dns_name())
        && found.alias_target().is_some_and(|found| found.hosted_zone_id() == to.hosted_zone_id())
}

/// `Err` says why not, and what to do.
fn may_replace(record: &ResourceRecordSet, environment: &Environment) -> std::result::Result<(), String> {
    if record.set_identifier().is_some() || record.health_check_id().is_some() {
        return Err("it has a routing policy or a health check, which an environment cannot replace; remove it or choose another domain".into());
    }
    let points_at_instance = !record.resource_records().is_empty()
        && record.resource_records().iter().all(|value| {
            let value = value.value().trim_end_matches('.');
            environment
                .instances
                .iter()
                .any(|instance| instance.addresses.iter().any(|address| address.eq_ignore_ascii_case(value)))
        });
    match environment.dns {
        DnsPolicy::Overwrite => Ok(()),
        DnsPolicy::CreateOnly => Err("\"dns\" is \"create-only\"; delete it, or use \"takeover\" or \"overwrite\"".into()),
        DnsPolicy::Takeover if points_at_instance => Ok(()),
        DnsPolicy::Takeover => Err("it points at none of the instances; delete it, or give \"dns\": \"overwrite\" to replace it until teardown".into()),
    }
}

/// A record for a message: `api.example.com A 203.0.113.7`.
fn describe(record: &ResourceRecordSet) -> String {
    let values: Vec<&str> = match record.alias_target() {
        Some(to) => vec!["alias", to.dns_name()],
        None => record.resource_records().iter().map(|value| value.value()).collect(),
    };
    format!("{} {} {}", record.name().trim_end_matches('.'), record.r#type(), values.join(" "))
}

/// What teardown does to the records of a domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Restoration {
    pub edits: Vec<Edit>,
    /// One line for the user.
    pub reason: String,
}

/// The edits that take our alias away and put back what stood before; `None` where we own nothing at the domain.
///
/// An alias that was changed by hand since is somebody's: it stays, and only the ownership record goes. A record that
/// points at an address or name in `going` is not put back.
pub fn restore(
    stack: &str,
    environment: &str,
    domain: &str,
    standing: &Standing,
    going: &HashSet<String>,
) -> Option<Restoration> {
    let record = standing.ownership.as_ref()?;
    let ownership = Ownership::parse(record, domain).filter(|ownership| ownership.is_of(stack, environment))?;
    let (ours, others): (Vec<_>, Vec<_>) = standing
        .records
        .iter()
        .filter(|record| is_address(record))
        .partition(|record| points_at(record, &ownership.target));
    let leads_nowhere = |record: &ResourceRecordSet| {
        record.resource_records().iter().any(|value| going.contains(value.value().trim_end_matches('.')))
    };
    let (lost, previous): (Vec<_>, Vec<_>) = ownership.previous.iter().partition(|record| leads_nowhere(record));
    let mut edits: Vec<Edit> = ours.into_iter().cloned().map(Edit::Delete).collect();
    let mut reasons = vec![];
    if !others.is_empty() {
        reasons.push(format!("changed by hand since, that stays: {}", listed(&others)));
    } else {
        edits.extend(previous.iter().map(|record| Edit::Create((*record).clone())));
        if !previous.is_empty() {
            reasons.push(format!("put back: {}", listed(&previous)));
        }
        if !lost.is_empty() {
            reasons.push(format!("not put back, as what it points at goes too: {}", listed(&lost)));
        }
    }
    if reasons.is_empty() {
        reasons.push("nothing stood there before".into());
    }
    edits.push(Edit::Delete(record.clone()));
    Some(Restoration { edits, reason: reasons.join("; ") })
}

fn listed(records: &[&ResourceRecordSet]) -> String {
    records.iter().map(|record| describe(record)).collect::<Vec<_>>().join("; ")
}

// --- Effects -----------------------------------------------------------------------------------------------------

/// Carries out a batch: all of it or nothing.
///
/// # Errors
/// [`Error::AwsUnavailable`] where a record has changed since it was read: the next try plans anew.
pub async fn apply(client: &route53::Client, zone: &str, edits: &[Edit], comment: &str) -> Result<()> {
    let changes = edits.iter().map(|edit| {
        let (action, record) = match edit {
            Edit::Delete(record) => (ChangeAction::Delete, record),
            Edit::Create(record) => (ChangeAction::Create, record),
        };
        Change::builder().action(action).resource_record_set(record.clone()).build().expect("an action and a record")
    });
    let batch = ChangeBatch::builder().comment(comment).set_changes(Some(changes.collect())).build().expect("changes");
    let answer = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
    match answer.call("route53:ChangeResourceRecordSets") {
        Err(Error::AwsRefused(refusal)) if tells_of_change(&refusal.message) => Err(Error::AwsUnavailable(refusal)),
        other => other.map(drop),
    }
}

/// [`apply`] has failed as a record has changed since it was read.
pub fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::AwsUnavailable(refusal) if tells_of_change(&refusal.message))
}

/// Route 53 tells these cases of `InvalidChangeBatch` apart in its message alone.
fn tells_of_change(message: &str) -> bool {
    ["already exists", "was not found", "do not match the current values"].iter().any(|text| message.contains(text))
}

/// Points the domain at the load balancer, and in the same batch gives back the lock that the execution `run` has.
///
/// What check-input saw there is trusted first, as nobody but this run works on the environment: the batch fails whole where
/// it is outdated, and then the records are read.
///
/// # Errors
/// [`Error::DnsRecordConflict`]; [`Error::EnvironmentBusy`] where the lock is not `run`'s and something is to change.
pub async fn ensure_alias(
    client: &route53::Client,
    environment: &Environment,
    front: &Front,
    run: &str,
) -> Result<Step> {
    let Environment { zone, domain, .. } = environment;
    let comment = format!("Albatross: point {domain} at its load balancer");
    let mut edits = point(environment, front, &environment.at_domain.standing())?;
    let step = pointed(environment, front, &edits);
    edits.push(lock::give_back(domain, run));
    match apply(client, &zone.id, &edits, &comment).await {
        Err(error) if is_outdated(&error) => {}
        other => return other.map(|()| step),
    }
    let standing = standing(client, &zone.id, domain).await?;
    let mut edits = point(environment, front, &standing)?;
    let step = pointed(environment, front, &edits);
    match lock::release(standing.lock.as_ref(), run) {
        Some(release) => edits.push(release),
        // Given back already, where the answer to that was lost.
        None if edits.is_empty() => {}
        None => {
            let holder =
                standing.lock.as_ref().and_then(lock::holder).unwrap_or_else(|| "an execution that ended".into());
            return Err(Error::EnvironmentBusy { domain: domain.clone(), run: holder });
        }
    }
    if !edits.is_empty() {
        apply(client, &zone.id, &edits, &comment).await?;
    }
    Ok(step)
}

/// A validation CNAME, written once.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where its name holds another value.
pub async fn ensure_cname(client: &route53::Client, zone: &Zone, record: &ValidationRecord) -> Result<Step> {
    let create = [Edit::Create(validation(record))];
    match apply(client, &zone.id, &create, "Albatross: validate a certificate").await {
        Ok(()) => Ok(Step::new(certificate::RECORD, &record.name, Outcome::Created)),
        Err(error) if is_outdated(&error) => match plan_cname(client, zone, record).await? {
            (step, edits) if edits.is_empty() => Ok(step),
            // Taken away since.
            _ => Err(error),
        },
        Err(other) => Err(other),
    }
}

fn validation(record: &ValidationRecord) -> ResourceRecordSet {
    plain(&record.name, RrType::Cname, TTL, &record.value)
}

/// What [`ensure_cname`] would do, and the edits for it.
///
/// # Errors
/// As it.
pub async fn plan_cname(client: &route53::Client, zone: &Zone, record: &ValidationRecord) -> Result<(Step, Vec<Edit>)> {
    let (outcome, edits) = match cname(client, &zone.id, &record.name).await? {
        Some(found) if has_value(&found, &record.value) => (Outcome::Found, vec![]),
        Some(found) => {
            return Err(Error::DnsRecordConflict {
                record: describe(&found),
                zone: zone.id.clone(),
                problem: format!("ACM needs the value {} there; delete the record if nothing needs it", record.value),
            });
        }
        None => (Outcome::Created, vec![Edit::Create(validation(record))]),
    };
    Ok((Step::new(certificate::RECORD, &record.name, outcome), edits))
}

fn has_value(record: &ResourceRecordSet, value: &str) -> bool {
    record.resource_records().iter().any(|has| has.value().trim_end_matches('.').eq_ignore_ascii_case(value))
}

/// The CNAME of just this name.
async fn cname(client: &route53::Client, zone: &str, name: &str) -> Result<Option<ResourceRecordSet>> {
    let call = client
        .list_resource_record_sets()
        .hosted_zone_id(zone)
        .start_record_name(name)
        .start_record_type(RrType::Cname);
    let page = call.max_items(1).send().await.call("route53:ListResourceRecordSets")?;
    Ok(page.resource_record_sets.into_iter().find(|record| is_named(record, name) && *record.r#type() == RrType::Cname))
}

/// Deletes a validation CNAME that holds ACM's value; absent or changed by somebody, it is left.
pub async fn remove_cname(client: &route53::Client, zone: &str, record: &ValidationRecord) -> Result<()> {
    match cname(client, zone, &record.name).await? {
        Some(found) if has_value(&found, &record.value) => {
            apply(client, zone, &[Edit::Delete(found)], "Albatross: its certificate is deleted").await
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Target;
    use aws_sdk_route53::types::{HostedZoneConfig, ResourceRecordSetRegion};

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    fn environment(dns: DnsPolicy) -> Environment {
        let addresses = vec![INSTANCE.into(), "ec2-1.amazonaws.com".into()];
        Environment { dns, instances: vec![Target { id: "i-1".into(), addresses }], ..Environment::example() }
    }

    fn front(dns_name: &str) -> Front {
        Front { arn: "arn".into(), dns_name: dns_name.into(), canonical_hosted_zone_id: "ZELB".into() }
    }

    fn a(value: &str) -> ResourceRecordSet {
        plain("api.example.com.", RrType::A, 300, value)
    }

    fn our_alias() -> ResourceRecordSet {
        alias("api.example.com.", RrType::A, "our-elb.amazonaws.com.", "ZELB", false)
    }

    fn owned(previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        ownership("albatross", "our-elb.amazonaws.com", previous)
    }

    fn ownership(stack: &str, target: &str, previous: Vec<ResourceRecordSet>) -> ResourceRecordSet {
        let ownership =
            Ownership { stack: stack.into(), environment: "api-example-com".into(), target: target.into(), previous };
        ownership.record(DOMAIN)
    }

    /// `delete A`, `create TXT` and the like; or `conflict`.
    fn plan(dns: DnsPolicy, records: &[ResourceRecordSet], ownership: Option<ResourceRecordSet>) -> String {
        let standing = Standing { records: records.to_vec(), ownership, lock: None };
        match point(&environment(dns), &front("our-elb.amazonaws.com"), &standing) {
            Ok(edits) => summary(&edits),
            Err(Error::DnsRecordConflict { .. }) => "conflict".into(),
            Err(other) => panic!("{other}"),
        }
    }

    fn summary(edits: &[Edit]) -> String {
        let words = edits.iter().map(|edit| match edit {
            Edit::Delete(record) => format!("delete {}", record.r#type()),
            Edit::Create(record) => format!("create {}", record.r#type()),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_was_seen_before_the_lock_tells_the_same_edits() {
        let (environment, front) = (environment(DnsPolicy::Takeover), front("our-elb.amazonaws.com"));
        let previous = || vec![a(INSTANCE)];
        let cases = [
            (vec![], None, "create A, create TXT"),
            (vec![plain(DOMAIN, RrType::Mx, 300, "10 mail.example.com")], None, "create A, create TXT"),
            (vec![a(INSTANCE)], None, "delete A, create A, create TXT"),
            (vec![our_alias()], Some(owned(previous())), ""),
            (vec![], Some(owned(previous())), "create A"),
        ];
        for (records, ownership, wanted) in cases {
            let standing = Standing { records, ownership, lock: None };
            let sent = serde_json::to_string(&AtDomain::of(&standing)).unwrap();
            let carried: AtDomain = serde_json::from_str(&sent).unwrap();
            let edits = point(&environment, &front, &carried.standing()).unwrap();
            assert_eq!(edits, point(&environment, &front, &standing).unwrap());
            assert_eq!(summary(&edits), wanted);
        }
    }

    #[test]
    fn the_truth_table() {
        const CREATE: &str = "create A, create TXT";
        const REPLACE: &str = "delete A, create A, create TXT";
        const REPLACE_BOTH: &str = "delete A, create A, delete TXT, create TXT";
        let earlier = || alias(DOMAIN, RrType::A, "gone-elb.amazonaws.com", "ZELB", false);
        let earlier_owner = || ownership("albatross", "gone-elb.amazonaws.com", vec![]);
        let foreign_alias = || alias(DOMAIN, RrType::A, "d1.cloudfront.net", "Z2F", false);
        let with_policy = |set: fn(&mut ResourceRecordSet)| {
            let mut record = a(INSTANCE);
            record.set_identifier = Some("one".into());
            set(&mut record);
            record
        };
        let weighted = || with_policy(|record| record.weight = Some(1));
        let regional = || with_policy(|record| record.region = Some(ResourceRecordSetRegion::EuWest1));
        let unrelated = || plain(DOMAIN, RrType::Mx, 300, "10 mail.example.com");
        let cname = || plain(DOMAIN, RrType::Cname, 300, "EC2-1.amazonaws.com.");
        let rows: Vec<(Vec<ResourceRecordSet>, Option<ResourceRecordSet>, [&str; 3])> = vec![
            (vec![], None, [CREATE; 3]),
            (vec![unrelated()], None, [CREATE; 3]),
            (vec![a(INSTANCE)], None, [REPLACE, "conflict", REPLACE]),
            (
                vec![cname()],
                None,
                ["delete CNAME, create A, create TXT", "conflict", "delete CNAME, create A, create TXT"],
            ),
            (vec![a("198.51.100.1")], None, ["conflict", "conflict", REPLACE]),
            (vec![foreign_alias()], None, ["conflict", "conflict", REPLACE]),
            (vec![our_alias()], Some(owned(vec![])), [""; 3]),
            (vec![our_alias(), unrelated()], Some(owned(vec![a(INSTANCE)])), [""; 3]),
            (vec![earlier()], Some(earlier_owner()), [REPLACE_BOTH; 3]),
            (vec![], Some(owned(vec![])), ["create A"; 3]),
            (vec![a("198.51.100.1")], Some(owned(vec![])), ["conflict", "conflict", REPLACE_BOTH]),
            (vec![a(INSTANCE)], Some(owned(vec![])), [REPLACE_BOTH, "conflict", REPLACE_BOTH]),
            (vec![], Some(ownership("other", "x", vec![])), ["conflict"; 3]),
            (
                vec![our_alias()],
                Some(plain("_albatross.api.example.com", RrType::Txt, 60, "\"mine\"")),
                ["conflict"; 3],
            ),
            (vec![weighted()], None, ["conflict"; 3]),
            (vec![regional()], None, ["conflict"; 3]),
        ];
        for (records, ownership, wanted) in rows {
            for (dns, wanted) in
                [DnsPolicy::Takeover, DnsPolicy::CreateOnly, DnsPolicy::Overwrite].into_iter().zip(wanted)
            {
                assert_eq!(plan(dns, &records, ownership.clone()), wanted, "{dns:?} {records:?} {ownership:?}");
            }
        }
    }

    #[test]
    fn a_diff_names_the_load_balancer() {
        let environment = environment(DnsPolicy::Takeover);
        let front = front("our-elb.amazonaws.com");
        let standing = Standing { records: vec![a(INSTANCE)], ownership: None, lock: None };
        let edits = point(&environment, &front, &standing).unwrap();
        let diff = diff(&environment, &front, &edits);
        let own = "heritage=albatross stack=albatross environment=api-example-com target=our-elb.amazonaws.com";
        assert_eq!(diff[0], "- api.example.com A 203.0.113.7");
        assert_eq!(diff[1], "+ api.example.com A alias to the load balancer api-example-com-elb");
        assert_eq!(
            diff[2],
            format!("+ _albatross.api.example.com TXT \"{own}\" \"previous=A ttl=300 value=203.0.113.7\"")
        );
        assert_eq!(pointed(&environment, &front, &edits).changes, diff);
        assert_eq!(pointed(&environment, &front, &[]).outcome, Outcome::Found);
    }

    #[test]
    fn what_was_replaced_comes_back_as_it_was() {
        let mut two = a("203.0.113.7");
        two.resource_records.get_or_insert_default().push(resource_record("203.0.113.8"));
        let v6 = alias("api.example.com.", RrType::Aaaa, "dualstack.other.amazonaws.com.", "Z35", true);
        let before = Standing { records: vec![two.clone(), v6.clone()], ownership: None, lock: None };
        let edits = point(&environment(DnsPolicy::Overwrite), &front("our-elb.amazonaws.com"), &before).unwrap();
        let Some(Edit::Create(txt)) = edits.last() else { panic!("{edits:?}") };
        let after = Standing { records: vec![our_alias()], ownership: Some(txt.clone()), lock: None };
        let restoration = restored(&after).unwrap();
        assert_eq!(summary(&restoration.edits), "delete A, create A, create AAAA, delete TXT");
        let named = |record: &ResourceRecordSet| {
            let mut record = record.clone();
            record.name = DOMAIN.into();
            record
        };
        assert!(restoration.edits.contains(&Edit::Create(named(&two))));
        assert!(restoration.edits.contains(&Edit::Create(named(&v6))));
    }

    #[test]
    fn a_plan_carries_records_whole() {
        let records = [our_alias(), owned(vec![a(INSTANCE)]), alias(DOMAIN, RrType::Aaaa, "x.org.", "Z35", true)];
        let edits: Vec<Edit> = records.into_iter().map(Edit::Delete).collect();
        let carried: Vec<Edit> = serde_json::from_str(&serde_json::to_string(&edits).unwrap()).unwrap();
        assert_eq!(carried, edits);
    }

    #[test]
    fn a_long_ownership_value_is_split_and_read_back() {
        let long = format!("{}.example.net", "a".repeat(60)).repeat(4);
        let previous = vec![plain(DOMAIN, RrType::Cname, 60, &long)];
        let record = owned(previous.clone());
        assert!(
            record.resource_records().iter().all(|value| value.value().split("\" \"").all(|part| part.len() <= 257))
        );
        assert_eq!(Ownership::parse(&record, DOMAIN).unwrap().previous, previous);
    }

    fn restored(standing: &Standing) -> Option<Restoration> {
        restore("albatross", "api-example-com", DOMAIN, standing, &HashSet::new())
    }

    #[test]
    fn a_record_whose_address_goes_is_not_put_back() {
        let standing = Standing { records: vec![our_alias()], ownership: Some(owned(vec![a(INSTANCE)])), lock: None };
        let going = HashSet::from([INSTANCE.to_owned()]);
        let restoration = restore("albatross", "api-example-com", DOMAIN, &standing, &going).unwrap();
        assert_eq!(summary(&restoration.edits), "delete A, delete TXT");
        assert!(restoration.reason.contains(INSTANCE), "{}", restoration.reason);
    }

    #[test]
    fn restore_leaves_what_was_changed_by_hand() {
        let by_hand =
            Standing { records: vec![a("198.51.100.1")], ownership: Some(owned(vec![a(INSTANCE)])), lock: None };
        assert_eq!(summary(&restored(&by_hand).unwrap().edits), "delete TXT");
        let others =
            Standing { records: vec![our_alias()], ownership: Some(ownership("other", "x", vec![])), lock: None };
        assert_eq!(restored(&others), None);
    }

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

//! The alias that points a domain at its load balancer: what to change is a pure function of what stands ([`point`]).

use aws_sdk_route53 as route53;
use route53::types::{AliasTarget, ResourceRecordSet, RrType};

use super::batch::{Edit, apply, is_outdated, net};
use super::domain_records::DomainRecords;
use super::lock;
use super::ownership::{Ownership, Remembered};
use super::read::domain_records;
use super::record::{alias, describe, is_address, not_albatross, points_at};
use super::seen_records::SeenRecords;
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::owner::Owner;
use crate::spec::environment::Environment;
use crate::spec::ids::{LoadBalancerIds, destination};
use crate::spec::input::{DnsPolicy, IpAddressType};
use crate::spec::names;
use crate::step::{Outcome, Step};

/// The edits that point the domain at the load balancer; none where it points there already.
///
/// | stands at the domain (A, AAAA, CNAME) | owner  | takeover          | create-only | overwrite         |
/// |---------------------------------------|--------|-------------------|-------------|-------------------|
/// | nothing                               | none   | create            | create      | create            |
/// | points at an instance                 | none   | remember, replace | conflict    | remember, replace |
/// | anything else, also a foreign alias   | none   | conflict          | conflict    | remember, replace |
/// | our alias (its owner deleted by hand) | none   | own               | own         | own               |
/// | our alias                             | ours   | nothing           | nothing     | nothing           |
/// | our alias to an earlier load balancer | ours   | replace           | replace     | replace           |
/// | nothing (deleted by hand)             | ours   | create            | create      | create            |
/// | a copy of a wildcard's record         | ours   | replace           | replace     | replace           |
/// | a record changed by hand              | ours   | as without owner  | conflict    | remember, replace |
/// | anything                              | other  | conflict          | conflict    | conflict          |
/// | weighted, latency or other routing    | any    | conflict          | conflict    | conflict          |
///
/// # Errors
/// [`Error::DnsRecordConflict`], naming the record and what to do.
fn point(environment: &Environment, load_balancer: &LoadBalancerIds, at_domain: &DomainRecords) -> Result<Vec<Edit>> {
    let owned = owned(environment, at_domain)?;
    let mut ownership = wanted_ownership(environment, load_balancer, owned.as_ref());
    let mut wanted = wanted_aliases(environment, load_balancer);
    let mut edits = vec![];
    for record in at_domain.records.iter().filter(|record| is_address(record)) {
        if let Some(index) = wanted.iter().position(|alias| same_alias(alias, record)) {
            wanted.remove(index);
            continue;
        }
        if !owned.as_ref().is_some_and(|owned| is_made_by_us(owned, record)) {
            may_replace(record, environment).map_err(|problem| conflict(environment, describe(record), problem))?;
            ownership.remembered.retain(|remembered| remembered.record.r#type() != record.r#type());
            ownership.remembered.push(Remembered::of(record, &environment.targets));
        }
        edits.push(Edit::Delete(record.clone()));
    }
    edits.extend(wanted.into_iter().map(Edit::Create));
    if owned.as_ref() != Some(&ownership) {
        edits.extend(at_domain.ownership.clone().map(Edit::Delete));
        edits.push(Edit::Create(ownership.record(environment.domain())));
    }
    Ok(edits)
}

fn conflict(environment: &Environment, record: String, problem: String) -> Error {
    Error::DnsRecordConflict { record, zone: environment.zone.id.clone(), problem }
}

/// The environment's ownership record, where it stands.
///
/// # Errors
/// [`Error::DnsRecordConflict`] where another environment's or somebody else's stands.
fn owned(environment: &Environment, at_domain: &DomainRecords) -> Result<Option<Ownership>> {
    let Some(record) = &at_domain.ownership else { return Ok(None) };
    let (domain, says) = (environment.domain(), names::ownership_record(environment.domain()));
    match Ownership::parse(record, domain) {
        Some(ownership) if ownership.is_of(&environment.owner, &environment.name) => Ok(Some(ownership)),
        Some(other) => {
            let problem = format!("{says} says that it belongs to {}; tear that down first", other.described());
            Err(conflict(environment, domain.into(), problem))
        }
        None => Err(not_albatross(&says, &environment.zone.id)),
    }
}

/// The ownership that is to stand, with what the present one remembers.
fn wanted_ownership(
    environment: &Environment,
    load_balancer: &LoadBalancerIds,
    owned: Option<&Ownership>,
) -> Ownership {
    let Owner { stack, region, account } = environment.owner.clone();
    let remembered = owned.iter().flat_map(|owned| owned.remembered.clone());
    Ownership {
        stack,
        region: Some(region),
        account: Some(account),
        environment: environment.name.clone(),
        target: Some(load_balancer.dns_name.clone()),
        remembered: remembered.map(|remembered| remembered.led_to(&environment.targets)).collect(),
    }
}

/// Whether a record is the alias to an earlier load balancer of ours, or a copy of a wildcard's record.
fn is_made_by_us(owned: &Ownership, record: &ResourceRecordSet) -> bool {
    owned.target.as_ref().is_some_and(|target| points_at(record, target)) || owned.has_copied(record)
}

/// Whether an alias at the domain that nobody calls his may lead to the environment's load balancer, by its name, which has
/// the load balancer's in it (Elastic Load Balancing user guide, DNS name): then the load balancer itself tells.
pub fn is_claimable(environment: &Environment, at_domain: &DomainRecords) -> bool {
    let own = format!("{}-", environment.load_balancer_name());
    let leads = |to: &AliasTarget| {
        let name = destination(to.dns_name());
        name.trim_start_matches("dualstack.").starts_with(&own) && name.contains(".elb.")
    };
    at_domain.ownership.is_none() && at_domain.records.iter().filter_map(|record| record.alias_target()).any(leads)
}

/// What makes the domain lead to the load balancer.
#[derive(Debug)]
pub struct Difference {
    row: Step,
    edits: Vec<Edit>,
}

/// # Errors
/// [`Error::DnsRecordConflict`], naming the record and what to do.
pub fn differ(
    environment: &Environment,
    load_balancer: &LoadBalancerIds,
    at_domain: &DomainRecords,
) -> Result<Difference> {
    let edits = point(environment, load_balancer, at_domain)?;
    Ok(Difference { row: row(environment, load_balancer, &edits), edits })
}

impl Difference {
    pub fn step(&self) -> Step {
        self.row.clone()
    }

    /// All edits of a provision at the domain, from the lock's batch to the last.
    pub fn edits_since(&self, seen: &SeenRecords) -> Vec<Edit> {
        net(seen.made().map(Edit::Create).chain(self.edits.iter().cloned()).collect())
    }

    /// Points the domain at the load balancer, and in the same batch gives back the lock that the execution `run` has.
    ///
    /// What check-input saw there is trusted first, as nobody but this run works on the environment: the batch fails whole
    /// where it is outdated, and then the records are read.
    ///
    /// # Errors
    /// [`Error::DnsRecordConflict`]; [`Error::EnvironmentBusy`] where the lock is not `run`'s and something is to change.
    pub async fn apply(
        &mut self,
        client: &route53::Client,
        environment: &Environment,
        load_balancer: &LoadBalancerIds,
        run: &str,
    ) -> Result<()> {
        let (zone, domain) = (&environment.zone, environment.domain());
        let comment = "Albatross: point a domain at its load balancer";
        let edits: Vec<Edit> = self.edits.iter().cloned().chain([lock::give_back(domain, run)]).collect();
        match apply(client, &zone.id, &edits, comment).await {
            Err(error) if is_outdated(&error) => {}
            other => return other,
        }
        let at_domain = domain_records(client, &zone.id, domain).await?;
        *self = differ(environment, load_balancer, &at_domain)?;
        let release = lock::release(at_domain.lock.as_ref(), run);
        if release.is_none() && !self.edits.is_empty() {
            let holder = at_domain.lock.as_ref().and_then(lock::holder);
            return Err(Error::EnvironmentBusy {
                domain: domain.into(),
                run: holder.unwrap_or_else(|| "an execution that ended".into()),
                lock: names::lock_record(domain),
            });
        }
        let edits: Vec<Edit> = self.edits.iter().cloned().chain(release).collect();
        // Given back already, where the answer to that was lost.
        if edits.is_empty() { Ok(()) } else { apply(client, &zone.id, &edits, comment).await }
    }
}

fn row(environment: &Environment, load_balancer: &LoadBalancerIds, edits: &[Edit]) -> Step {
    let deletes = edits.iter().any(|edit| matches!(edit, Edit::Delete(_)));
    let points = edits.iter().any(|edit| is_address(edit.record()));
    let outcome = match (edits.is_empty(), deletes || !points) {
        (true, _) => Outcome::Found,
        (false, true) => Outcome::Changed,
        (false, false) => Outcome::Created,
    };
    let changes = if outcome == Outcome::Changed { diff(environment, load_balancer, edits) } else { vec![] };
    Step { changes, ..Step::new(Kind::AliasRecord, &environment.input.domain, outcome) }
}

/// Edits for the eye: `- api.example.com A 203.0.113.7`, `+ api.example.com A alias to the load balancer api-elb`.
pub fn diff(environment: &Environment, load_balancer: &LoadBalancerIds, edits: &[Edit]) -> Vec<String> {
    let told = |record: &ResourceRecordSet| {
        if points_at(record, &load_balancer.dns_name) {
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

fn wanted_aliases(environment: &Environment, load_balancer: &LoadBalancerIds) -> Vec<ResourceRecordSet> {
    let kinds: &[RrType] = match environment.input.ip_address_type {
        IpAddressType::Ipv4 => &[RrType::A],
        IpAddressType::Dualstack => &[RrType::A, RrType::Aaaa],
    };
    let zone = &load_balancer.canonical_hosted_zone_id;
    kinds
        .iter()
        .map(|kind| alias(&environment.input.domain, kind.clone(), &load_balancer.dns_name, zone, false))
        .collect()
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
        && record
            .resource_records()
            .iter()
            .all(|value| environment.targets.iter().any(|instance| instance.has(value.value())));
    match environment.input.dns {
        DnsPolicy::Overwrite => Ok(()),
        DnsPolicy::CreateOnly => Err("\"dns\" is \"create-only\"; delete it, or use \"takeover\" or \"overwrite\"".into()),
        DnsPolicy::Takeover if points_at_instance => Ok(()),
        DnsPolicy::Takeover => Err("it points at none of the instances; delete it, or give \"dns\": \"overwrite\" to replace it until teardown".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::ownership::tests::{a, our_alias, owned, owned_by, owner, summary};
    use super::super::record::{plain, resource_record, txt};
    use super::super::restoration::{Now, restore};
    use super::*;
    use crate::spec::ids::Target;
    use route53::types::ResourceRecordSetRegion;

    const DOMAIN: &str = "api.example.com";
    const INSTANCE: &str = "203.0.113.7";

    fn environment(dns: DnsPolicy) -> Environment {
        let addresses = vec![INSTANCE.into(), "ec2-1.amazonaws.com".into()];
        let mut environment = Environment::example();
        environment.input.dns = dns;
        environment.targets = vec![Target { id: "i-1".into(), addresses, ..Target::default() }];
        environment
    }

    fn load_balancer(dns_name: &str) -> LoadBalancerIds {
        LoadBalancerIds { arn: "arn".into(), dns_name: dns_name.into(), canonical_hosted_zone_id: "ZELB".into() }
    }

    fn plan(dns: DnsPolicy, records: &[ResourceRecordSet], ownership: Option<ResourceRecordSet>) -> String {
        let standing = DomainRecords { records: records.to_vec(), ownership, ..DomainRecords::default() };
        match point(&environment(dns), &load_balancer("our-elb.amazonaws.com"), &standing) {
            Ok(edits) => summary(&edits),
            Err(Error::DnsRecordConflict { .. }) => "conflict".into(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_was_seen_before_the_lock_tells_the_same_edits() {
        let (environment, load_balancer) = (environment(DnsPolicy::Takeover), load_balancer("our-elb.amazonaws.com"));
        let previous = || vec![a(INSTANCE)];
        let cases: [(Vec<ResourceRecordSet>, Option<ResourceRecordSet>, &str); 5] = [
            (vec![], None, "create A, create TXT"),
            (vec![plain(DOMAIN, RrType::Mx, 300, "10 mail.example.com")], None, "create A, create TXT"),
            (vec![a(INSTANCE)], None, "delete A, create A, create TXT"),
            (vec![our_alias()], Some(owned(previous())), ""),
            (vec![], Some(owned(previous())), "create A"),
        ];
        for (records, ownership, wanted) in cases {
            let standing = DomainRecords { records, ownership, ..DomainRecords::default() };
            let sent = serde_json::to_string(&SeenRecords::of(&standing, &[], false)).unwrap();
            let carried: SeenRecords = serde_json::from_str(&sent).unwrap();
            let edits = point(&environment, &load_balancer, &carried.after_lock()).unwrap();
            assert_eq!(edits, point(&environment, &load_balancer, &standing).unwrap());
            assert_eq!(summary(&edits), wanted);
        }
    }

    #[test]
    fn the_truth_table() {
        const CREATE: &str = "create A, create TXT";
        const REPLACE: &str = "delete A, create A, create TXT";
        const REPLACE_BOTH: &str = "delete A, create A, delete TXT, create TXT";
        let earlier = || alias(DOMAIN, RrType::A, "gone-elb.amazonaws.com", "ZELB", false);
        let earlier_owner = || owned_by("albatross", "gone-elb.amazonaws.com", vec![]);
        let copied = |value: &str| Ownership::of_copies(&owner(), "api-example-com", &[a(value)]).record(DOMAIN);
        let saved_by_the_console = || alias(DOMAIN, RrType::A, "dualstack.our-elb.amazonaws.com.", "ZELB", true);
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
            (vec![saved_by_the_console()], Some(owned(vec![])), [""; 3]),
            (vec![our_alias()], None, ["create TXT"; 3]),
            (vec![a("198.51.100.1")], Some(copied("198.51.100.1")), [REPLACE_BOTH; 3]),
            (vec![a("198.51.100.1")], Some(copied("198.51.100.2")), ["conflict", "conflict", REPLACE_BOTH]),
            (vec![earlier()], Some(earlier_owner()), [REPLACE_BOTH; 3]),
            (vec![], Some(owned(vec![])), ["create A"; 3]),
            (vec![a("198.51.100.1")], Some(owned(vec![])), ["conflict", "conflict", REPLACE_BOTH]),
            (vec![a(INSTANCE)], Some(owned(vec![])), [REPLACE_BOTH, "conflict", REPLACE_BOTH]),
            (vec![], Some(owned_by("other", "x", vec![])), ["conflict"; 3]),
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
    fn a_copy_that_the_lock_brings_is_passing() {
        let copy = a("198.51.100.1");
        let ownership = Ownership::of_copies(&owner(), "api-example-com", std::slice::from_ref(&copy)).record(DOMAIN);
        let at_domain = SeenRecords::of(&DomainRecords::default(), &[copy, ownership], false);
        let environment = environment(DnsPolicy::CreateOnly);
        let difference =
            differ(&environment, &load_balancer("our-elb.amazonaws.com"), &at_domain.after_lock()).unwrap();
        let edits = difference.edits_since(&at_domain);
        assert_eq!((difference.step().outcome, summary(&edits).as_str()), (Outcome::Changed, "create A, create TXT"));
        let Some(Edit::Create(txt)) = edits.last() else { panic!("{edits:?}") };
        let ownership = Ownership::parse(txt, DOMAIN).unwrap();
        assert_eq!((ownership.remembered.len(), ownership.remembered[0].wildcard), (1, true));
    }

    #[test]
    fn an_alias_that_has_lost_its_owner_may_be_ours_by_its_name() {
        let claimable = |name: &str, ownership: Option<ResourceRecordSet>| {
            let records = vec![alias(DOMAIN, RrType::A, name, "ZELB", false)];
            is_claimable(
                &environment(DnsPolicy::Takeover),
                &DomainRecords { records, ownership, ..DomainRecords::default() },
            )
        };
        assert!(claimable("dualstack.api-example-com-elb-123.us-east-1.elb.amazonaws.com.", None));
        assert!(!claimable("api-example-com-elb-123.us-east-1.elb.amazonaws.com.", Some(owned(vec![]))));
        assert!(!claimable("other-elb-123.us-east-1.elb.amazonaws.com.", None));
        assert!(!claimable("d1.cloudfront.net.", None));
    }

    #[test]
    fn the_record_of_an_older_version_learns_what_it_lacks() {
        let older = [
            "heritage=albatross stack=albatross environment=api-example-com target=our-elb.amazonaws.com".into(),
            format!("previous=A ttl=300 value={INSTANCE}"),
        ];
        let standing = DomainRecords {
            records: vec![our_alias()],
            ownership: Some(txt("_albatross.api.example.com", &older)),
            ..DomainRecords::default()
        };
        let edits =
            point(&environment(DnsPolicy::Takeover), &load_balancer("our-elb.amazonaws.com"), &standing).unwrap();
        assert_eq!(summary(&edits), "delete TXT, create TXT");
        assert_eq!(edits.last(), Some(&Edit::Create(owned(vec![a(INSTANCE)]))));
    }

    #[test]
    fn a_diff_names_the_load_balancer() {
        let environment = environment(DnsPolicy::Takeover);
        let load_balancer = load_balancer("our-elb.amazonaws.com");
        let standing = DomainRecords { records: vec![a(INSTANCE)], ownership: None, ..DomainRecords::default() };
        let edits = point(&environment, &load_balancer, &standing).unwrap();
        let diff = diff(&environment, &load_balancer, &edits);
        let own = "heritage=albatross stack=albatross region=us-east-1 account=123456789012 environment=api-example-com target=our-elb.amazonaws.com";
        assert_eq!(diff[0], "- api.example.com A 203.0.113.7");
        assert_eq!(diff[1], "+ api.example.com A alias to the load balancer api-example-com-elb");
        assert_eq!(
            diff[2],
            format!("+ _albatross.api.example.com TXT \"{own}\" \"previous=A ttl=300 value=203.0.113.7 instance=i-1\"")
        );
        assert_eq!(row(&environment, &load_balancer, &edits).changes, diff);
        assert_eq!(row(&environment, &load_balancer, &[]).outcome, Outcome::Found);
    }

    #[test]
    fn what_was_replaced_comes_back_as_it_was() {
        let mut two = a("203.0.113.7");
        two.resource_records.get_or_insert_default().push(resource_record("203.0.113.8"));
        let v6 = alias("api.example.com.", RrType::Aaaa, "dualstack.other.amazonaws.com.", "Z35", true);
        let before =
            DomainRecords { records: vec![two.clone(), v6.clone()], ownership: None, ..DomainRecords::default() };
        let edits =
            point(&environment(DnsPolicy::Overwrite), &load_balancer("our-elb.amazonaws.com"), &before).unwrap();
        let Some(Edit::Create(txt)) = edits.last() else { panic!("{edits:?}") };
        let after =
            DomainRecords { records: vec![our_alias()], ownership: Some(txt.clone()), ..DomainRecords::default() };
        let as_it_was = |_: &RrType, value: &str, _: Option<&str>| Now::At { value: value.into(), ends_with: None };
        let restoration = restore(&owner(), "api-example-com", DOMAIN, &after, None, as_it_was).unwrap();
        let edits = restoration.edits(&HashSet::new());
        assert_eq!(summary(&edits), "delete A, create A, create AAAA, delete TXT");
        let named = |record: &ResourceRecordSet| {
            let mut record = record.clone();
            record.name = DOMAIN.into();
            record
        };
        assert!(edits.contains(&Edit::Create(named(&two))));
        assert!(edits.contains(&Edit::Create(named(&v6))));
    }
}

//! The certificate: found or requested, waited for, and deleted on request.

use std::collections::BTreeSet;

use acm::config::Region;
use acm::types::{CertificateDetail, CertificateStatus, Filters, KeyAlgorithm, RecordType, Tag, ValidationMethod};
use aws_sdk_acm as acm;
use tokio::task::JoinSet;

use crate::aws::Clients;
use crate::error::{Call, Codes, Error, Result};
use crate::kind::Kind;
use crate::resource::tags::{self, Tags};
use crate::spec::environment::Environment;
use crate::spec::ids::ValidationRecord;
use crate::spec::names;
use crate::step::{Outcome, Step};

/// A usable certificate of ours, or a dead one.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub arn: String,
    pub status: CertificateStatus,
    /// ACM's reason where it failed.
    pub reason: String,
    /// All names that it is for.
    pub names: Vec<String>,
    /// The CNAMEs that prove control of the names; ACM shows them some seconds after the request.
    pub records: Vec<ValidationRecord>,
    /// ARNs of what uses it.
    pub in_use_by: Vec<String>,
}

/// A certificate as ACM lists it.
#[derive(Debug)]
pub struct Summary {
    pub arn: String,
    pub status: CertificateStatus,
}

/// FAILED, VALIDATION_TIMED_OUT and their like never recover (ACM user guide, certificate statuses).
pub fn is_dead(status: &CertificateStatus) -> bool {
    !matches!(status, CertificateStatus::Issued | CertificateStatus::PendingValidation)
}

impl Certificate {
    /// Builds one from a list entry: only ARN and status are known.
    fn issued(arn: String) -> Self {
        let (names, records, in_use_by) = (vec![], vec![], vec![]);
        Certificate { arn, status: CertificateStatus::Issued, reason: String::new(), names, records, in_use_by }
    }

    /// The certificate is for this host name, itself or by a wildcard of its parent.
    pub fn covers(&self, domain: &str) -> bool {
        let wildcard = domain.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.iter().any(|name| name == domain || Some(name) == wildcard.as_ref())
    }

    /// Whether anything but this environment's load balancer uses it. `InUseBy` is cleared minutes after the load
    /// balancer's end, so its ARN may name one that is gone.
    pub fn foreign_users(&self, environment: &str) -> Vec<&str> {
        let own = format!("/app/{}/", names::load_balancer(environment));
        self.in_use_by.iter().map(String::as_str).filter(|arn| !arn.contains(&own)).collect()
    }

    /// # Errors
    /// [`Error::CertificatePending`] until ISSUED; [`Error::CertificateFailed`] at once, with ACM's reason.
    pub fn check_issued(&self) -> Result<()> {
        match self.status {
            CertificateStatus::Issued => Ok(()),
            CertificateStatus::PendingValidation => Err(Error::CertificatePending {
                arn: self.arn.clone(),
                waiting_for: format!(
                    "waiting for ACM to see the CNAME {} in public DNS. If this lasts, the hosted zone may not be delegated: compare its NS records with those at the registrar",
                    self.records.first().map_or("of the validation", |record| &record.name),
                ),
            }),
            _ => Err(Error::CertificateFailed {
                arn: self.arn.clone(),
                status: self.status.to_string(),
                reason: self.reason.clone(),
            }),
        }
    }
}

impl From<CertificateDetail> for Certificate {
    fn from(detail: CertificateDetail) -> Self {
        let records = detail.domain_validation_options().iter().filter_map(|option| {
            let record = option.resource_record().filter(|record| *record.r#type() == RecordType::Cname)?;
            let plain = |name: &str| name.trim_end_matches('.').to_owned();
            Some(ValidationRecord { name: plain(record.name()), value: plain(record.value()) })
        });
        let mut records: Vec<ValidationRecord> = records.collect();
        // A name and its wildcard share one record.
        records.dedup();
        let mut names = detail.subject_alternative_names().to_vec();
        names.extend(detail.domain_name().map(str::to_owned));
        Certificate {
            records,
            names,
            reason: detail.failure_reason().map_or("ACM gives no reason".into(), |reason| reason.to_string()),
            status: detail.status().cloned().unwrap_or(CertificateStatus::PendingValidation),
            in_use_by: detail.in_use_by().to_vec(),
            arn: detail.certificate_arn.unwrap_or_default(),
        }
    }
}

/// One certificate; `None` where it does not exist.
pub async fn describe(client: &acm::Client, arn: &str) -> Result<Option<Certificate>> {
    let answer = client
        .describe_certificate()
        .certificate_arn(arn)
        .send()
        .await
        .call("acm:DescribeCertificate")
        .unless(&["ResourceNotFoundException"])?;
    Ok(answer.and_then(|answer| answer.certificate).map(Certificate::from))
}

/// Checks a certificate that the user gave.
///
/// # Errors
/// [`Error::InvalidInput`] where it does not exist, is not ISSUED or does not cover the domain.
pub async fn check_given(client: &acm::Client, arn: &str, domain: &str) -> Result<Certificate> {
    let wrong = |problem: String| Err(Error::input("$.certificateArn", format!("{arn} {problem}")));
    match describe(client, arn).await.unless(&["ValidationException", "InvalidArnException"])?.flatten() {
        None => wrong("does not exist in this account and region".into()),
        Some(given) if given.status != CertificateStatus::Issued => wrong(format!("is {}, not ISSUED", given.status)),
        Some(given) if !given.covers(domain) => wrong(format!("is for {}, not for {domain}", given.names.join(", "))),
        Some(given) => Ok(given),
    }
}

/// Certificates of any key and status whose names match, in the order of their ARNs.
async fn listed(client: &acm::Client, matches: impl Fn(&[String], &str) -> bool) -> Result<Vec<Summary>> {
    // Without key types ACM lists RSA 1024 and 2048 alone (API reference, ListCertificates).
    let keys = Filters::builder()
        .set_key_types(Some(KeyAlgorithm::values().iter().map(|key| KeyAlgorithm::from(*key)).collect()));
    let mut pages = client.list_certificates().includes(keys.build()).into_paginator().send();
    let mut found = vec![];
    while let Some(page) = pages.next().await {
        for summary in page.call("acm:ListCertificates")?.certificate_summary_list() {
            if matches(summary.subject_alternative_name_summaries(), summary.domain_name().unwrap_or_default()) {
                let status = summary.status().cloned().unwrap_or(CertificateStatus::PendingValidation);
                found.extend(summary.certificate_arn().map(|arn| Summary { arn: arn.into(), status }));
            }
        }
    }
    found.sort_by(|one, other| one.arn.cmp(&other.arn));
    Ok(found)
}

/// All certificates whose first name is the domain, whosever, in the order of their ARNs.
pub async fn of_domain(client: &acm::Client, domain: &str) -> Result<Vec<Summary>> {
    listed(client, |_, first| first == domain).await
}

/// Whether a certificate carries the environment's tags; one that is gone does not.
pub async fn is_ours(client: &acm::Client, arn: &str, stack: &str, environment: &str) -> Result<bool> {
    let tagged = client.list_tags_for_certificate().certificate_arn(arn).send().await;
    let tagged = tagged.call("acm:ListTagsForCertificate").unless(&["ResourceNotFoundException"])?;
    Ok(tagged.is_some_and(|answer| Tags::from(answer.tags()).are_of(stack, environment)))
}

/// Those of an environment; none where it has been given one. An issued one is all there is to know, and its validation
/// record too where none was seen: without it ACM does not renew.
pub async fn find(client: &acm::Client, environment: &Environment, is_validated: bool) -> Result<Vec<Certificate>> {
    let mut found = vec![];
    if environment.input.certificate_arn.is_some() {
        return Ok(found);
    }
    for one in of_domain(client, &environment.input.domain).await? {
        if !is_ours(client, &one.arn, &environment.owner.stack, &environment.name).await? {
            continue;
        }
        let is_issued = one.status == CertificateStatus::Issued;
        if is_issued && is_validated {
            return Ok(vec![Certificate::issued(one.arn)]);
        }
        found.extend(describe(client, &one.arn).await?);
        if is_issued && let Some(issued) = found.pop() {
            return Ok(vec![issued]);
        }
    }
    Ok(found)
}

/// The certificate that the environment has or lacks.
#[derive(Debug)]
pub enum Difference {
    /// The input gives one, by its ARN.
    Given(String),
    Found(Certificate),
    /// One is to be requested; `dead` are those of the environment that cannot be used.
    Missing {
        dead: Vec<Certificate>,
    },
    /// It has just been requested.
    Made(Certificate),
}

/// `ours` are the environment's, as [`find`] returns them.
pub fn differ(environment: &Environment, ours: Vec<Certificate>) -> Difference {
    match (&environment.input.certificate_arn, best(&ours)) {
        (Some(given), _) => Difference::Given(given.clone()),
        (None, Some(best)) => Difference::Found(best.clone()),
        (None, None) => Difference::Missing { dead: ours },
    }
}

impl Difference {
    pub fn step(&self) -> Step {
        match self {
            Difference::Given(arn) | Difference::Found(Certificate { arn, .. }) => {
                Step::new(Kind::Certificate, arn, Outcome::Found)
            }
            Difference::Missing { .. } => Step::missing(Kind::Certificate),
            Difference::Made(Certificate { arn, .. }) => Step::new(Kind::Certificate, arn, Outcome::Created),
        }
    }

    /// The validation records that are to stand; none as long as ACM has not named them, `None` where they do or the
    /// certificate needs none. A domain has one in an account (ACM user guide, DNS validation): a dead one's is the next
    /// one's.
    pub fn records(&self) -> Option<&[ValidationRecord]> {
        match self {
            Difference::Given(_) => None,
            Difference::Found(certificate) | Difference::Made(certificate) => {
                let needs_none = certificate.check_issued().is_ok() && certificate.records.is_empty();
                (!needs_none).then_some(&certificate.records)
            }
            Difference::Missing { dead } => Some(dead.first().map_or(&[], |dead| &dead.records)),
        }
    }

    /// Requests a certificate where there is none. Returns the ARN of the one to use, and whether ACM has issued it.
    pub async fn apply(&mut self, client: &acm::Client, environment: &Environment) -> Result<(String, bool)> {
        let certificate = match self {
            Difference::Given(arn) => return Ok((arn.clone(), true)),
            Difference::Found(certificate) | Difference::Made(certificate) => certificate.clone(),
            Difference::Missing { dead } => {
                let dead = dead.iter().map(|certificate| certificate.arn.clone()).collect();
                let made = request(client, environment, dead).await?;
                *self = Difference::Made(made.clone());
                made
            }
        };
        let issued = certificate.check_issued().is_ok();
        Ok((certificate.arn, issued))
    }
}

/// The one to use: an ISSUED one before a pending one.
pub fn best(ours: &[Certificate]) -> Option<&Certificate> {
    let of = |status| ours.iter().find(|certificate| certificate.status == status);
    of(CertificateStatus::Issued).or_else(|| of(CertificateStatus::PendingValidation))
}

/// Requests a certificate; `dead` are ours that cannot be used.
///
/// A token stands for one request: with the token of a dead or deleted certificate ACM may answer that one again
/// within the hour, so both go into the token.
async fn request(client: &acm::Client, environment: &Environment, mut dead: Vec<String>) -> Result<Certificate> {
    /// A certificate deleted within the hour, and one more beside it.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let tag = |(key, value)| Tag::builder().key(key).value(value).build().expect("a key");
        let answer = client
            .request_certificate()
            .domain_name(&environment.input.domain)
            .validation_method(ValidationMethod::Dns)
            .idempotency_token(environment.idempotency_token(&dead))
            .set_tags(Some(tags::of(environment).into_iter().map(tag).collect()))
            .send()
            .await
            .call("acm:RequestCertificate")?;
        let arn = answer.certificate_arn.unwrap_or_default();
        match describe(client, &arn).await? {
            Some(certificate) => return Ok(certificate),
            None => dead.push(arn),
        }
    }
    Err(Error::CertificatePending {
        arn: dead.pop().unwrap_or_default(),
        waiting_for: "ACM does not show it yet".into(),
    })
}

/// Whether a certificate other than `than` needs the same validation CNAME, in any region of the account: it is one per
/// account and name, shared with the name's wildcard, and its loss stops their renewal (ACM user guide, DNS validation).
///
/// Answers in words one that does, or may: an organisation's policy may keep regions from being asked.
pub async fn sharing_record(clients: &Clients, domain: &str, than: &[String]) -> Result<Option<String>> {
    let regions = match regions(&clients.ec2).await {
        Err(Error::AwsRefused(refusal)) => return Ok(Some(format!("any of regions that are not known: {refusal}"))),
        regions => regions?,
    };
    let mut asked: JoinSet<_> = regions
        .into_iter()
        .map(|region| {
            let regional = acm::config::Builder::from(&clients.config).region(Region::new(region.clone())).build();
            let domain = domain.to_owned();
            async move { (region, needing_record(acm::Client::from_conf(regional), domain).await) }
        })
        .collect();
    let mut others = BTreeSet::new();
    while let Some(asked) = asked.join_next().await {
        match asked.expect("asking a region does not panic") {
            (region, Err(Error::AwsRefused(refusal))) => {
                others.insert(format!("what may stand in {region}, which does not tell: {refusal}"));
            }
            (_, found) => {
                others.extend(found?.into_iter().map(|found| found.arn).filter(|arn| !than.contains(arn)));
            }
        }
    }
    Ok(others.pop_first())
}

/// The regions that the account has enabled.
async fn regions(client: &aws_sdk_ec2::Client) -> Result<Vec<String>> {
    let answer = client.describe_regions().send().await.call("ec2:DescribeRegions")?;
    Ok(answer.regions().iter().filter_map(|region| region.region_name()).map(Into::into).collect())
}

/// A region's certificates that need the validation CNAME of a domain.
async fn needing_record(client: acm::Client, domain: String) -> Result<Vec<Summary>> {
    let wildcard = format!("*.{domain}");
    let same = |name: &str| name == domain || name == wildcard;
    listed(&client, |names, first| same(first) || names.iter().any(|name| same(name))).await
}

/// Deletes a certificate of ours. Again is safe.
///
/// # Errors
/// [`Error::StillDeleting`] while ACM takes the deleted load balancer for a user of it (seconds to minutes).
pub async fn remove(client: &acm::Client, arn: &str) -> Result<()> {
    let deleted = client
        .delete_certificate()
        .certificate_arn(arn)
        .send()
        .await
        .call("acm:DeleteCertificate")
        .unless(&["ResourceNotFoundException"]);
    match deleted {
        Err(Error::AwsRefused(refusal)) if refusal.is(&["ResourceInUseException", "ConflictException"]) => {
            Err(Error::StillDeleting(format!("certificate {arn}: {}", refusal.message)))
        }
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str], in_use_by: &[&str]) -> Certificate {
        let strings = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        Certificate {
            arn: "arn".into(),
            status: CertificateStatus::Issued,
            reason: String::new(),
            names: strings(names),
            records: vec![],
            in_use_by: strings(in_use_by),
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(certificate(&["example.com", "*.example.com"], &[]).covers("api.example.com"));
        assert!(!certificate(&["*.example.com"], &[]).covers("a.b.example.com"));
        assert!(!certificate(&["*.example.com"], &[]).covers("example.com"));
    }

    #[test]
    fn a_dead_certificate_tells_the_record_of_the_next() {
        let mut environment = Environment::example();
        let record = ValidationRecord { name: "_a".into(), value: "_b".into() };
        let mut ours = certificate(&["api.example.com"], &[]);
        let missing = differ(&environment, vec![]);
        assert_eq!((missing.step(), missing.records()), (Step::missing(Kind::Certificate), Some(&[][..])));
        let issued = differ(&environment, vec![ours.clone()]);
        assert_eq!((issued.step(), issued.records()), (Step::new(Kind::Certificate, "arn", Outcome::Found), None));
        ours.records = vec![record.clone()];
        let unseen = differ(&environment, vec![ours.clone()]);
        assert_eq!(unseen.records(), Some(std::slice::from_ref(&record)));
        ours.status = CertificateStatus::Failed;
        let dead = differ(&environment, vec![ours]);
        assert_eq!((dead.step(), dead.records()), (Step::missing(Kind::Certificate), Some(&[record][..])));
        environment.input.certificate_arn = Some("given".into());
        let given = differ(&environment, vec![]);
        assert_eq!((given.step(), given.records()), (Step::new(Kind::Certificate, "given", Outcome::Found), None));
    }

    #[test]
    fn a_load_balancer_of_ours_that_lingers_is_no_foreign_user() {
        let ours = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/api-elb/50dc6c495c0c9188";
        let other = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/my-api-elb/50dc6c495c0c9188";
        assert_eq!(certificate(&[], &[ours, other]).foreign_users("api"), [other]);
    }
}

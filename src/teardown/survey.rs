//! Reads all that decides about the list of an environment. A read that AWS refuses is kept as its error: its kind is unknown,
//! and all else is read and decided all the same.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;

use super::call::Call;
use super::certificates::{self, Certificates};
use super::identity::Identity;
use super::item::{Decision, Item};
use crate::error::Result;
use crate::kind::Kind;
use crate::resource::address::{self, Address, Addresses};
use crate::resource::certificate;
use crate::resource::dns::DomainRecords;
use crate::resource::instance::{self, AtTeardown};
use crate::resource::load_balancer;
use crate::resource::security_group;
use crate::resource::security_group::rule::{self, OpenRule};
use crate::resource::tags::{self, Tags};
use crate::resource::{target, target_group};

/// What AWS shows of an environment, or the error where it refuses to tell.
pub struct Survey {
    pub elb: Elb,
    pub rules: Result<Vec<OpenRule>>,
    pub certificates: Result<Certificates>,
    /// The records at the domain; `None` where its zone is unknown or gone.
    pub at_domain: Result<Option<DomainRecords>>,
    pub groups: Result<Vec<security_group::Tagged>>,
    pub addresses: Result<Addresses>,
    /// The instances behind the target group, and those to which the domain led before.
    pub instances: Result<Vec<AtTeardown>>,
    /// What else uses the instances that may end, or whose addresses may, by the id of the instance.
    pub users: Result<HashMap<String, String>>,
    /// Ids of the instances that EC2 would not end, as a protection is on.
    pub protected_instances: HashSet<String>,
}

/// What Elastic Load Balancing shows of an environment: its load balancer and its target group, where they are ours.
pub struct Elb {
    pub load_balancer: Result<Option<load_balancer::Tagged>>,
    /// Whether the load balancer's deletion protection is on.
    pub protected: Result<bool>,
    pub target_group: Result<Option<target_group::Tagged>>,
    /// Ids of the instances that are targets.
    pub targets: Result<HashSet<String>>,
}

impl Survey {
    /// Reads what stands of the environment. `groups` are its security groups, `at_domain` is awaited beside the other reads.
    /// After an act, `planned` are the plan's items: kinds that the plan found nothing to remove of are not read again.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::error::Error::InvalidInput) where a tag names another domain.
    pub async fn read(
        call: &Call<'_>,
        identity: &Identity,
        groups: Result<Vec<security_group::Tagged>>,
        at_domain: impl Future<Output = Result<Option<DomainRecords>>>,
        planned: Option<&[Item]>,
    ) -> Result<Survey> {
        let (ec2, Identity { stack, name, .. }) = (&call.clients.ec2, identity);
        let may_go = |resource: Kind| {
            let goes = |item: &Item| item.resource == resource && item.decision != Decision::Keep;
            planned.is_none_or(|items| items.iter().any(goes))
        };
        // AWS deletes no group in which a load balancer stands or which a rule names: where our group has gone, so have they.
        let none_stands = groups.as_ref().is_ok_and(Vec::is_empty);
        let gone = none_stands && planned.is_some() && may_go(Kind::SecurityGroup);
        let (elb, rules, certificates, at_domain) = tokio::join!(
            Elb::read(call, identity, !gone),
            async { if gone { Ok(vec![]) } else { rule::find(ec2, stack, name).await } },
            async {
                if may_go(Kind::Certificate) { certificates(call, identity).await } else { Ok(Certificates::default()) }
            },
            at_domain,
        );
        elb.tags().try_for_each(|tags| identity.check_domain(tags))?;

        let remembered = remembered_instances(call, identity, at_domain.as_ref().ok());
        let targets = elb.targets.as_ref().cloned().unwrap_or_default();
        let asked = targets.iter().chain(remembered.iter().flatten()).cloned().collect();
        let (addresses, instances) = tokio::join!(
            async {
                let may_stand = may_go(Kind::Address) || !targets.is_empty() || remembered.is_some();
                if may_stand { address::find(ec2, &targets, stack, name).await } else { Ok(Addresses::default()) }
            },
            instance::find(ec2, &asked),
        );
        let mut survey = Survey {
            elb,
            rules,
            certificates,
            at_domain,
            groups,
            addresses,
            instances,
            users: Ok(HashMap::new()),
            protected_instances: HashSet::new(),
        };
        survey.users = users(call, &survey).await;
        survey.protected_instances = protected(call, &survey.own_instances()).await;
        Ok(survey)
    }

    /// Returns the Elastic IPs of the environment.
    pub fn own_addresses(&self) -> &[Address] {
        self.addresses.as_ref().map(|found| found.ours.as_slice()).unwrap_or_default()
    }

    /// Returns the instances behind the target group.
    pub fn own_instances(&self) -> Vec<&AtTeardown> {
        let is_target = |id: &String| self.elb.targets.as_ref().is_ok_and(|targets| targets.contains(id));
        self.instances.iter().flatten().filter(|instance| is_target(&instance.id)).collect()
    }
}

impl Elb {
    /// Reads them. No load balancer is asked for where none `may_stand`.
    pub async fn read(call: &Call<'_>, Identity { stack, name, .. }: &Identity, may_stand: bool) -> Elb {
        let elb = &call.clients.elb;
        let (load_balancer, target_group) = tokio::join!(
            async { if may_stand { load_balancer::named(elb, name).await } else { Ok(None) } },
            target_group::named(elb, name),
        );
        let load_balancer_arn = load_balancer.iter().flatten().find_map(|found| found.load_balancer_arn.clone());
        let group_arn = target_group.iter().flatten().find_map(|found| found.target_group_arn.clone());
        let arns: Vec<String> = load_balancer_arn.iter().chain(&group_arn).cloned().collect();
        let (tags, protected, targets) = tokio::join!(
            tags::by_arn(elb, &arns),
            async {
                match &load_balancer_arn {
                    Some(arn) => load_balancer::is_protected(elb, arn).await,
                    None => Ok(false),
                }
            },
            async {
                match &group_arn {
                    Some(arn) => target::instances(elb, arn).await,
                    None => Ok(HashSet::new()),
                }
            },
        );
        let ours = |arn: Option<String>| -> Result<Option<Tags>> {
            let Some(arn) = arn else { return Ok(None) };
            let tags = tags.as_ref().map_err(Clone::clone)?;
            Ok(tags.get(&arn).filter(|tags| tags.are_of(stack, name)).cloned())
        };
        let load_balancer = load_balancer.and_then(|found| {
            Ok(found.zip(ours(load_balancer_arn)?).map(|(found, tags)| load_balancer::Tagged::of(&found, tags)))
        });
        let target_group = target_group.and_then(|found| {
            Ok(found.zip(ours(group_arn)?).map(|(found, tags)| target_group::Tagged::of(&found, tags)))
        });
        let targets = match &target_group {
            Ok(Some(_)) => targets,
            Ok(None) => Ok(HashSet::new()),
            Err(error) => Err(error.clone()),
        };
        Elb { load_balancer, protected, target_group, targets }
    }

    /// Returns the tags of what stands and is ours.
    pub fn tags(&self) -> impl Iterator<Item = &Tags> {
        let of_load_balancer = self.load_balancer.iter().flatten().map(|found| &found.tags);
        of_load_balancer.chain(self.target_group.iter().flatten().map(|group| &group.tags))
    }
}

/// Returns the ids of the instances to which remembered records led; `None` where the ownership record remembers none.
fn remembered_instances(
    call: &Call<'_>,
    identity: &Identity,
    at_domain: Option<&Option<DomainRecords>>,
) -> Option<Vec<String>> {
    let ownership = identity.ownership(&call.owner, at_domain?.as_ref()?)?;
    let instances = ownership.remembered.iter().flat_map(|one| one.instances.values().cloned());
    (!ownership.remembered.is_empty()).then(|| instances.collect())
}

/// Asks what else uses the instances that are to end, or whose addresses are.
async fn users(call: &Call<'_>, survey: &Survey) -> Result<HashMap<String, String>> {
    let instances = survey.own_instances().into_iter();
    let ending = instances.filter(|instance| instance.ends().is_some()).map(|instance| instance.id.clone());
    let addresses = survey.own_addresses().iter().filter(|address| address.consent);
    let ids: HashSet<String> = ending.chain(addresses.filter_map(|address| address.instance.clone())).collect();
    match &survey.elb.target_group {
        Ok(Some(group)) if !ids.is_empty() && !call.input.own_only => {
            target::users(&call.clients.elb, &group.ids, &ids).await
        }
        _ => Ok(HashMap::new()),
    }
}

/// Asks which of the instances EC2 would not end. Where AWS refuses to tell, it refuses to end one that it protects.
async fn protected(call: &Call<'_>, instances: &[&AtTeardown]) -> HashSet<String> {
    let ending = instances.iter().filter(|_| !call.input.own_only);
    let asked = ending.filter_map(|instance| Some((&instance.id, instance.ends()?))).map(async |(id, consent)| {
        let is_protected = instance::is_protected(&call.clients.ec2, id, consent).await.unwrap_or_default();
        is_protected.then(|| id.clone())
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Reads the certificates of the domain, as far as the input needs it.
async fn certificates(call: &Call<'_>, identity: &Identity) -> Result<Certificates> {
    let (acm, policy) = (&call.clients.acm, call.input.certificate);
    let mut found = Certificates::default();
    let Some(domain) = &identity.domain else { return Ok(found) };
    for summary in certificate::of_domain(acm, domain).await? {
        if certificates::stays(&summary.status, policy) {
            found.keep(&summary.arn);
        } else if certificate::is_ours(acm, &summary.arn, &identity.stack, &identity.name).await?
            && let Some(certificate) = certificate::describe(acm, &summary.arn).await?
        {
            found.add(certificate, &identity.name, policy);
        }
    }
    if found.may_share_with_others() {
        found.sharing = certificate::sharing_record(call.clients, domain, &found.going()).await?;
    }
    Ok(found)
}

//! Takes an environment's lock and lists what stands of it, with what is decided about each; asked to act, carries that
//! out; then waits for what AWS lets go of late, until a fresh listing shows nothing left to do. That listing is the proof.

use albatross::aws::{self, Clients};
use albatross::error::{Error, Result};
use albatross::kind::Kind;
use albatross::lambda;
use albatross::owner::Owner;
use albatross::resource::dns;
use albatross::resource::dns::DomainRecords;
use albatross::resource::dns::lock;
use albatross::resource::security_group;
use albatross::spec::input::Returned;
use albatross::spec::{input, names};
use albatross::teardown::act::{self, Acted, Manner};
use albatross::teardown::identity::{self, Held};
use albatross::teardown::item::{refusals, settle, summary};
use albatross::teardown::list::{self, List};
use albatross::teardown::{Action, Decision, Identity, Input, Item, Listed, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So many tries, some five minutes, what fails and may pass is worth; then it counts as refused, and the teardown ends with
/// all else done. The machine's retrier has twenty.
const PATIENCE: u32 = 12;

#[derive(Deserialize)]
struct Event {
    input: Value,
    /// The answer of the call before; without it this is the first call, which plans.
    plan: Option<Answer>,
    /// Its list holds: it is not known to be outdated.
    #[serde(default)]
    fresh: bool,
    /// How often the state machine has repeated this call.
    #[serde(default)]
    tries: u32,
    /// ARN of the execution.
    run: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environment: Identity,
    items: Vec<Item>,
    /// In one line.
    summary: String,
    /// Why the environment is kept whole, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// What stands under another name of what the input means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
    /// What came back at the domain of what led to an instance: the morning's provision knows it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    put_back: Vec<Returned>,
    /// Of a plan: those of the items that are not kept. Once acted on: those that AWS has not let go of yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    todo: Vec<Listed>,
    #[serde(default)]
    acted: bool,
    /// The execution has the environment's lock.
    #[serde(default)]
    locked: bool,
    /// Copies of a wildcard's records serve the domain as long as anything of ours stands under it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    copied: bool,
}

/// One call of the function.
struct Call<'a> {
    clients: &'a Clients,
    owner: Owner,
    input: Input,
    /// ARN of the execution whose the lock is.
    run: String,
    patient: bool,
    /// The state machine repeats the call.
    again: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), lambda_runtime::Error> {
    let clients = Clients::new(aws::config());
    lambda::run(async |event: Event| teardown(&clients, event).await).await
}

async fn teardown(clients: &Clients, event: Event) -> Result<Answer> {
    let input: Input = input::parse(event.input)?;
    let run = input.run.clone().unwrap_or(event.run);
    let call =
        Call { clients, owner: lambda::owner(), input, run, patient: event.tries < PATIENCE, again: event.tries > 0 };
    match event.plan {
        None => call.plan().await,
        Some(plan) => call.remove(plan, event.fresh).await,
    }
}

/// What is known of an environment before its lock is taken: its security groups tell whose lock it is. Each is deleted by
/// its id, so that what is read of them too early is harmless.
struct Known {
    identity: Identity,
    groups: Result<Vec<security_group::Tagged>>,
    /// Why its hosted zone is not known, where AWS refuses to tell.
    no_zone: Option<Error>,
}

impl Call<'_> {
    /// Under the lock, but for what tells whose lock it is.
    async fn plan(&self) -> Result<Answer> {
        let Known { identity, groups, no_zone } = self.identify().await?;
        let held = match (self.input.dry_run, &self.input.run) {
            (false, provision) => {
                let stands = groups.as_ref().map_or(true, |groups| !groups.is_empty());
                self.lock(&identity, provision.is_some(), stands).await?
            }
            (true, Some(_)) => Held { held: false, seen: identity::standing(self.clients, &identity).await? },
            (true, None) => Held::default(),
        };
        let record = held.seen.as_ref().and_then(|standing| standing.lock.as_ref());
        let gives_back = self.input.dry_run && self.input.run.is_some() && lock::is_held(record, &self.run);
        let List { listed, kept, passing, copied } = self.list(&identity, groups, held.seen, no_zone, None).await?;
        if gives_back {
            // The provision failed and keeps what stands: nothing but its lock goes.
            identity::unlock(self.clients, &self.owner, &identity, &self.run, false).await?;
        }
        if let Some(error) = passing.filter(|_| self.patient) {
            return Err(error);
        }
        let items: Vec<Item> = listed.iter().map(|listed| listed.item.clone()).collect();
        let is_nothing = kept.is_none() && items.iter().all(|item| item.decision == Decision::Keep);
        let elsewhere = if is_nothing { self.elsewhere(&identity, held.held, copied).await? } else { None };
        Ok(Answer {
            summary: kept.clone().or(elsewhere.clone()).unwrap_or_else(|| summary(&identity.name, &items, false)),
            environment: identity,
            items,
            kept,
            elsewhere,
            put_back: vec![],
            todo: unsettled(listed),
            acted: false,
            locked: held.held,
            copied,
        })
    }

    async fn remove(&self, plan: Answer, fresh: bool) -> Result<Answer> {
        if fresh {
            let done = async {
                let held = if plan.acted { self.held(&plan.todo).await? } else { vec![] };
                let is_held = |listed: &&Listed| held.iter().any(|item| item.is(&listed.item));
                let todo: Vec<Listed> = plan.todo.iter().filter(|listed| !is_held(listed)).cloned().collect();
                let items = merged(plan.items.clone(), held.clone());
                let acted = self.act(&plan.environment, &todo, &items).await?;
                self.finish(&plan, plan.environment.clone(), items, acted, plan.locked).await
            };
            match done.await {
                // A record has changed since it was listed, or the lock was given back and the answer to that was lost.
                Err(error) if dns::is_outdated(&error) => {}
                other => return other,
            }
        }
        let (identity, groups) = self.groups(plan.environment.clone()).await?;
        let held = self.lock(&identity, plan.locked, true).await?;
        let list = self.list(&identity, groups, held.seen, None, Some(&plan.items)).await?;
        let acted = self.act(&identity, &list.listed, &plan.items).await?;
        self.finish(&plan, identity, plan.items.clone(), acted, held.held).await
    }

    /// Where nothing is waiting, the proof and the end of the lock; else what is to be waited for, which is an error once the
    /// machine waits.
    async fn finish(
        &self,
        plan: &Answer,
        identity: Identity,
        items: Vec<Item>,
        acted: Acted,
        locked: bool,
    ) -> Result<Answer> {
        let Acted { ended, waiting, mut put_back, .. } = acted;
        put_back.extend(plan.put_back.iter().cloned());
        let (mut items, mut todo) = (merged(items, ended), waiting);
        if todo.is_empty() && plan.kept.is_some() {
            items = settle(items, vec![]);
            if locked {
                items.extend(self.unlock(&identity, plan.copied).await?);
            }
        } else if todo.is_empty() {
            let (mut identity, groups) = self.groups(identity.clone()).await?;
            identity.zone = identity.zone.or(plan.environment.zone.clone());
            let no_records = async { Ok(None) };
            let list = list::list(self.clients, &self.owner, &identity, &self.input, groups, no_records, Some(&items));
            let List { listed: last, passing, .. } = list.await?;
            if let Some(error) = passing.filter(|_| self.patient) {
                return Err(error);
            }
            let is_ended = |items: &[Item], listed: &Listed| {
                items.iter().any(|known| known.is(&listed.item) && known.outcome.is_some())
            };
            let mut left = unsettled(last.clone());
            left.retain(|listed| !is_ended(&items, listed));
            if !left.is_empty() {
                // What the lists before did not show yet.
                let ended = self.act(&identity, &left, &items).await?.ended;
                items = merged(items, left.iter().map(|listed| listed.item.clone()).collect());
                items = merged(items, ended);
                left.retain(|listed| !is_ended(&items, listed));
                todo = left;
            }
            if todo.is_empty() {
                let last = last.into_iter().map(|listed| listed.item).collect();
                items = settle(items, last);
                if locked {
                    items.extend(self.unlock(&identity, plan.copied).await?);
                }
            }
        }
        if todo.is_empty() && !refusals(&items).is_empty() {
            let what = "allow what AWS refuses, or end it by hand, and tear down again";
            return Err(Error::TeardownIncomplete(format!("{}. What to do: {what}", refusals(&items))));
        }
        if plan.acted && !todo.is_empty() {
            let named = |listed: &Listed| format!("{} {}", listed.item.resource, listed.item.id);
            return Err(Error::StillDeleting(todo.iter().map(named).collect::<Vec<_>>().join(", ")));
        }
        let (kept, elsewhere, copied) = (plan.kept.clone(), plan.elsewhere.clone(), plan.copied);
        let told = kept.as_ref().or(elsewhere.as_ref()).cloned();
        let summary = told.unwrap_or_else(|| summary(&identity.name, &items, true));
        let environment = identity;
        Ok(Answer { environment, items, summary, kept, elsewhere, put_back, todo, acted: true, locked, copied })
    }

    // --- What it reads -------------------------------------------------------------------------------------------

    /// The environment that the input names.
    async fn identify(&self) -> Result<Known> {
        let (clients, input) = (self.clients, &self.input);
        let mut identity = Identity::of(lambda::stack(), input)?;
        let groups = unless_bad(identity::groups(clients, &mut identity, input).await)?;
        let mut no_zone = None;
        let none_known = groups.as_ref().map_or(true, Vec::is_empty);
        if none_known && input.name.is_none() {
            no_zone = self.find_zone(&mut identity).await;
            if let Ok(Some(standing)) = identity::standing(clients, &identity).await {
                identity::find_name(&mut identity, &self.owner, &standing);
            }
        }
        if none_known
            && (identity.domain.is_none() || identity.zone.is_none())
            && let Ok(Some(tags)) = list::tags_of_front(clients, &identity).await
        {
            identity.learn(&tags)?;
        }
        if no_zone.is_none() {
            no_zone = self.find_zone(&mut identity).await;
        }
        Ok(Known { identity, groups, no_zone })
    }

    /// Looks for the hosted zone of the domain, where that is known and its zone is not; answers why AWS does not tell.
    async fn find_zone(&self, identity: &mut Identity) -> Option<Error> {
        let (Some(domain), None) = (&identity.domain, &identity.zone) else { return None };
        match dns::find_zone(&self.clients.route53, domain, None).await {
            Ok(zone) => {
                identity.zone = zone;
                None
            }
            Err(error) => Some(error),
        }
    }

    /// The groups of the environment, whose name is known.
    async fn groups(&self, mut identity: Identity) -> Result<(Identity, Result<Vec<security_group::Tagged>>)> {
        let input = Input { name: Some(identity.name.clone()), ..self.input.clone() };
        let groups = unless_bad(identity::groups(self.clients, &mut identity, &input).await)?;
        Ok((identity, groups))
    }

    async fn list(
        &self,
        identity: &Identity,
        groups: Result<Vec<security_group::Tagged>>,
        seen: Option<DomainRecords>,
        no_zone: Option<Error>,
        planned: Option<&[Item]>,
    ) -> Result<List> {
        let standing = async {
            match (no_zone, seen) {
                (Some(error), _) => Err(error),
                (None, Some(seen)) => Ok(Some(seen)),
                (None, None) => identity::standing(self.clients, identity).await,
            }
        };
        list::list(self.clients, &self.owner, identity, &self.input, groups, standing, planned).await
    }

    /// What the input means and stands under another name, where somebody wrote the input by hand. Where both name and domain
    /// are given the name is what is meant, and this is told.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] where one of them is given; the lock that was taken in vain goes.
    async fn elsewhere(&self, identity: &Identity, locked: bool, copied: bool) -> Result<Option<String>> {
        let Input { own_only, run, night, name, domain, .. } = &self.input;
        if *own_only || run.is_some() || night.is_some() {
            return Ok(None);
        }
        let found = match identity::elsewhere(self.clients, identity).await {
            // That nothing stands is known without.
            Err(Error::AwsRefused(_)) => None,
            found => found?,
        };
        match found {
            Some(told) if name.is_none() || domain.is_none() => {
                if locked {
                    identity::unlock(self.clients, &self.owner, identity, &self.run, copied).await?;
                }
                Err(Error::input("$.name", told))
            }
            found => Ok(found),
        }
    }

    /// The items of groups that something holds that is not ours; the others are released.
    ///
    /// # Errors
    /// [`Error::StillDeleting`]: groups are held longest, and a look takes one call.
    async fn held(&self, todo: &[Listed]) -> Result<Vec<Item>> {
        let mut held = vec![];
        for listed in todo {
            let Some(Action::SecurityGroup(id)) = &listed.action else { continue };
            match security_group::check_released(&self.clients.ec2, id).await {
                Err(Error::TeardownIncomplete(by)) => held.push(listed.item.clone().ended(Outcome::Refused, by)),
                // Its deletion will tell.
                Ok(()) | Err(Error::AwsRefused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    // --- What it does --------------------------------------------------------------------------------------------

    async fn lock(&self, identity: &Identity, has: bool, stands: bool) -> Result<Held> {
        match identity::lock(self.clients, &self.owner, identity, &self.run, has, stands).await {
            Err(error @ Error::AwsUnavailable(_)) if !self.patient && !dns::is_outdated(&error) => Ok(Held::default()),
            other => other,
        }
    }

    /// Gives the lock back; answers an item where AWS refuses.
    async fn unlock(&self, identity: &Identity, copied: bool) -> Result<Option<Item>> {
        match identity::unlock(self.clients, &self.owner, identity, &self.run, copied).await {
            Ok(()) => Ok(None),
            Err(error @ Error::AwsUnavailable(_)) if self.patient || dns::is_outdated(&error) => Err(error),
            Err(error) => {
                let name = names::lock_record(identity.domain.as_deref().unwrap_or_default());
                let item = Item::new(Kind::LockRecord, name, Decision::Remove, "ours");
                let why = format!("it binds nobody once this execution has ended: {error}");
                Ok(Some(item.ended(Outcome::Refused, why)))
            }
        }
    }

    async fn act(&self, identity: &Identity, todo: &[Listed], items: &[Item]) -> Result<Acted> {
        let is_left = |item: &Item| item.decision == Decision::Unknown || item.outcome == Some(Outcome::Refused);
        let manner = Manner { patient: self.patient, again: self.again, left: items.iter().any(is_left) };
        let mut acted = act::act(self.clients, identity, todo, manner).await;
        acted.passing.take().map_or(Ok(acted), Err)
    }
}

/// Bad input ends the teardown; any other error makes its kind unknown.
fn unless_bad<T>(read: Result<T>) -> Result<Result<T>> {
    match read {
        Err(error @ Error::InvalidInput { .. }) => Err(error),
        other => Ok(other),
    }
}

/// The items, with what came of some in their place.
fn merged(mut items: Vec<Item>, ended: Vec<Item>) -> Vec<Item> {
    for item in ended {
        match items.iter_mut().find(|known| known.is(&item)) {
            Some(known) => *known = item,
            None => items.push(item),
        }
    }
    items
}

fn unsettled(list: Vec<Listed>) -> Vec<Listed> {
    list.into_iter().filter(|listed| listed.action.is_some()).collect()
}

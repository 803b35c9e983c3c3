//! The night: which environments it spares, what came of each, and the mails before and after. No I/O.

use std::collections::HashMap;
use std::ops::Add;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::price::{Rate, RunCost};
use crate::resource::tags::{self, Tags};
use crate::spec::input::date_time;

/// Nobody reads a mail that lists more.
const LINES_A_MAIL: usize = 50;
/// Seconds between the mail that warns and the removal. nightly.asl.yaml waits as long.
const NOTICE_SECONDS: u64 = 3600;

/// The input of a nightly execution.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NightInput {
    /// Report what would go; change nothing.
    pub dry_run: bool,
    /// Send a mail and wait an hour before anything goes.
    pub warn: bool,
}

/// An environment that stands when the night comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub name: String,
    /// Dollars an hour for its load balancer and addresses; 0 where the load balancer is gone.
    pub hourly: Decimal,
    /// Why it is kept; `None` where it goes.
    pub spared: Option<String>,
    #[serde(skip)]
    pub domain: String,
    /// ARN; `None` where the load balancer is gone.
    #[serde(skip)]
    pub load_balancer: Option<String>,
}

impl Standing {
    /// Reads an environment from the tags of one of its resources. Price and load balancer are not known from them.
    pub fn tagged(tags: &Tags) -> Self {
        let text = |key| tags.get(key).unwrap_or_default().to_owned();
        Standing {
            name: text(tags::ENVIRONMENT),
            domain: text(tags::DOMAIN),
            spared: kept(tags, SystemTime::now()),
            hourly: Decimal::ZERO,
            load_balancer: None,
        }
    }
}

/// Returns why the tag keeps an environment, if it does.
fn kept(tags: &Tags, now: SystemTime) -> Option<String> {
    let until = tags.get(tags::KEEP_UNTIL)?;
    match date_time(until) {
        Ok(moment) => (moment > now).then(|| format!("kept until {until}")),
        // A date that cannot be read keeps it: whoever wrote it meant to.
        Err(problem) => Some(format!("{} is {problem}", tags::KEEP_UNTIL)),
    }
}

/// What came of one environment in a night.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NightOutcome {
    pub name: String,
    pub outcome: Fate,
    /// Why it was kept, or failed.
    pub why: Option<String>,
    /// Dollars an hour that are saved where it was removed, and go on where it was not.
    #[serde(default)]
    pub hourly: Decimal,
    /// What its teardown execution cost.
    #[serde(default)]
    pub execution_cost: RunCost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    Removed,
    Kept,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub name: String,
    pub why: String,
}

/// The answer of a night.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub removed: Vec<String>,
    pub kept: Vec<Reason>,
    pub failed: Vec<Reason>,
    /// What is saved: the price of the load balancers and addresses that are gone.
    pub saves: Rate,
    /// What goes on to cost: the price of those that still stand.
    pub stands: Rate,
    /// What the night's execution and its teardowns cost.
    pub execution_cost: RunCost,
    /// The counts, in one line.
    pub summary: String,
    /// `None` where there was nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
}

/// A mail as SNS takes it: a subject of at most 100 ASCII characters (API reference, Publish), and the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    pub subject: String,
    pub message: String,
}

/// Sums a night up. `own` is what its own execution cost. `standing` is a listing afterwards: the dollars an hour of each
/// environment that still has a load balancer. Without a listing, what was not removed counts as standing.
pub fn sum_up(
    stack: &str,
    run: &str,
    own: RunCost,
    outcomes: &[NightOutcome],
    standing: Option<&HashMap<String, Decimal>>,
) -> Summary {
    let of = |fate| outcomes.iter().filter(move |one| one.outcome == fate);
    let reasons = |fate| {
        of(fate).map(|one| Reason { name: one.name.clone(), why: one.why.clone().unwrap_or_default() }).collect()
    };
    let removed: Vec<String> = of(Fate::Removed).map(|one| one.name.clone()).collect();
    let (kept, failed): (Vec<Reason>, Vec<Reason>) = (reasons(Fate::Kept), reasons(Fate::Failed));
    let stands = |one: &NightOutcome| match standing {
        Some(standing) => standing.get(&one.name).copied().unwrap_or_default(),
        None if one.outcome == Fate::Removed => Decimal::ZERO,
        None => one.hourly,
    };
    // Where one failed, its load balancer may be gone all the same.
    let saves = |one: &NightOutcome| match one.outcome {
        Fate::Removed => one.hourly,
        Fate::Failed => one.hourly - stands(one),
        Fate::Kept => Decimal::ZERO,
    };
    let mut summary = Summary {
        saves: Rate::of(outcomes.iter().map(saves).sum()),
        stands: Rate::of(outcomes.iter().map(stands).sum()),
        execution_cost: outcomes.iter().map(|one| one.execution_cost).fold(own, RunCost::add),
        summary: format!("{} removed, {} kept, {} failed", removed.len(), kept.len(), failed.len()),
        mail: None,
        removed,
        kept,
        failed,
    };
    if !outcomes.is_empty() {
        summary.mail = Some(result(stack, run, &summary));
    }
    summary
}

/// Writes the mail an hour before: what will go, and how to keep it. Returns `None` where nothing goes.
pub fn notice(stack: &str, run: &str, now: SystemTime, standing: &[Standing]) -> Option<Mail> {
    let (kept, going): (Vec<&Standing>, Vec<&Standing>) = standing.iter().partition(|one| one.spared.is_some());
    let first = going.first()?;
    let rate = Rate::of(going.iter().map(|one| one.hourly).sum());
    let goes = |one: &&Standing| format!("{}   https://{}   ${} an hour", one.name, one.domain, one.hourly.normalize());
    let stays = |one: &&Standing| format!("{}   {}", one.name, one.spared.as_deref().unwrap_or_default());
    let mut parts = vec![
        format!("At {} stack {stack} takes down {}:", utc(now, NOTICE_SECONDS), counted(going.len())),
        lines(going.iter().map(goes)),
        format!(
            "That ends charges of ${} an hour. Certificates stay, and your old DNS records come back.",
            rate.hourly.normalize()
        ),
    ];
    if !kept.is_empty() {
        parts.extend(["These stay:".into(), lines(kept.iter().map(stays))]);
    }
    let arn = first.load_balancer.as_deref().unwrap_or("ARN");
    parts.push(format!(
        "To keep one, tag its load balancer {} with a time until which it stays, here {}'s until tomorrow:",
        tags::KEEP_UNTIL,
        first.name
    ));
    parts.push(format!(
        "  aws elbv2 add-tags --region {} --resource-arns {arn} --tags Key={},Value={}",
        region(run),
        tags::KEEP_UNTIL,
        rfc3339(now, 24 * 3600 + NOTICE_SECONDS),
    ));
    parts.push(format!("To keep them all tonight, stop this execution:\n  {}", console(run)));
    Some(Mail { subject: subject(&format!("{} to go in an hour", counted(going.len()))), message: parts.join("\n\n") })
}

/// Writes the mail afterwards: what went, what stayed and why, what failed.
fn result(stack: &str, run: &str, summary: &Summary) -> Mail {
    let Summary { removed, kept, failed, saves, stands, execution_cost, .. } = summary;
    let reason = |one: &Reason| format!("{}   {}", one.name, one.why);
    let mut parts = vec![format!("The night of stack {stack}: {}.", summary.summary)];
    if !failed.is_empty() {
        parts.push("Failed:".into());
        parts.push(lines(failed.iter().map(reason)));
        parts.push(format!(
            "What to do: the reason says it; then start {stack}-teardown with {{\"name\": \"{}\"}}.",
            failed[0].name
        ));
    }
    if !removed.is_empty() {
        parts.push(format!("Removed, which ends ${} an hour (${} a month):", saves.hourly.normalize(), saves.monthly));
        parts.push(lines(removed.iter().cloned()));
    }
    if !kept.is_empty() {
        parts.push("Kept:".into());
        parts.push(lines(kept.iter().map(reason)));
    }
    if stands.hourly > Decimal::ZERO {
        parts.push(format!("What stands costs ${} an hour (${} a month).", stands.hourly.normalize(), stands.monthly));
    }
    parts.push(format!("The night itself cost ${}: {}", execution_cost.dollars.normalize(), console(run)));
    Mail { subject: subject(&summary.summary), message: parts.join("\n\n") }
}

fn counted(environments: usize) -> String {
    format!("{environments} environment{}", if environments == 1 { "" } else { "s" })
}

fn subject(text: &str) -> String {
    format!("Albatross: {text}")
}

fn lines(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(LINES_A_MAIL);
    let shown = all.take(LINES_A_MAIL).map(|line| format!("  {line}"));
    shown.chain((more > 0).then(|| format!("  and {more} more"))).collect::<Vec<_>>().join("\n")
}

/// Returns the address of an execution's page in the console of its partition. template.yaml has the same addresses.
fn console(run: &str) -> String {
    let region = region(run);
    let console = match run.split(':').nth(1) {
        Some("aws-cn") => "console.amazonaws.cn",
        Some("aws-eusc") => "console.amazonaws-eusc.eu",
        Some("aws-us-gov") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{console}/states/home?region={region}#/v2/executions/details/{run}")
}

/// Returns the region that an ARN names.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

fn rfc3339(now: SystemTime, later: u64) -> String {
    let moment = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() + later;
    let moment = DateTime::from_secs(i64::try_from(moment).unwrap_or_default());
    moment.fmt(Format::DateTime).unwrap_or_default()
}

fn utc(now: SystemTime, later: u64) -> String {
    let text = rfc3339(now, later);
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RUN: &str = "arn:aws:states:us-east-1:123456789012:execution:albatross-nightly:one";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn links_follow_the_partition() {
        for (partition, region, host) in [
            ("aws", "us-east-1", "us-east-1.console.aws.amazon.com"),
            ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
            ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
            ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ] {
            let run = format!("arn:{partition}:states:{region}:123456789012:execution:albatross-nightly:one");
            let page = format!("https://{host}/states/home?region={region}#/v2/executions/details/{run}");
            assert_eq!(console(&run), page);
        }
    }

    fn standing(name: &str, spared: Option<&str>) -> Standing {
        Standing {
            name: name.into(),
            hourly: "0.0325".parse().unwrap(),
            spared: spared.map(Into::into),
            domain: format!("{name}.example.com"),
            load_balancer: Some(format!("arn:{name}")),
        }
    }

    fn outcome(name: &str, outcome: Fate, why: Option<&str>) -> NightOutcome {
        let execution_cost = RunCost { transitions: 5, dollars: "0.000125".parse().unwrap(), ..RunCost::default() };
        let hourly = "0.0325".parse().unwrap();
        NightOutcome { name: name.into(), outcome, why: why.map(Into::into), hourly, execution_cost }
    }

    #[test]
    fn an_environment_is_kept_until_its_time() {
        let tagged = |until: &str| [(tags::KEEP_UNTIL, until)].into_iter().collect::<Tags>();
        assert_eq!(kept(&tagged("1970-01-01T00:01:40Z"), at(99)).as_deref(), Some("kept until 1970-01-01T00:01:40Z"));
        assert_eq!(kept(&tagged("1970-01-01T00:01:40Z"), at(100)), None);
        assert!(kept(&tagged("christmas"), at(100)).unwrap().contains("\"christmas\" is not a date-time"));
        assert_eq!(kept(&Tags::default(), at(100)), None);
    }

    #[test]
    fn the_notice_says_what_goes_and_how_to_keep_it() {
        let mail = notice("albatross", RUN, at(0), &[standing("api", None), standing("shop", Some("kept until then"))]);
        let mail = mail.unwrap();
        assert_eq!(mail.subject, "Albatross: 1 environment to go in an hour");
        for part in [
            "At 1970-01-01 01:00 UTC stack albatross takes down 1 environment:\n\n  api   https://api.example.com   $0.0325 an hour",
            "These stay:\n\n  shop   kept until then",
            "aws elbv2 add-tags --region us-east-1 --resource-arns arn:api --tags Key=albatross:keep-until,Value=1970-01-02T01:00:00Z",
            "stop this execution:\n  https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/arn:aws:states",
        ] {
            assert!(mail.message.contains(part), "{part}\nis not in\n{}", mail.message);
        }
        assert_eq!(notice("albatross", RUN, at(0), &[standing("shop", Some("kept"))]), None);
    }

    #[test]
    fn the_summary_has_each_environment_and_the_money() {
        let outcomes = [
            outcome("api", Fate::Removed, None),
            outcome("web", Fate::Removed, None),
            outcome("shop", Fate::Kept, Some("kept until then")),
            outcome("blog", Fate::Failed, Some("StillDeleting: security group sg-1")),
        ];
        let own = RunCost { transitions: 20, dollars: "0.0005".parse().unwrap(), ..RunCost::default() };
        let summary = sum_up("albatross", RUN, own, &outcomes, None);
        assert_eq!(summary.removed, ["api", "web"]);
        assert_eq!(summary.saves, Rate::of("0.065".parse().unwrap()));
        assert_eq!(summary.stands, summary.saves);
        assert_eq!(summary.execution_cost.dollars, "0.001".parse().unwrap());
        assert_eq!(summary.execution_cost.transitions, 40);
        let mail = summary.mail.unwrap();
        assert_eq!(mail.subject, "Albatross: 2 removed, 1 kept, 1 failed");
        for part in [
            "blog   StillDeleting: security group sg-1\n\nWhat to do: the reason says it; then start albatross-teardown with {\"name\": \"blog\"}.",
            "Removed, which ends $0.065 an hour ($47.45 a month):\n\n  api\n  web",
            "Kept:\n\n  shop   kept until then",
            "The night itself cost $0.001: https://",
        ] {
            assert!(mail.message.contains(part), "{part}\nis not in\n{}", mail.message);
        }
        assert!(sum_up("albatross", RUN, own, &[], None).mail.is_none());
    }

    #[test]
    fn what_stands_is_what_a_listing_shows() {
        let outcomes = [outcome("api", Fate::Failed, Some("held")), outcome("web", Fate::Failed, Some("denied"))];
        let standing = HashMap::from([("web".to_owned(), "0.0325".parse().unwrap())]);
        let summary = sum_up("albatross", RUN, RunCost::default(), &outcomes, Some(&standing));
        assert_eq!(summary.stands.hourly, "0.0325".parse().unwrap());
        assert_eq!(summary.saves.hourly, "0.0325".parse().unwrap());
    }

    /// Step Functions passes at most 256 KiB from state to state, SNS takes as much.
    #[test]
    fn a_thousand_that_fail_fit_into_a_payload() {
        // As long a name as there is, and as much of the reason as nightly.asl.yaml leaves of it.
        let (name, why) = ("n".repeat(19), "\"".repeat(100));
        let outcomes = vec![outcome(&name, Fate::Failed, Some(&why)); 1000];
        let summary = sum_up("albatross", RUN, RunCost::default(), &outcomes, None);
        assert!(serde_json::to_string(&summary).unwrap().len() < 256 * 1024);
        assert!(summary.mail.unwrap().message.contains("and 950 more"));
    }
}

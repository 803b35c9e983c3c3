//! What AWS charges, in US dollars, and the sums that answers have. No I/O.
//!
//! Left out are traffic (load balancer capacity units, data transfer), tax and free tiers.

use std::ops::Add;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// The month in which AWS published the prices below.
pub const AS_OF: &str = "November 2025";

/// The region whose prices are used for one that is not listed.
const FALLBACK: &str = "us-east-1";

/// The prices that differ from region to region.
#[derive(Clone, Copy)]
struct Prices {
    region: &'static str,
    /// An Application Load Balancer for an hour, or a part of one.
    load_balancer_hour: Decimal,
    /// A thousand state transitions of a Standard workflow. A retry is a transition too.
    thousand_transitions: Decimal,
}

/// AWS's price feed, <https://b0.p.awsstatic.com>, `meteredUnitMaps`: `elb` of 2025-11-03, `states` of 2025-08-28, as
/// <https://github.com/v0rts/aws-price-watcher> keeps them. What <https://aws.amazon.com/elasticloadbalancing/pricing/>
/// said in September 2026 for us-east-1 was the same.
#[rustfmt::skip]
const REGIONS: [Prices; 34] = [
    of("us-east-1",      22_500, 25_000),
    of("us-east-2",      22_500, 25_000),
    of("us-west-1",      25_200, 27_900),
    of("us-west-2",      22_500, 25_000),
    of("af-south-1",     30_000, 29_750),
    of("ap-east-1",      27_700, 27_500),
    of("ap-east-2",      21_900, 22_500),
    of("ap-northeast-1", 24_300, 25_000),
    of("ap-northeast-2", 22_500, 27_100),
    of("ap-northeast-3", 24_300, 25_000),
    of("ap-south-1",     23_900, 28_500),
    of("ap-south-2",     23_900, 28_500),
    of("ap-southeast-1", 25_200, 25_000),
    of("ap-southeast-2", 25_200, 25_000),
    of("ap-southeast-3", 25_200, 25_000),
    of("ap-southeast-4", 25_200, 25_000),
    of("ap-southeast-5", 22_700, 22_500),
    of("ap-southeast-6", 26_460, 26_250),
    of("ap-southeast-7", 22_700, 22_500),
    of("ca-central-1",   24_750, 25_000),
    of("ca-west-1",      24_750, 25_000),
    of("eu-central-1",   27_000, 25_000),
    of("eu-central-2",   29_700, 28_000),
    of("eu-north-1",     23_940, 25_000),
    of("eu-south-1",     26_500, 26_250),
    of("eu-south-2",     25_200, 25_000),
    of("eu-west-1",      25_200, 25_000),
    of("eu-west-2",      26_460, 25_000),
    of("eu-west-3",      26_460, 29_700),
    of("il-central-1",   26_460, 26_250),
    of("me-central-1",   28_224, 27_500),
    of("me-south-1",     27_720, 27_500),
    of("mx-central-1",   23_625, 26_250),
    of("sa-east-1",      34_000, 37_500),
];

/// Makes a region's prices from millionths of a dollar.
const fn of(region: &'static str, load_balancer_hour: u32, thousand_transitions: u32) -> Prices {
    Prices {
        region,
        load_balancer_hour: decimal(load_balancer_hour, 6),
        thousand_transitions: decimal(thousand_transitions, 6),
    }
}

/// A public IPv4 address for an hour, whether an Elastic IP or not, in use or idle. It is the same in all these regions
/// (<https://aws.amazon.com/vpc/pricing/>).
const PUBLIC_IPV4_HOUR: Decimal = decimal(5, 3);
/// A function's gigabyte of memory for a second, in us-east-1 and most regions (<https://aws.amazon.com/lambda/pricing/>).
const GB_SECOND: Decimal = if cfg!(target_arch = "aarch64") { decimal(133_334, 10) } else { decimal(166_667, 10) };
/// An invocation of a function, whether it fails or not.
const REQUEST: Decimal = decimal(2, 7);
/// A month as AWS's calculator has it: a twelfth of 365 days of 24 hours.
const HOURS_A_MONTH: Decimal = decimal(730, 0);

/// Makes a decimal number of `digits`, `scale` of them behind the point.
const fn decimal(digits: u32, scale: u32) -> Decimal {
    Decimal::from_parts(digits, 0, 0, false, scale)
}

/// Dollars by the hour, and by the month of 730 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub hourly: Decimal,
    /// Rounded to the cent.
    pub monthly: Decimal,
}

impl Rate {
    pub fn of(hourly: Decimal) -> Self {
        Rate { hourly, monthly: cents(hourly * HOURS_A_MONTH) }
    }
}

/// Rounds to the cent.
fn cents(dollars: Decimal) -> Decimal {
    dollars.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// What everything that stands costs by the hour: the sum and its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    #[serde(flatten)]
    pub rate: Rate,
    pub items: Vec<Line>,
    /// The region and the date of the prices.
    pub prices: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub what: String,
    pub count: usize,
    pub hourly: Decimal,
}

/// Prices an environment whose load balancer spans `zones` Availability Zones, and whose instances have `addresses` public
/// IPv4 addresses.
pub fn environment(region: &str, zones: usize, addresses: usize) -> Cost {
    let line = |what: &str, count: usize, each: Decimal| Line {
        what: what.into(),
        count,
        hourly: each * Decimal::from(count),
    };
    let mut items = vec![
        line("load balancer", 1, prices(region).load_balancer_hour),
        line("public IPv4 of the load balancer, one a zone", zones, PUBLIC_IPV4_HOUR),
    ];
    if addresses > 0 {
        items.push(line("public IPv4 of the instances", addresses, PUBLIC_IPV4_HOUR));
    }
    Cost { rate: Rate::of(items.iter().map(|line| line.hourly).sum()), items, prices: source(region) }
}

/// Returns the dollars an hour of a load balancer in so many Availability Zones, with its addresses.
pub fn load_balancer(region: &str, zones: usize) -> Decimal {
    prices(region).load_balancer_hour + PUBLIC_IPV4_HOUR * Decimal::from(zones)
}

/// Returns the dollars an hour of a public IPv4 address.
pub fn address() -> Decimal {
    PUBLIC_IPV4_HOUR
}

/// Says which prices these are.
pub fn source(region: &str) -> String {
    match listed(region) {
        Some(_) => format!("{region}, {AS_OF}"),
        None => format!("{FALLBACK}, {AS_OF}, as those of {region} are not known here"),
    }
}

fn listed(region: &str) -> Option<Prices> {
    REGIONS.into_iter().find(|prices| prices.region == region)
}

fn prices(region: &str) -> Prices {
    listed(region).or_else(|| listed(FALLBACK)).expect("the fallback is listed")
}

/// What an execution has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub transitions: u64,
    /// How often functions were invoked.
    pub invocations: u64,
    /// How long functions ran, as Step Functions saw it: a little more than Lambda bills.
    pub milliseconds: u64,
}

/// What an execution itself cost, whatever it made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCost {
    pub transitions: u64,
    pub gb_seconds: Decimal,
    pub dollars: Decimal,
}

impl Add for RunCost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        RunCost {
            transitions: self.transitions + other.transitions,
            gb_seconds: self.gb_seconds + other.gb_seconds,
            dollars: self.dollars + other.dollars,
        }
    }
}

/// Prices what an execution has used. `memory` is each function's, in MB.
pub fn run(region: &str, usage: Usage, memory: u64) -> RunCost {
    let gb_seconds = Decimal::from(usage.milliseconds * memory) / decimal(1_024_000, 0);
    let dollars = Decimal::from(usage.transitions) * prices(region).thousand_transitions / decimal(1000, 0)
        + Decimal::from(usage.invocations) * REQUEST
        + gb_seconds * GB_SECOND;
    RunCost { transitions: usage.transitions, gb_seconds: gb_seconds.round_dp(3), dollars: dollars.round_dp(6) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dollars(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn an_environment_costs_its_load_balancer_and_addresses() {
        let cost = environment("us-east-1", 2, 0);
        assert_eq!(cost.rate, Rate { hourly: dollars("0.0325"), monthly: dollars("23.73") });
        assert_eq!(environment("us-east-1", 6, 0).rate.monthly, dollars("38.33"));
        assert_eq!(environment("us-east-1", 2, 1).rate.hourly, dollars("0.0375"));
        assert_eq!(load_balancer("us-east-1", 2), cost.rate.hourly);
        assert_eq!(
            serde_json::to_value(&cost).unwrap(),
            json!({
                "hourly": 0.0325, "monthly": 23.73, "prices": format!("us-east-1, {AS_OF}"),
                "items": [
                    {"what": "load balancer", "count": 1, "hourly": 0.0225},
                    {"what": "public IPv4 of the load balancer, one a zone", "count": 2, "hourly": 0.01},
                ],
            })
        );
    }

    #[test]
    fn a_region_that_is_not_listed_is_said() {
        let cost = environment("mars-north-1", 2, 0);
        assert_eq!(cost.rate, environment(FALLBACK, 2, 0).rate);
        assert!(cost.prices.contains("us-east-1") && cost.prices.contains("mars-north-1"));
        assert_eq!(environment("eu-central-1", 2, 0).rate.hourly, dollars("0.037"));
    }

    #[test]
    fn a_run_costs_transitions_requests_and_memory() {
        let cost = run("us-east-1", Usage { transitions: 1000, invocations: 1_000_000, milliseconds: 4000 }, 256);
        assert_eq!(cost.gb_seconds, dollars("1"));
        assert_eq!(cost.dollars, (dollars("0.025") + dollars("0.2") + GB_SECOND).round_dp(6));
    }

    #[test]
    fn the_readme_says_what_these_prices_make() {
        let readme = include_str!("../README.md");
        let hourly = environment(FALLBACK, 2, 0).rate.hourly;
        let days_a_month = dollars("365") / dollars("12");
        for (row, hours) in [
            ("Albatross, always on", HOURS_A_MONTH),
            ("nights off (14 hours a day)", dollars("14") * days_a_month),
            (
                "nights and weekends off (14 hours on weekdays)",
                dollars("14") * days_a_month * dollars("5") / dollars("7"),
            ),
            ("10 hours on 22 weekdays", dollars("220")),
            ("three hours, once", dollars("3")),
        ] {
            let said = format!("| {row} | ${:.2} |", cents(hourly * hours));
            assert!(readme.contains(&said), "{said}");
        }
    }
}

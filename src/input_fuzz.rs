//! Holds both parsers of inputs to their promises, whatever JSON they are given: good inputs, inputs with some fields spoilt,
//! and any JSON.

use std::cell::Cell;
use std::fmt::Debug;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::spec::input::{self, HealthCheck, Input, IpAddressType};
use crate::spec::names;
use crate::spec::teardown_input::TeardownInput;
use crate::teardown::Identity;

/// How many cases each property is tried with, in a second or two. `make fuzz` sets `PROPTEST_CASES` to more.
const CASES: u32 = 2_000;

type Json = BoxedStrategy<Value>;
/// A change of an input: the names that lead to a field, and the value that it gets. `None` removes the field.
type Edit = (Vec<String>, Option<Value>);

// --- Inputs ------------------------------------------------------------------------------------------------------

const DOMAINS: &[&str] = &[
    "api.example.com",
    "API.Example.com.",
    "a.rather.long.host.name.example.com",
    "bücher.example",
    "例え.テスト",
    "internal-x.example",
    "internal.example",
    "sg-1.example",
    "abc--d.example.com",
    "under-the-limit-of-19.de",
    "a-b---c.example",
    "1.2.3.example",
];
const INSTANCES: &[&str] = &["i-0abc1234def567890", "i-0abc1234def567891", "i-0abc1234def567892", "i-0abc1234"];
const SUBNETS: &[&str] = &["subnet-0abc1234def567890", "subnet-0abc1234def567891", "subnet-0abc1234"];
const CIDRS: &[&str] = &["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "192.0.2.7/32"];
const ARN: &str = "arn:aws:acm:us-east-1:123456789012:certificate/0f5c2a8e";

/// Returns a provision's fields, each with good values. `domain` and `instances` come first.
fn provision_fields() -> Vec<(&'static str, Json)> {
    vec![
        ("domain", text_of(DOMAINS)),
        ("instances", list_of(INSTANCES, 1)),
        ("name", text_of(&["web", "a", "nineteen-characters", "0-9"])),
        ("port", one_of([1, 80, 8080, 65_535].map(Value::from))),
        ("healthCheck", object_of(health_check_fields())),
        ("hostedZoneId", text_of(&["Z0123456789ABC"])),
        ("subnets", list_of(SUBNETS, 2)),
        ("allowedCidrs", list_of(CIDRS, 1)),
        ("tlsPolicy", text_of(&["ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"])),
        ("hstsMaxAge", one_of([0, 300, u32::MAX].map(Value::from))),
        ("redirect", one_of([301, 302].map(Value::from))),
        ("dropInvalidHeaders", one_of([true, false].map(Value::from))),
        ("ipAddressType", text_of(&["ipv4", "dualstack"])),
        ("certificateArn", text_of(&[ARN])),
        ("dns", text_of(&["takeover", "create-only", "overwrite"])),
        ("delegation", text_of(&["check", "trust"])),
        ("openInstanceGroup", one_of([true, false].map(Value::from))),
        ("onFailure", text_of(&["rollback", "keep"])),
        ("mode", text_of(&["apply", "plan"])),
        ("keepUntil", text_of(&["2026-12-24T18:00:00Z", "2026-12-24T18:00:00.5+09:00", "1970-01-01T00:00:00Z"])),
        ("putBack", one_of([json!([]), json!([{"type": "A", "value": "203.0.113.7", "instance": INSTANCES[0]}])])),
    ]
}

fn health_check_fields() -> Vec<(&'static str, Json)> {
    vec![
        ("path", text_of(&["/", "/health", "/up?deep=1"])),
        ("intervalSeconds", one_of([10, 30, 300].map(Value::from))),
        ("timeoutSeconds", one_of([2, 5, 9].map(Value::from))),
        ("healthyThreshold", one_of([2, 10].map(Value::from))),
        ("unhealthyThreshold", one_of([2, 10].map(Value::from))),
        ("matcher", text_of(&["200", "200,204", "200-299", "200-200,404,499"])),
    ]
}

fn teardown_fields() -> Vec<(&'static str, Json)> {
    vec![
        ("domain", text_of(DOMAINS)),
        ("name", text_of(&["web", "nineteen-characters"])),
        ("dryRun", one_of([true, false].map(Value::from))),
        ("certificate", text_of(&["keep", "delete"])),
        ("ownOnly", one_of([true, false].map(Value::from))),
        ("hostedZoneId", text_of(&["Z0123456789ABC"])),
        ("run", text_of(&["arn:aws:states:us-east-1:123456789012:execution:albatross-provision:one"])),
        ("night", text_of(&["arn:aws:states:us-east-1:123456789012:execution:albatross-nightly:one"])),
    ]
}

fn one_of<const N: usize>(values: [Value; N]) -> Json {
    select(values.to_vec()).boxed()
}

fn text_of(texts: &'static [&'static str]) -> Json {
    select(texts).prop_map(Value::from).boxed()
}

/// Gives lists of the first `least` texts, up to all of them.
fn list_of(texts: &'static [&'static str], least: usize) -> Json {
    (least..=texts.len()).prop_map(move |count| json!(texts[..count])).boxed()
}

/// Gives objects that have some of the fields.
fn object_of(fields: Vec<(&'static str, Json)>) -> Json {
    prop::collection::vec(field_of(fields), 0..5).prop_map(|fields| Value::Object(Map::from_iter(fields))).boxed()
}

fn field_of(fields: Vec<(&'static str, Json)>) -> BoxedStrategy<(String, Value)> {
    let fields =
        fields.into_iter().map(|(name, values)| values.prop_map(move |value| (name.to_owned(), value)).boxed());
    prop::strategy::Union::new(fields).boxed()
}

fn good_provision() -> Json {
    let fields = provision_fields();
    let [domains, instances] = [0, 1].map(|index| fields[index].1.clone());
    (domains, instances, object_of(fields[2..].to_vec()))
        .prop_map(|(domain, instances, mut input)| {
            input["domain"] = domain;
            input["instances"] = instances;
            input
        })
        .boxed()
}

fn good_teardown() -> Json {
    let fields = teardown_fields();
    (field_of(fields[..2].to_vec()), object_of(fields[2..].to_vec()))
        .prop_map(|((name, value), mut input)| {
            input[name] = value;
            input
        })
        .boxed()
}

/// Texts that are close to something valid, or are hard to handle; `|` separates them.
const AWKWARD: [&str; 9] = [
    "| |.|..|$|\0|a.b|a[0]|[0]|a b|1a|\u{1b}[31m|line\nbreak|\u{202e}evil|a\u{301}|ß|\"|]",
    "web |Web|-web|web-|a--b|internal|internal-web|sg|sg-web|twenty-characters-xx|ｗｅｂ",
    "a.b|a.1|1.1|1.2.3.4|0x7f.1|::1|*.example.com|example.com..|_a.de|a..b|-a.de|a-.de|a_b.de|ab--c.de|abc--d.de",
    "xn--a.de|xn--.de|xn--bcher-kva.example|x.co\u{3002}uk|soft\u{ad}hyphen.de|ß.de|ß.ß|\u{200d}.de|א1.de",
    "/\0|/ö|/a b|/\u{7f}|//|/%|200-199|200,|+20|200-299-300|٢٠٠",
    "i-|i-0ABC1234|i-0abc12345|subnet-|10.0.0.1|2001:db8::1|10.0.0.1/8|10.0.0.0/33|::/0|fe80::/10|::ffff:0:0/96|010.0.0.0/8|10.0.0.0/08|10/8",
    "ELBSecurityPolicy-|ELBSecurityPolicy-\0|elbsecuritypolicy-x|arn:|arn:aws:acm:|arn::acm:|all|All|ipv4|IPv4|keep",
    "2026-12-24|2026-12-24 18:00:00Z|2026-12-24t18:00:00z|2026-12-24T18:00:00,5Z|2026-12-24T24:00:00Z|2026-02-30T00:00:00Z",
    "1969-12-31T23:59:59Z|0000-01-01T00:00:00Z|9999-12-31T23:59:59-23:59|2026-12-24T23:59:60Z|2026-12-24T18:00:00+99:99",
];

/// Gives texts that somebody may write by mistake, or to see what happens.
fn text() -> BoxedStrategy<String> {
    let awkward = select(AWKWARD.iter().flat_map(|texts| texts.split('|')).collect::<Vec<_>>());
    let long =
        (select(vec!["a", "-", "a.", "ab--", "é", "😀", "9", "\u{1}", "a-b.", "/"]), 1..400_usize, any::<bool>())
            .prop_map(|(piece, times, ends)| piece.repeat(times) + if ends { ".example.com" } else { "" });
    let path = "[!-~]{0,8}".prop_map(|text| format!("/{text}"));
    let moment = (0..400_usize).prop_map(|digits| format!("2026-12-24T18:00:00.{}Z", "0".repeat(digits)));
    let host = "([a-z0-9]{1,4}-{0,3}[a-z0-9]{1,20}\\.){1,12}[a-z0-9]{1,3}";
    prop_oneof![6 => awkward.prop_map(Into::into), 2 => any::<String>(), 2 => long, 1 => path, 1 => moment, 2 => host]
        .boxed()
}

fn any_json() -> Json {
    let whole = select(vec![i64::MIN, -1, 0, 1, 2, 4, 5, 9, 10, 11, 120, 121, 301, 65_536, 1 << 32]);
    let broken = select(vec![0.5, 80.0, -0.0, 1e308]);
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => whole.prop_map(Value::from),
        1 => broken.prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        6 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
    .boxed()
}

/// Gives names of fields that there are, or any names.
fn key() -> BoxedStrategy<String> {
    let names =
        [provision_fields(), health_check_fields(), teardown_fields()].concat().into_iter().map(|(name, _)| name);
    let names: Vec<&str> = names.chain(["zones", "Comment", "takeover", "create-only", "all", "keep"]).collect();
    prop_oneof![3 => select(names).prop_map(Into::into), 1 => text()].boxed()
}

/// Gives changes that set or remove a field, or one inside it.
fn edit(fields: Vec<(&'static str, Json)>) -> BoxedStrategy<Edit> {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let own = select(names).prop_map(str::to_owned).boxed();
    let health = || select(health_check_fields().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    let path = prop_oneof![
        6 => own.clone().prop_map(|name| vec![name]),
        2 => health().prop_map(|name| vec!["healthCheck".into(), name.to_owned()]),
        2 => (own, key()).prop_map(|(name, inner)| vec![name, inner]),
        1 => key().prop_map(|name| vec![name]),
    ];
    (path, prop::option::weighted(0.9, any_json())).boxed()
}

/// Makes a change to an input. Where the path leads into a list, it appends to that.
fn apply(input: &mut Value, (path, value): Edit) {
    let (last, way) = path.split_last().expect("a name");
    let at = way.iter().fold(input, |at, name| &mut at[name.as_str()]);
    match (at, value) {
        (Value::Array(list), Some(value)) => list.push(value),
        (Value::Array(list), None) => drop(list.pop()),
        (Value::Object(object), None) => drop(object.remove(last)),
        (at @ (Value::Object(_) | Value::Null), Some(value)) => at[last.as_str()] = value,
        (at, value) => *at = value.unwrap_or_default(),
    }
}

/// Gives good inputs, inputs with up to three changes, and any JSON.
fn inputs(good: Json, fields: Vec<(&'static str, Json)>) -> Json {
    let edited = (good, prop::collection::vec(edit(fields), 0..4)).prop_map(|(mut input, edits)| {
        for edit in edits {
            apply(&mut input, edit);
        }
        input
    });
    prop_oneof![19 => edited, 1 => any_json()].boxed()
}

// --- Properties --------------------------------------------------------------------------------------------------

/// Returns what a JSON path leads to, if anything.
fn at<'a>(input: &'a Value, path: &str) -> Option<&'a Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut at = input;
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            (at, rest) = (at.as_object()?.get(&name[..end])?, &name[end..]);
        } else {
            let mut selectors = serde_json::Deserializer::from_str(rest.strip_prefix('[')?).into_iter::<Value>();
            at = match selectors.next()?.ok()? {
                Value::String(name) => at.as_object()?.get(&name)?,
                index => at.as_array()?.get(usize::try_from(index.as_u64()?).ok()?)?,
            };
            rest = rest[1 + selectors.byte_offset()..].strip_prefix(']')?;
        }
    }
    Some(at)
}

fn parse_teardown(input: &Value) -> Result<(TeardownInput, Identity)> {
    let input: TeardownInput = input::parse(input.clone())?;
    let identity = Identity::of("stack".into(), &input)?;
    Ok((input, identity))
}

fn parse_provision(input: &Value) -> Result<Input> {
    Input::parse(input.clone())
}

/// Tries a property with as many cases as are asked for.
fn check<S: Strategy>(cases: &S, holds: impl Fn(S::Value)) {
    let count = std::env::var("PROPTEST_CASES").map_or(CASES, |count| count.parse().expect("a number"));
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(cases, |case| {
        holds(case);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Tries that each input is either refused at something that is there, or accepted, and then `holds`.
fn refused_at_its_fault_or_holds<T: Debug>(inputs: Json, parse: fn(&Value) -> Result<T>, holds: fn(&Value, T)) {
    let (accepted, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    check(&inputs, |input| {
        let result = parse(&input);
        assert_eq!(format!("{result:?}"), format!("{:?}", parse(&input)));
        match result {
            Ok(parsed) => {
                accepted.set(accepted.get() + 1);
                holds(&input, parsed);
            }
            Err(Error::InvalidInput { path, problem }) => {
                refused.set(refused.get() + 1);
                assert!(at(&input, &path).is_some(), "{path} is not there ({problem})");
            }
            Err(other) => panic!("{other:?}"),
        }
    });
    let (accepted, refused) = (accepted.get(), refused.get());
    println!("{accepted} inputs accepted, {refused} refused");
    assert!(accepted.min(refused) * 10 > accepted + refused, "one-sided: {accepted} accepted, {refused} refused");
}

/// Tries that a good input is accepted, and that one with a single field spoilt is accepted or refused at that field.
fn refused_at_the_spoilt_field<T>(good: Json, fields: Vec<(&'static str, Json)>, parse: fn(&Value) -> Result<T>) {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    check(&(good, select(names), any_json()), |(mut input, name, value)| {
        parse(&input).unwrap();
        // Without its only name a teardown's input is refused as a whole.
        let is_gone = value.is_null();
        input[name] = value;
        if let Err(Error::InvalidInput { path, problem }) = parse(&input) {
            let rest = path.strip_prefix(&format!("$.{name}"));
            let is_at = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            assert!(is_at || (is_gone && path == "$"), "{name} was spoilt, {path} refused ({problem})");
        }
    });
}

/// ELB takes at most 32 letters, digits and hyphens, none of these first or last. EC2 takes no `sg-…`.
fn assert_name_fits(name: &str) {
    names::check(name).unwrap();
    for name in [names::load_balancer(name), names::target_group(name)] {
        assert!(name.len() <= 32, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
        assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
        assert!(!name.starts_with("internal-") && !name.starts_with("sg-"), "{name}");
    }
}

/// A host name comes out in one spelling, and leaves room in DNS's 253 characters for the lock record.
fn assert_domain_fits(domain: &str) {
    let labels: Vec<&str> = domain.split('.').collect();
    assert!(labels.len() >= 2 && labels[labels.len() - 1].len() >= 2, "{domain}");
    for label in labels {
        assert!((1..=63).contains(&label.len()), "{domain}");
        assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{domain}");
        assert!(!label.starts_with('-') && !label.ends_with('-'), "{domain}");
    }
    assert!(names::lock_record(domain).len() <= 253, "{domain}");
    assert_eq!(names::domain(domain).unwrap(), domain);
}

fn assert_ids(ids: &[String], prefix: &str) {
    for id in ids {
        let digits = id.strip_prefix(prefix).unwrap();
        assert!(matches!(digits.len(), 8 | 17), "{id}");
        assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    }
}

fn assert_health_check_fits(check: &HealthCheck) {
    assert!((5..=300).contains(&check.interval_seconds) && (2..=120).contains(&check.timeout_seconds));
    assert!(check.timeout_seconds < check.interval_seconds);
    assert!((2..=10).contains(&check.healthy_threshold) && (2..=10).contains(&check.unhealthy_threshold));
    assert!(check.path.starts_with('/') && check.path.len() <= 1024);
    assert!(check.path.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", check.path);
    assert!(check.matcher.split([',', '-']).all(|code| code.parse().is_ok_and(|code: u16| (200..500).contains(&code))));
}

fn provision_holds(given: &Value, input: Input) {
    assert_name_fits(&input.name());
    assert_domain_fits(&input.domain);
    assert!(input.domain.len() <= 64 || input.certificate_arn.is_some());
    assert!(!input.instances.is_empty());
    assert_ids(&input.instances, "i-");
    assert!(input.instances.iter().enumerate().all(|(index, id)| !input.instances[..index].contains(id)));
    assert_ids(input.subnets.as_deref().unwrap_or_default(), "subnet-");
    assert!(input.subnets.as_ref().is_none_or(|subnets| subnets.len() >= 2 && input.zones.is_none()));
    assert_ne!(input.port, 0);

    assert!(given["healthCheck"].is_null() || given["healthCheck"].is_object());
    assert_health_check_fits(&input.health_check);

    let cidrs = input.allowed_cidrs();
    assert!(!cidrs.is_empty());
    assert!(cidrs.iter().all(|cidr| cidr.trunc() == *cidr));
    // A group's 60 rules of a kind, on two ports.
    assert!(cidrs.iter().filter(|cidr| matches!(cidr, IpNet::V4(_))).count() <= 30);
    assert!(input.ip_address_type == IpAddressType::Dualstack || cidrs.iter().all(|cidr| matches!(cidr, IpNet::V4(_))));

    let policy = input.tls_policy.strip_prefix("ELBSecurityPolicy-").unwrap();
    assert!(
        !policy.is_empty() && policy.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        "{policy:?}"
    );
    // The value of a tag: at most 256 of letters, digits, spaces and these.
    let until = input.keep_until.as_deref().unwrap_or_default();
    assert!(
        until.len() <= 256 && until.chars().all(|c| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c)),
        "{until:?}"
    );

    // Teardown finds it by either.
    let by = |input: Value| parse_teardown(&input).unwrap().1;
    assert_eq!(by(json!({"name": input.name()})).name, input.name());
    let by_domain = by(json!({"domain": given["domain"]}));
    assert_eq!(by_domain.domain.as_deref(), Some(input.domain.as_str()));
    assert!(given["name"].is_string() || by_domain.name == input.name());
}

fn teardown_holds(_: &Value, (input, identity): (TeardownInput, Identity)) {
    assert_name_fits(&identity.name);
    assert_eq!(input.domain.is_some(), identity.domain.is_some());
    if let Some(domain) = &identity.domain {
        assert_domain_fits(domain);
        assert!(input.name.is_some() || identity.name == names::default(domain));
    }
}

#[test]
fn any_provision_input_is_refused_at_its_fault_or_holds() {
    refused_at_its_fault_or_holds(inputs(good_provision(), provision_fields()), parse_provision, provision_holds);
}

#[test]
fn any_teardown_input_is_refused_at_its_fault_or_holds() {
    refused_at_its_fault_or_holds(inputs(good_teardown(), teardown_fields()), parse_teardown, teardown_holds);
}

#[test]
fn a_provision_input_is_refused_at_the_spoilt_field() {
    refused_at_the_spoilt_field(good_provision(), provision_fields(), parse_provision);
}

#[test]
fn a_teardown_input_is_refused_at_the_spoilt_field() {
    refused_at_the_spoilt_field(good_teardown(), teardown_fields(), parse_teardown);
}

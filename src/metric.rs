//! CloudWatch metrics, written as lines of the function's own log: that takes no call and no permission (CloudWatch user guide,
//! embedded metric format). They describe the stack as a whole, not each environment, as AWS bills every combination of
//! dimensions as a metric of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

const NAMESPACE: &str = "Albatross";

/// A metric's name, its CloudWatch unit and its value.
pub type Metric = (&'static str, &'static str, Value);

/// Writes metrics of a stack, all with the present time.
pub fn emit(stack: &str, metrics: &[Metric]) {
    println!("{}", line(stack, SystemTime::now(), metrics));
}

fn line(stack: &str, now: SystemTime, metrics: &[Metric]) -> Value {
    let milliseconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let names: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": names});
    let head = json!({"_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}, "Stack": stack});
    let values: Map<String, Value> = metrics.iter().map(|(name, _, value)| ((*name).into(), value.clone())).collect();
    let Value::Object(mut line) = head else { unreachable!("json! made an object") };
    line.extend(values);
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_declares_its_metrics_and_has_their_values() {
        let metrics = [("EnvironmentsStanding", "Count", json!(3)), ("CostPerHour", "None", json!(0.0975))];
        assert_eq!(
            line("albatross", UNIX_EPOCH, &metrics),
            json!({
                "_aws": {
                    "Timestamp": 0,
                    "CloudWatchMetrics": [{
                        "Namespace": "Albatross",
                        "Dimensions": [["Stack"]],
                        "Metrics": [
                            {"Name": "EnvironmentsStanding", "Unit": "Count"},
                            {"Name": "CostPerHour", "Unit": "None"},
                        ],
                    }],
                },
                "Stack": "albatross",
                "EnvironmentsStanding": 3,
                "CostPerHour": 0.0975,
            })
        );
    }
}

//! The programs' own histograms, read through the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::Request;
use kube::{Client, ResourceExt};

/// Where Palisade runs, and where its programs answer.
const NAMESPACE: &str = "palisade-system";
const PORTS: [(&str, u16); 2] = [("palisade-controller", 9470), ("palisade-enforcer", 9471)];

/// The stages from a change to the kernel, in order: a name, and the series that measures it.
const SERIES: [(&str, &str); 7] = [
    (
        "watched → compiled",
        "palisade_controller_event_to_compiled_seconds",
    ),
    (
        "compiled → group written",
        "palisade_controller_compiled_to_written_seconds{kind=\"AddressGroup\"}",
    ),
    (
        "compiled → policies written",
        "palisade_controller_compiled_to_written_seconds{kind=\"PolicySlice\"}",
    ),
    (
        "compiled → rule set written",
        "palisade_controller_compiled_to_written_seconds{kind=\"NodeRuleSet\"}",
    ),
    (
        "published → kernel",
        "palisade_enforcer_published_to_kernel_seconds",
    ),
    (
        "received → kernel",
        "palisade_enforcer_commit_seconds{stage=\"total\"}",
    ),
    (
        "of that: commit",
        "palisade_enforcer_commit_seconds{stage=\"commit\"}",
    ),
];

/// The sum and the count of each series, over all replicas and nodes.
#[derive(Clone, Debug, Default)]
pub struct Stages(BTreeMap<&'static str, (f64, f64)>);

/// A stage between two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// From what to what.
    pub name: &'static str,
    /// How often it was gone through.
    pub count: u64,
    /// How long it took, on average.
    pub mean: Duration,
}

impl Stages {
    /// Reads all programs.
    pub async fn read(client: &Client) -> Result<Self> {
        let mut stages = Self::default();
        let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
        for pod in pods.list(&ListParams::default()).await? {
            let name = pod.name_any();
            let port = PORTS.iter().find(|(program, _)| name.starts_with(program));
            let Some((_, port)) = port else { continue };
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:{port}/proxy");
            let request = Request::new(path).get("metrics", &kube::api::GetParams::default())?;
            let text = client.request_text(request).await;
            stages.add(&text.with_context(|| format!("reading the metrics of {name}"))?);
        }
        Ok(stages)
    }

    fn add(&mut self, text: &str) {
        for (_, series) in SERIES {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let value = |suffix: &str| -> f64 {
                let wanted = match labels {
                    "" => format!("{name}_{suffix} "),
                    labels => format!("{name}_{suffix}{{{labels} "),
                };
                let lines = text.lines().filter_map(|line| line.strip_prefix(&wanted));
                lines.filter_map(|value| value.trim().parse::<f64>().ok()).sum()
            };
            let (sum, count) = self.0.entry(series).or_default();
            *sum += value("sum");
            *count += value("count");
        }
    }

    /// What happened from an earlier reading to this one.
    pub fn since(&self, earlier: &Self) -> Vec<Stage> {
        let of = |stages: &Self, series| stages.0.get(series).copied().unwrap_or_default();
        SERIES
            .into_iter()
            .map(|(name, series)| {
                let (now, before) = (of(self, series), of(earlier, series));
                let (sum, count) = (now.0 - before.0, now.1 - before.1);
                let mean = if count > 0.0 { sum / count } else { 0.0 };
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "counts are whole and small"
                )]
                let count = count as u64;
                Stage {
                    name,
                    count,
                    mean: Duration::try_from_secs_f64(mean).unwrap_or_default(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_the_difference_of_two_readings_over_all_programs() {
        let text = |sum: f64, count: u64| {
            format!(
                "palisade_controller_event_to_compiled_seconds_sum {sum}\n\
                 palisade_controller_event_to_compiled_seconds_count {count}\n\
                 palisade_enforcer_commit_seconds_sum{{stage=\"total\"}} {sum}\n\
                 palisade_enforcer_commit_seconds_count{{stage=\"total\"}} {count}\n\
                 palisade_enforcer_commit_seconds_sum{{stage=\"plan\"}} 9\n"
            )
        };
        let (mut before, mut now) = (Stages::default(), Stages::default());
        before.add(&text(0.5, 1));
        now.add(&text(0.5, 1));
        now.add(&text(0.75, 2));
        let stages = now.since(&before);
        let named = |name| stages.iter().find(|stage| stage.name == name).unwrap();
        assert_eq!(named("watched → compiled").mean, Duration::from_millis(375));
        assert_eq!(named("received → kernel").count, 2);
        assert_eq!(named("of that: commit").count, 0);
    }
}

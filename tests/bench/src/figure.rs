//! One thing that was measured, and what it should be.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Repeated measurements of one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The bench.
    pub(crate) bench: String,
    /// Its case.
    pub(crate) case: String,
    /// What was measured.
    pub(crate) what: String,
    /// In what.
    pub(crate) unit: Unit,
    /// What came out.
    pub(crate) spread: Spread,
    /// What should come out.
    pub(crate) target: Option<Target>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Count,
    PerSecond,
}

/// The least, the middle, the 99th of 100 and the most of some measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The most that a part of a spread should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) part: Part,
    pub(crate) most: f64,
}

/// A part of a spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Part {
    P50,
    P99,
    Max,
}

impl Spread {
    /// The spread of some measurements; all zero where there are none.
    pub(crate) fn of(measured: impl IntoIterator<Item = f64>) -> Self {
        let mut measured: Vec<f64> = measured.into_iter().collect();
        measured.sort_by(f64::total_cmp);
        let count = measured.len();
        let at = |percent: usize| {
            let position = count.saturating_sub(1) * percent / 100;
            measured.get(position).copied().unwrap_or_default()
        };
        Self {
            count,
            min: at(0),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }

    /// A part of it.
    pub(crate) fn part(&self, part: Part) -> f64 {
        match part {
            Part::P50 => self.p50,
            Part::P99 => self.p99,
            Part::Max => self.max,
        }
    }
}

impl Figure {
    /// Times, in seconds.
    pub(crate) fn times(what: &str, times: impl IntoIterator<Item = Duration>) -> Self {
        let seconds = times.into_iter().map(|time| time.as_secs_f64());
        Self::new(what, Unit::Seconds, Spread::of(seconds))
    }

    /// A number of bytes.
    pub(crate) fn bytes(what: &str, bytes: f64) -> Self {
        Self::new(what, Unit::Bytes, Spread::of([bytes]))
    }

    /// Numbers of something.
    pub(crate) fn counts(what: &str, counts: impl IntoIterator<Item = f64>) -> Self {
        Self::new(what, Unit::Count, Spread::of(counts))
    }

    pub(crate) fn new(what: &str, unit: Unit, spread: Spread) -> Self {
        Self {
            bench: String::new(),
            case: String::new(),
            what: what.to_owned(),
            unit,
            spread,
            target: None,
        }
    }

    /// With a target, in its unit, where there is one.
    #[must_use]
    pub(crate) fn at_most(mut self, part: Part, most: impl Into<Option<f64>>) -> Self {
        self.target = most.into().map(|most| Target { part, most });
        self
    }

    /// Whether it is what it should be.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let target = self.target?;
        Some(self.spread.part(target.part) <= target.most)
    }

    /// What should have come out is this share of what did: 2 is twice as good as it should be. None where one of them is nothing.
    pub(crate) fn margin(&self) -> Option<f64> {
        let target = self.target?;
        let value = self.spread.part(target.part);
        (value > 0.0 && target.most > 0.0).then_some(target.most / value)
    }
}

impl Unit {
    /// A value with its unit, for people.
    pub(crate) fn show(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let scaled = |steps: &[(f64, &str)]| {
            let step = steps
                .iter()
                .find(|(step, _)| value.abs() >= *step)
                .or(steps.last());
            step.map_or_else(String::new, |(step, name)| {
                let scaled = value / step;
                let digits = if scaled.abs() >= 100.0 {
                    0
                } else if scaled.abs() >= 10.0 {
                    1
                } else {
                    2
                };
                format!("{scaled:.digits$} {name}")
            })
        };
        match self {
            Self::Seconds => scaled(&[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]),
            Self::Bytes => scaled(&[(1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1.0, "B")]),
            Self::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Count => format!("{value:.2}"),
            Self::PerSecond => scaled(&[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")]),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_of_nothing_is_met_by_nothing_and_has_no_margin() {
        let figure = |value, most| Figure::counts("lost", [value]).at_most(Part::Max, most);
        let told = |figure: Figure| (figure.is_met(), figure.margin());
        assert_eq!(told(figure(0.0, 0.0)), (Some(true), None));
        assert_eq!(told(figure(3.0, 0.0)), (Some(false), None));
        assert_eq!(told(figure(-1.0, 2.0)), (Some(true), None));
        assert_eq!(told(figure(1.0, 2.0)), (Some(true), Some(2.0)));
        assert_eq!(told(figure(4.0, 2.0)), (Some(false), Some(0.5)));
        assert_eq!(told(Figure::counts("sent", [1.0])), (None, None));
    }
}

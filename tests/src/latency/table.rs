//! Figures for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::round::{Figures, Round};

/// The figures of all rounds, in milliseconds.
pub fn table(rounds: &[Round]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{:>9}  {:8} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "policies", "figure", "repeats", "min ms", "p50 ms", "p99 ms", "max ms"
    );
    for round in rounds {
        for (name, figures) in [("T_allow", &round.allow), ("T_deny", &round.deny)] {
            let _ = writeln!(text, "{}", line(round.policies, name, figures));
        }
    }
    text.push('\n');
    for Round { policies, births, .. } in rounds {
        let _ = writeln!(
            text,
            "T_pod_protect at {policies} policies, {}",
            births.describe()
        );
    }
    for round in rounds {
        let _ = writeln!(text, "\nstages at {} policies, mean of all", round.policies);
        for stage in &round.stages {
            let _ = writeln!(
                text,
                "  {:28} {:>8} ms  ({} times)",
                stage.name,
                millis(stage.mean),
                stage.count
            );
        }
    }
    text
}

fn line(policies: usize, name: &str, figures: &Figures) -> String {
    let [min, half, most, max] = [0, 50, 99, 100].map(|part| millis(figures.percentile(part)));
    format!(
        "{policies:>9}  {name:8} {:>7} {min:>8} {half:>8} {most:>8} {max:>8}",
        figures.count()
    )
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}

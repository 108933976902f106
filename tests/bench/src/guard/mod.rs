//! `make guard`: whether what Palisade does all day still takes as many instructions as when somebody last looked.
//!
//! Times tell nothing on a machine that is busy with something else; instructions do. Callgrind counts those of five scenarios,
//! each in a process of its own, and they are compared with `tests/bench/baseline.json`. What takes a sixth more fails: counts
//! of equal programs differ by less than a hundredth (hashes are keyed at random), and those of two machines by what the C library
//! chooses for their processors.

mod baseline;
mod scenario;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{CellAlignment, Table, TableStyle};

use baseline::Baseline;
pub(crate) use scenario::Scenario;

/// Where it is kept which function took how many.
const PROFILES: &str = "target/guard";

/// How many times the baseline a count may be.
const BOUND: f64 = 1.15;

/// A count below this many times the baseline should become the new one, or the next change may lose it unseen.
const BETTER: f64 = 0.9;

/// Counts all scenarios; compares them with a baseline, or makes them the new one.
pub(crate) fn run(path: &Path, accept: bool) -> Result<()> {
    let mut counted = Baseline::of_this_compiler()?;
    let directory = Path::new(PROFILES);
    fs::create_dir_all(directory).with_context(|| format!("cannot make {PROFILES}"))?;
    for scenario in Scenario::ALL {
        let profile = directory.join(format!("{}.callgrind", scenario.name()));
        let instructions = count(scenario, &profile).with_context(|| scenario.name())?;
        counted
            .instructions
            .insert(scenario.name().to_owned(), instructions);
    }
    if accept {
        counted.write(path)?;
        println!("{}", table(&counted, &counted));
        return Ok(());
    }
    let expected = Baseline::read(path)?;
    println!("{}", table(&expected, &counted));
    judge(&expected, &counted, directory)
}

/// Counts the instructions of a scenario in a process of its own, and keeps where they went.
fn count(scenario: Scenario, profile: &Path) -> Result<u64> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(profile);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={}", scenario::COUNTED))
        .arg(out)
        .arg(program)
        .args(["scenario", scenario.name()])
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind (Debian package valgrind)")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = fs::read_to_string(profile).with_context(|| format!("cannot read {}", profile.display()))?;
    let instructions = total(&text).context("callgrind wrote no total")?;
    ensure!(instructions > 0, "callgrind did not find {}", scenario::COUNTED);
    Ok(instructions)
}

/// The sum over a profile (callgrind's format: a line `totals: N` for the one event that is counted).
fn total(profile: &str) -> Option<u64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    line.and_then(|number| number.trim().parse().ok())
}

/// How many times the first the second is.
fn ratio(expected: u64, counted: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let [expected, counted] = [expected, counted].map(|count| count as f64);
    counted / expected
}

fn table(expected: &Baseline, counted: &Baseline) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header(["scenario", "instructions", "baseline", "ratio"]);
    for (name, count) in &counted.instructions {
        let before = expected.instructions.get(name);
        table.add_row([
            name.clone(),
            count.to_string(),
            before.map_or_else(|| "none".to_owned(), ToString::to_string),
            before.map_or_else(String::new, |before| format!("{:.3}", ratio(*before, *count))),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// Says what is wrong, and what to do about it.
fn judge(expected: &Baseline, counted: &Baseline, profiles: &Path) -> Result<()> {
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, count) in &counted.instructions {
        let Some(before) = expected.instructions.get(name) else {
            failed.push(format!("{name}: there is no baseline for it"));
            continue;
        };
        let ratio = ratio(*before, *count);
        if ratio > BOUND {
            failed.push(format!(
                "{name}: {count} instructions, {ratio:.2} times the baseline of {before}; the bound is {BOUND}"
            ));
        } else {
            passed += 1;
            if ratio < BETTER {
                println!(
                    "{name} takes {ratio:.2} of what it took: `make guard-accept` keeps that from being lost again"
                );
            }
        }
    }
    let gone = expected
        .instructions
        .keys()
        .filter(|name| !counted.instructions.contains_key(*name));
    failed.extend(gone.map(|name| format!("{name}: it has a baseline, but there is no such scenario")));
    println!("guard: {passed} passed, {} failed", failed.len());
    if failed.is_empty() {
        return Ok(());
    }
    let mut advice = format!(
        "Where they went: callgrind_annotate {}/NAME.callgrind, of this change and of the one before.\n\
         If the change is worth it: `make guard-accept`, and say in the commit why.",
        profiles.display()
    );
    if expected.compiler != counted.compiler {
        advice = format!(
            "The baseline was counted with {}, this with {}: count the change before with this compiler first.\n{advice}",
            expected.compiler, counted.compiler
        );
    }
    bail!("{}\n{advice}", failed.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(compiler: &str, counts: &[(&str, u64)]) -> Baseline {
        Baseline {
            compiler: compiler.to_owned(),
            instructions: counts
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
        }
    }

    fn told(expected: &Baseline, counted: &Baseline) -> String {
        judge(expected, counted, Path::new("there"))
            .map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_takes_a_sixth_more_fails_and_what_takes_less_does_not() {
        let before = baseline("one", &[("event", 1_000)]);
        assert_eq!(told(&before, &baseline("one", &[("event", 1_150)])), "fine");
        assert_eq!(told(&before, &baseline("one", &[("event", 10)])), "fine");
        let failure = told(&before, &baseline("one", &[("event", 1_151)]));
        assert!(
            failure.starts_with("event: 1151 instructions, 1.15 times the baseline of 1000"),
            "{failure}"
        );
        assert!(
            failure.contains("callgrind_annotate there/NAME.callgrind"),
            "{failure}"
        );
    }

    #[test]
    fn a_scenario_without_a_baseline_and_a_baseline_without_a_scenario_fail() {
        let failure = told(&baseline("one", &[("gone", 1)]), &baseline("one", &[("new", 1)]));
        assert!(failure.contains("new: there is no baseline"), "{failure}");
        assert!(failure.contains("gone: it has a baseline"), "{failure}");
    }

    #[test]
    fn another_compiler_is_the_first_thing_to_know_of_a_failure() {
        let failure = told(
            &baseline("one", &[("event", 10)]),
            &baseline("two", &[("event", 20)]),
        );
        assert!(failure.contains("counted with one, this with two"), "{failure}");
    }

    #[test]
    fn the_total_of_a_profile_is_read() {
        assert_eq!(
            total("events: Ir\nfn=(1) a\n3 4\ntotals: 123456\n"),
            Some(123_456)
        );
        assert_eq!(total("events: Ir\n"), None);
    }
}

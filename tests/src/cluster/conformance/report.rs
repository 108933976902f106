//! What the suite says of its specs, as it writes it for other programs (`junit_01.xml`).

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// How many specs on network policies the pinned suite has.
const SPECS: usize = 50;

/// How a spec ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, with what the suite says of it.
    Failed(String),
    /// It skipped itself, or was not selected.
    Skipped(Option<String>),
    /// It was left out for a reason that is known beforehand.
    Excused(String),
}

/// A spec that the suite knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its full name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// All that a run said.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The specs, in the suite's order.
    pub specs: Vec<Spec>,
    /// How long the whole run took.
    pub elapsed: Duration,
}

/// Specs by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They hold.
    pub passed: usize,
    /// They do not.
    pub failed: usize,
    /// Nobody knows.
    pub skipped: usize,
    /// Left out for a known reason.
    pub excused: usize,
}

impl Report {
    /// Reads a report.
    pub(super) fn read(xml: &str) -> Result<Self> {
        let mut reader = Reader::from_str(xml);
        let mut report = Self::default();
        loop {
            match reader.read_event().context("reading the suite's report")? {
                Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                    "testcase" => report.specs.push(spec(&tag)?),
                    "failure" | "error" => {
                        if let Some(spec) = report.specs.last_mut() {
                            let message = attribute(&tag, "message")?.unwrap_or_default();
                            spec.outcome = Outcome::Failed(message);
                        }
                    }
                    "skipped" => {
                        if let Some(spec) = report.specs.last_mut() {
                            let message = attribute(&tag, "message")?;
                            let reason = message.and_then(|text| Some(text.split_once(" - ")?.1.to_owned()));
                            spec.outcome = Outcome::Skipped(reason);
                        }
                    }
                    _ => {}
                },
                Event::Eof => return Ok(report),
                _ => {}
            }
        }
    }

    /// Forgets all specs but those with such names.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.specs.retain(|spec| wanted(&spec.name));
    }

    /// Forgets the specs that were not selected.
    pub(super) fn forget_unselected(&mut self) {
        self.specs.retain(|spec| spec.outcome != Outcome::Skipped(None));
    }

    /// Excuses the specs with such names that did not run.
    pub(super) fn excuse(&mut self, known: impl Fn(&str) -> bool, reason: &str) {
        for spec in &mut self.specs {
            if spec.outcome == Outcome::Skipped(None) && known(&spec.name) {
                spec.outcome = Outcome::Excused(reason.to_owned());
            }
        }
    }

    /// How many ended how.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for spec in &self.specs {
            match spec.outcome {
                Outcome::Passed => count.passed += 1,
                Outcome::Failed(_) => count.failed += 1,
                Outcome::Skipped(_) => count.skipped += 1,
                Outcome::Excused(_) => count.excused += 1,
            }
        }
        count
    }

    /// Fails unless every spec that ran passed and none was left out without being excused.
    pub fn verdict(&self) -> Result<()> {
        let count = self.count();
        if count.failed > 0 || count.skipped > 0 {
            bail!(
                "{} specs failed and {} were skipped without a known reason",
                count.failed,
                count.skipped
            );
        }
        if count.passed == 0 {
            bail!("no spec ran");
        }
        Ok(())
    }

    /// Fails also when the run did not have all specs on network policies.
    pub fn full_verdict(&self) -> Result<()> {
        self.verdict()?;
        if self.specs.len() != SPECS {
            bail!(
                "the suite has {} specs on network policies, not {SPECS}",
                self.specs.len()
            );
        }
        Ok(())
    }
}

fn spec(tag: &BytesStart<'_>) -> Result<Spec> {
    let name = attribute(tag, "name")?.context("a test case without a name")?;
    let status = attribute(tag, "status")?;
    let time = attribute(tag, "time")?;
    let seconds = time
        .map_or(Ok(0.0), |time| time.parse())
        .context("the time of a test case")?;
    let outcome = match status.as_deref() {
        Some("passed") => Outcome::Passed,
        Some("skipped" | "pending") => Outcome::Skipped(None),
        other => Outcome::Failed(other.unwrap_or("without a status").to_owned()),
    };
    Ok(Spec {
        name,
        outcome,
        seconds,
    })
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    let found = tag
        .try_get_attribute(name)
        .context("an attribute of the suite's report")?;
    found
        .map(|attribute| {
            Ok(attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .context("an attribute of the suite's report")?
                .into_owned())
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5"><testsuite name="Kubernetes e2e suite"><properties><property name="SuiteSucceeded" value="false"></property></properties>
  <testcase name="Netpol should pass" status="passed" time="4.25"></testcase>
  <testcase name="Netpol &#39;fails&#39;" status="failed" time="23.1">
    <failure message="Had 6 wrong results" type="failed">text</failure><system-err>a &gt; b</system-err></testcase>
  <testcase name="Netpol skips itself" status="skipped" time="1"><skipped message="skipped - not here"></skipped></testcase>
  <testcase name="Netpol SCTPConnectivity" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
  <testcase name="Something else" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
</testsuite></testsuites>"#;

    fn report() -> Report {
        let mut report = Report::read(JUNIT).unwrap();
        report.keep(|name| name.contains("Netpol"));
        report.excuse(|name| name.contains("SCTP"), "no sockets");
        report
    }

    #[test]
    fn specs_are_read_with_how_they_ended() {
        let report = report();
        let outcomes: Vec<_> = report.specs.iter().map(|spec| spec.outcome.clone()).collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Passed,
                Outcome::Failed("Had 6 wrong results".into()),
                Outcome::Skipped(Some("not here".into())),
                Outcome::Excused("no sockets".into()),
            ]
        );
        assert_eq!(report.specs[1].name, "Netpol 'fails'");
        assert!((report.specs[0].seconds - 4.25).abs() < f64::EPSILON);
    }

    #[test]
    fn one_failure_or_one_unknown_skip_spoils_a_run() {
        let mut report = report();
        assert!(report.verdict().is_err());
        report
            .specs
            .retain(|spec| !matches!(spec.outcome, Outcome::Failed(_)));
        assert!(report.verdict().is_err());
        report
            .specs
            .retain(|spec| !matches!(spec.outcome, Outcome::Skipped(_)));
        assert!(report.verdict().is_ok());
    }

    #[test]
    fn a_run_of_few_specs_is_not_a_full_one() {
        let mut report = report();
        report.specs.truncate(1);
        assert!(report.verdict().is_ok() && report.full_verdict().is_err());
        assert!(Report::default().verdict().is_err());
    }
}

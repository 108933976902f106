//! Reports as pictures: what a page of figures is read for at a glance.
//!
//! A [bar chart](bars) has a row for each thing, a [line chart](lines) the cases of a bench from left to right and a line for each
//! figure. Both name the machine and the day. A chart of which a report has no figures is not drawn.

mod bars;
mod canvas;
mod lines;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::figure::Figure;
use crate::report::Report;
use bars::{Bar, Bars};
use lines::{Line, Lines};

/// Draws all that a report has figures for into a directory, and returns the files.
pub(crate) fn draw(report: &Report, directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let about = format!("{} · {}", report.date(), report.machine.short());
    let path = |name: &str| directory.join(format!("{name}.svg"));
    let mut files = Vec::new();
    for (name, bars) in [("compile", compile(report)), ("event", events(report))] {
        if !bars.rows.is_empty() {
            let path = path(name);
            bars.draw(&path, &about)?;
            files.push(path);
        }
    }
    for (name, lines) in charts(report) {
        if !lines.figures.is_empty() {
            let path = path(&name);
            lines.draw(&path, &about)?;
            files.push(path);
        }
    }
    Ok(files)
}

fn of(report: &Report, bench: Bench) -> impl Iterator<Item = &Figure> {
    let name = bench.to_string();
    report.figures.iter().filter(move |figure| figure.bench == name)
}

/// How long clusters take to compile, beside how long they should.
fn compile(report: &Report) -> Bars {
    let times = of(report, Bench::Compile).filter(|figure| figure.what == "time");
    let rows = times.map(|figure| {
        let bar = Bar {
            value: figure.spread.p50,
            target: figure.target.map(|target| target.most),
        };
        (figure.case.clone(), vec![bar])
    });
    Bars {
        title: "A whole cluster, compiled from memory by one thread".to_owned(),
        kinds: vec!["p50".to_owned()],
        rows: rows.collect(),
    }
}

/// How long an event takes by its kind, in two clusters.
fn events(report: &Report) -> Bars {
    let cases = ["W5", "W8"];
    let times: Vec<&Figure> = of(report, Bench::Event)
        .filter(|figure| figure.unit == crate::figure::Unit::Seconds)
        .collect();
    let mut kinds: Vec<&str> = Vec::new();
    for figure in &times {
        if !kinds.contains(&&*figure.what) {
            kinds.push(&figure.what);
        }
    }
    let rows = kinds.into_iter().map(|kind| {
        let bars = cases.iter().flat_map(|case| {
            let found = times
                .iter()
                .find(|figure| figure.what == kind && figure.case == *case);
            let spread = found.map(|figure| figure.spread);
            [spread.map(|spread| spread.p50), spread.map(|spread| spread.p99)]
        });
        let bars = bars.map(|value| Bar {
            value: value.unwrap_or_default(),
            target: None,
        });
        (kind.to_owned(), bars.collect())
    });
    let kinds = cases
        .iter()
        .flat_map(|case| [format!("{case} p50"), format!("{case} p99")]);
    Bars {
        title: "One event on a loaded cluster, until what is to be published is known".to_owned(),
        kinds: kinds.collect(),
        rows: rows.collect(),
    }
}

/// What is drawn as lines over cases.
fn charts(report: &Report) -> Vec<(String, Lines)> {
    let packet: Vec<&Figure> = of(report, Bench::Packet).collect();
    let mut charts = vec![(
        "memory".to_owned(),
        Lines::of(
            "Memory of the controller for each pod, over the size of the cluster",
            "pods",
            of(report, Bench::Memory).filter(|figure| figure.what.ends_with("a pod")),
        ),
    )];
    for (case, title, axis) in [
        (
            "policies",
            "Round trip over the policies on both pods",
            "policies on each pod",
        ),
        (
            "bridge",
            "Round trip over the policies on both pods, bridged",
            "policies on each pod",
        ),
        (
            "pods",
            "Round trip over the pods of the node, 100 policies",
            "pods of the node",
        ),
    ] {
        let times = || {
            let own = packet.iter().copied().filter(move |figure| {
                figure.case.split('/').next() == Some(case) && figure.what.contains("packet")
            });
            own.filter(|figure| !figure.what.contains('−'))
        };
        let absolute = times().filter(|figure| !figure.what.contains("over conntrack"));
        let mut lines = Lines::of(title, axis, absolute);
        lines.references = references(times());
        charts.push((format!("packet-{case}"), lines));
        let over = times().filter(|figure| figure.what.contains("over conntrack"));
        let title = format!("{title}: more than conntrack alone");
        charts.push((
            format!("packet-{case}-over-conntrack"),
            Lines::of(&title, axis, over),
        ));
    }
    // Without their parts, the same times again beside another target, and the way back, which takes as long.
    let changes = of(report, Bench::Apply)
        .filter(|figure| !figure.what.contains([':', ',']) && !figure.what.ends_with(" back"));
    charts.push((
        "apply".to_owned(),
        Lines::of(
            "A change on a node, from the event to the kernel",
            "policies of the node",
            changes,
        ),
    ));
    charts
}

/// What the same packets take without policies.
fn references<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<Line> {
    let references = figures.filter(|figure| !figure.what.contains("over conntrack"));
    let lines = references.filter_map(|figure| {
        let (_, case) = figure.case.split_once('/')?;
        let is_reference = matches!(case, "no rules" | "conntrack alone");
        is_reference.then(|| Line {
            name: format!("{}, {case}", figure.what),
            points: vec![(String::new(), figure.spread.p50)],
            target: None,
        })
    });
    lines.collect()
}

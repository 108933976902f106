//! B6: what rules cost a packet.
//!
//! Asked is for a difference of some hundred nanoseconds in round trips of some microseconds, on a machine that others use too. So
//! all sets of rules are there at the same time, each on a node of its own in one kernel, and are measured in turn: slices of some
//! hundred packets, ten slices a round, many rounds. What is compared is the middle of a round with the middle of conntrack alone in
//! the same round; the middle of these differences is the figure, and its spread is that of the rounds. [`path`] says how a round
//! trip is taken.
//!
//! One node has conntrack alone a second time. Its difference to the first should be nothing, and what it is says how far the others
//! can be believed: on two busy processors 0 to 40 ns, where rounds in one piece had the same middle but some ten times the spread.
//! Another has the check of source addresses besides, which every packet of a pod meets whatever its policies are. Where pods are on
//! bridges, one more has the least that closes a port whose pod is not known.
//!
//! The worst is measured: the policies of a node select both pods in both directions, and only the last of them allows what is sent,
//! so that a first packet passes the egress rules of one pod and the ingress rules of the other.

mod path;
mod rounds;
mod site;

use anyhow::{Context, Result};
use palisade_tests::bed::Topology;

use crate::figure::{Figure, Part, Spread, Unit};
use rounds::{Measured, Round, Series, median};
use site::{Rules, Site};

pub(crate) const CASES: [&str; 3] = ["policies", "pods", "bridge"];

/// Seconds that a round trip may take more than under conntrack alone.
const FIRST: f64 = 1e-6;
const ESTABLISHED: f64 = 0.5e-6;

/// The policies of the case `pods`.
const BESIDE_PODS: usize = 100;

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        match case {
            "policies" => {
                let counts = [0, 1, 10, 100, 1_000, 10_000].map(Rules::Policies);
                by_policies(Topology::Routed, &counts, &[Rules::Shapes(1_000)], 40).await
            }
            "bridge" => {
                let counts = [0, 1, 100, 10_000].map(Rules::Policies);
                by_policies(Topology::Bridge, &counts, &[Rules::Ports], 25).await
            }
            _ => by_pods().await,
        }
    })
}

/// No rules, conntrack alone, conntrack alone once more, conntrack with the check of sources: what the others are held against.
const REFERENCES: [Rules; 4] = [Rules::None, Rules::Conntrack, Rules::Conntrack, Rules::Sources];

async fn by_policies(
    topology: Topology,
    counts: &[Rules],
    others: &[Rules],
    rounds: usize,
) -> Result<Vec<Figure>> {
    let all = [&REFERENCES, counts, others].concat();
    let site = Site::start(topology, &all).await?;
    let measured = take(&site, all.len(), rounds).await?;
    site.stop().await?;
    let mut figures = Vec::new();
    let mut flat: [Vec<f64>; 2] = Default::default();
    let conntrack = measured.get(1).context("no reference")?;
    for (nth, (rules, measured)) in all.iter().zip(&measured).enumerate() {
        let name = match rules {
            Rules::None => "no rules".to_owned(),
            Rules::Conntrack if nth == 1 => "conntrack alone".to_owned(),
            Rules::Conntrack => "conntrack again".to_owned(),
            Rules::Sources => "conntrack and sources".to_owned(),
            Rules::Ports => "conntrack, sources and ports".to_owned(),
            Rules::Policies(count) => count.to_string(),
            Rules::Shapes(count) => format!("{count} of all shapes"),
        };
        let reference = (nth > 1).then_some(conntrack);
        figures.extend(of(
            &name,
            measured,
            reference,
            matches!(rules, Rules::Policies(_)),
        ));
        if matches!(rules, Rules::Policies(1..)) {
            for (flat, series) in flat.iter_mut().zip([
                measured.first.over(&conntrack.first),
                measured.established.over(&conntrack.established),
            ]) {
                flat.push(median(series));
            }
        }
    }
    for (flat, what) in flat.iter().zip(["first packet", "established packet"]) {
        let spread = Spread::of(flat.iter().copied());
        let range = Spread::of([spread.max - spread.min]);
        let name = format!("{what}: most − least over 1 to 10,000 policies");
        figures.push(of_case("all", Figure::new(&name, Unit::Seconds, range)));
    }
    Ok(figures)
}

async fn by_pods() -> Result<Vec<Figure>> {
    let all = [Rules::None, Rules::Conntrack, Rules::Policies(BESIDE_PODS)];
    let mut site = Site::start(Topology::Routed, &all).await?;
    let mut figures = Vec::new();
    for pods in [30, 100, 250] {
        site.grow(pods).await?;
        let measured = take(&site, all.len(), 25).await?;
        let conntrack = measured.get(1).context("no reference")?;
        for (rules, measured) in all.iter().zip(&measured) {
            let beside = match rules {
                Rules::None => Some("no rules"),
                Rules::Conntrack => Some("conntrack alone"),
                _ => None,
            };
            let is_ours = beside.is_none();
            let mut own = of(&pods.to_string(), measured, is_ours.then_some(conntrack), is_ours);
            if let Some(beside) = beside {
                for figure in &mut own {
                    figure.what = format!("{}, {beside}", figure.what);
                }
            }
            figures.extend(own);
        }
    }
    site.stop().await?;
    Ok(figures)
}

/// Measures the pairs of all nodes, and holds the verdicts to the oracle before and after.
async fn take(site: &Site, nodes: usize, rounds: usize) -> Result<Vec<Measured>> {
    site.verify().await?;
    let pairs = (0..nodes)
        .map(|node| site.pair(node))
        .collect::<Result<Vec<_>>>()?;
    let round = Round {
        rounds,
        slices: 10,
        packets: 2_000,
        connects: 200,
        bytes: 32 << 20,
    };
    let measured = tokio::task::spawn_blocking(move || rounds::measure(&pairs, round)).await??;
    site.verify().await?;
    Ok(measured)
}

/// The figures of one set of rules.
fn of(case: &str, measured: &Measured, conntrack: Option<&Measured>, has_target: bool) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut series = |what: &str, own: &Series, other: Option<&Series>, most: Option<f64>| {
        figures.push(Figure::new(what, Unit::Seconds, Spread::of(own.all())));
        if let Some(other) = other {
            let name = format!("{what} over conntrack alone");
            let figure = Figure::new(&name, Unit::Seconds, Spread::of(own.over(other)));
            figures.push(figure.at_most(Part::P50, most.filter(|_| has_target)));
        }
    };
    let of = |series: fn(&Measured) -> &Series| conntrack.map(series);
    series("first packet", &measured.first, of(|m| &m.first), Some(FIRST));
    let established = of(|m| &m.established);
    series(
        "established packet",
        &measured.established,
        established,
        Some(ESTABLISHED),
    );
    series("TCP connect", &measured.connects, of(|m| &m.connects), None);
    let rates = measured.connects.medians().into_iter().map(f64::recip);
    figures.push(Figure::new("TCP connects", Unit::PerSecond, Spread::of(rates)));
    let bulk = Spread::of(measured.bulk.iter().copied());
    figures.push(Figure::new("bulk TCP, bits", Unit::PerSecond, bulk));
    figures.into_iter().map(|figure| of_case(case, figure)).collect()
}

/// A figure of a case of its own: what is varied.
fn of_case(case: &str, mut figure: Figure) -> Figure {
    case.clone_into(&mut figure.case);
    figure
}

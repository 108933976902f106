//! The shared case table, run without packets: by the oracle, and by the compiled rules.

#![expect(clippy::print_stdout, reason = "the figures of a run are its result")]

use anyhow::Result;
use palisade_policy::compile::{Compiler, compile};
use palisade_policy::evaluate::evaluate;
use palisade_policy::judge::{Enforced, judge};
use palisade_policy::model::{NodeName, Packet, Verdict};
use palisade_tests::cases::{self, Addresses, Case, Family, Step};

/// A cluster whose nodes share one pod network, with addresses of their own in it, as on one layer-2 segment.
fn one_segment() -> Addresses {
    let mut addresses = Addresses::documentation();
    let pods = addresses.pods;
    for plan in addresses.nodes.values_mut() {
        plan.node.name = NodeName::from(format!("worker-{}", plan.node.name));
        let gateways = plan.node.pod_networks.iter().map(ipnet::IpNet::network);
        plan.node.addresses.extend(gateways);
        plan.node.pod_networks = Family::ALL.map(|family| pods.of(family)).to_vec();
    }
    addresses
}

/// Puts every packet of every case to `answer`, which says the verdict and how it came about, and lists all that are
/// not as the table says before it fails.
fn agree<S>(
    mut prepare: impl FnMut(usize, &Step) -> S,
    answer: impl Fn(&S, &Step, &Packet) -> (Verdict, String),
) -> Result<()> {
    let mut mismatches = Vec::new();
    for addresses in [Addresses::documentation(), one_segment()] {
        let cases = cases::load(&addresses)?;
        for case in &cases {
            for (number, step) in case.steps.iter().enumerate() {
                let prepared = prepare(number, step);
                compare(
                    case,
                    step,
                    |packet| answer(&prepared, step, packet),
                    &mut mismatches,
                );
            }
        }
        let probes: usize = cases.iter().map(|case| case.probes().count()).sum();
        println!("{} cases, {probes} probes", cases.len());
    }
    assert!(
        mismatches.is_empty(),
        "{} mismatches\n\n{}",
        mismatches.len(),
        mismatches.join("\n")
    );
    Ok(())
}

/// Compares one step with its answers.
fn compare(
    case: &Case,
    step: &Step,
    answer: impl Fn(&Packet) -> (Verdict, String),
    mismatches: &mut Vec<String>,
) {
    for probe in &step.probes {
        for packet in &probe.packets {
            let (verdict, explanation) = answer(packet);
            if verdict != probe.expect {
                mismatches.push(format!(
                    "{}: {}: {probe}\n  {packet}: {verdict}, the table says {}\n{explanation}",
                    case.file, case.name, probe.expect
                ));
            }
        }
    }
}

/// What the oracle says, beside the verdict of somebody else.
fn explain(step: &Step, packet: &Packet) -> String {
    let explanation = evaluate(&step.state, packet).to_string();
    format!(
        "  the oracle says:\n    {}\n",
        explanation.trim_end().replace('\n', "\n    ")
    )
}

#[test]
fn the_oracle_agrees_with_the_case_table() -> Result<()> {
    agree(
        |_, _| (),
        |(), step, packet| (evaluate(&step.state, packet).verdict, explain(step, packet)),
    )
}

#[test]
fn the_compiled_rules_agree_with_the_case_table() -> Result<()> {
    agree(
        |_, step| Enforced::from(&compile(&step.state)),
        |enforced, step, packet| (judge(enforced, packet, step.state.nodes()), explain(step, packet)),
    )
}

#[test]
fn rules_that_were_compiled_step_by_step_agree_with_the_case_table() -> Result<()> {
    let mut compiler = Compiler::default();
    let follow = |number: usize, step: &Step| -> Enforced {
        if number == 0 {
            compiler = Compiler::default();
        }
        for event in &step.events {
            compiler.apply(event.clone());
        }
        compiler.flush();
        Enforced::from(&compiler.published())
    };
    agree(follow, |enforced, step, packet| {
        (judge(enforced, packet, step.state.nodes()), explain(step, packet))
    })
}

//! The benches.

mod addresses;
mod apply;
mod asked;
mod cold;
mod compile;
mod controller;
mod cycles;
mod event;
mod house;
mod memory;
pub(crate) mod oracle;
mod packet;
mod publish;
mod safety;
mod simulate;

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use crate::figure::Figure;

/// A bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// A whole cluster, compiled from memory.
    Compile,
    /// One event on a loaded cluster.
    Event,
    /// What a pod takes of memory, in clusters of several sizes.
    Memory,
    /// A whole cluster of many nodes: what is written, what nodes hear of it.
    Simulate,
    /// A real API server with many nodes that watch.
    Publish,
    /// One change, from the API server to the kernel of a node.
    Apply,
    /// A node that begins, with nothing and with everything there.
    Cold,
    /// What rules cost a packet.
    Packet,
    /// Packets while rules change.
    Safety,
    /// What is left of what came and went.
    Cycles,
}

impl Bench {
    /// All, in the order in which they run.
    pub(crate) const ALL: [Self; 10] = [
        Self::Compile,
        Self::Event,
        Self::Memory,
        Self::Simulate,
        Self::Publish,
        Self::Apply,
        Self::Cold,
        Self::Packet,
        Self::Safety,
        Self::Cycles,
    ];

    /// Its cases.
    pub(crate) fn cases(self) -> &'static [&'static str] {
        match self {
            Self::Compile => &compile::CASES,
            Self::Event => &event::CASES,
            Self::Memory => &memory::CASES,
            Self::Simulate => &simulate::CASES,
            Self::Publish => &publish::CASES,
            Self::Apply => &apply::CASES,
            Self::Cold => &cold::CASES,
            Self::Packet => &packet::CASES,
            Self::Safety => &safety::CASES,
            Self::Cycles => &cycles::CASES,
        }
    }

    /// Measures one of its cases, in this process.
    pub(crate) fn measure(self, case: &str) -> Result<Vec<Figure>> {
        let mut figures = match self {
            Self::Compile => compile::measure(case)?,
            Self::Event => event::measure(case)?,
            Self::Memory => memory::measure(case)?,
            Self::Simulate => simulate::measure(case)?,
            Self::Publish => publish::measure(case)?,
            Self::Apply => apply::measure(case)?,
            Self::Cold => cold::measure(case)?,
            Self::Packet => packet::measure(case)?,
            Self::Safety => safety::measure(case)?,
            Self::Cycles => cycles::measure(case)?,
        };
        for figure in &mut figures {
            figure.bench = self.to_string();
            // What a case varies is a part of its name.
            figure.case = match figure.case.as_str() {
                "" => case.to_owned(),
                part => format!("{case}/{part}"),
            };
        }
        Ok(figures)
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compile => "compile",
            Self::Event => "event",
            Self::Memory => "memory",
            Self::Simulate => "simulate",
            Self::Publish => "publish",
            Self::Apply => "apply",
            Self::Cold => "cold",
            Self::Packet => "packet",
            Self::Safety => "safety",
            Self::Cycles => "cycles",
        })
    }
}

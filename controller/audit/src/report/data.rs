//! What the page's own program works with. `page/model.js` reads it.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{PolicyKey, Protocol};
use palisade_policy::reach::{End, PortSet};
use serde::Serialize;

use super::Overview;
use super::ends::{Grain, Row};
use super::matrix::{Cell, Share};
use super::policies::{Scope, Spans};
use super::singles::{self, Singles};
use crate::inventory::ObjectRef;
use crate::relation::Part;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    /// `classes` or `namespaces`: what a row is.
    grain: &'static str,
    /// The rows and columns.
    ends: Vec<EndData>,
    /// How many there would be without a bound.
    whole: usize,
    cells: Vec<CellData>,
    /// Rows that say the same, once: cell, how many times, cell, how many times, …
    runs: Vec<Vec<usize>>,
    /// Which of `runs` each row is.
    rows: Vec<usize>,
    policies: Vec<PolicyData>,
    /// Whether the rules of `policies` say of whom they speak.
    scoped: bool,
    /// Whether `ends` have their single pods.
    singles: bool,
    /// The labels that single pods have besides those in `detail`.
    labels: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EndData {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Labels, or blocks of addresses.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    pods: u64,
    /// How many of the pods are isolated.
    ingress: u64,
    egress: u64,
    /// The policies that isolate them, as indexes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ingress_by: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    egress_by: Vec<usize>,
    /// How many findings there are about its pods or the policies that select them.
    #[serde(skip_serializing_if = "is_zero")]
    findings: usize,
    /// Its pods: name, addresses, and which of `labels` it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    singles: Vec<(String, String, usize)>,
    /// Its addresses outside: block, what is not of it, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct CellData {
    share: Share,
    short: String,
    text: String,
    /// The ports of TCP, UDP and SCTP: first, last, first, last, …
    ports: [Vec<u16>; 3],
    /// Whether they are the same for everything that the cell stands for.
    whole: bool,
}

#[derive(Debug, Serialize)]
struct PolicyData {
    namespace: String,
    name: String,
    /// Of each rule, whom it speaks of: first and last end, first and last end, …
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<Vec<Vec<usize>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Vec<Vec<usize>>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Data {
    pub(super) fn of(overview: &Overview<'_>) -> Self {
        let policies = PolicyNumbers::of(overview);
        let mut ends: Vec<EndData> = overview.rows.all.iter().map(EndData::of).collect();
        for (index, class) in overview.reach.classes().iter().enumerate() {
            let Some(end) = overview
                .rows
                .row(End::Pods(index))
                .and_then(|row| ends.get_mut(row))
            else {
                continue;
            };
            let about_policies = class.ingress.union(&class.egress);
            let about_policies = about_policies.map(|key| overview.findings_of_policy(key).len());
            let pods = class
                .members
                .iter()
                .filter_map(|member| overview.inventory.state.pods().get(&member.uid));
            let about_pods = pods
                .filter_map(|pod| overview.findings_of.get(&ObjectRef::Pod(pod.key.clone())))
                .map(Vec::len);
            end.findings += about_policies.chain(about_pods).sum::<usize>();
            end.ingress_by.extend(policies.numbers(&class.ingress));
            end.egress_by.extend(policies.numbers(&class.egress));
        }
        let singles = Singles::of(overview);
        let has_singles = singles.is_some();
        let Singles { of_row, labels } = singles.unwrap_or_default();
        for (end, pods) in ends.iter_mut().zip(of_row) {
            let single = |pod: singles::Single| (pod.name, pod.addresses, pod.labels);
            end.singles = pods.into_iter().map(single).collect();
        }
        let run =
            |run: &Vec<(usize, usize)>| run.iter().flat_map(|(cell, length)| [*cell, *length]).collect();
        Self {
            grain: match overview.rows.grain {
                Grain::Classes => "classes",
                Grain::Namespaces => "namespaces",
            },
            ends,
            whole: overview.rows.whole,
            cells: overview.matrix.cells.iter().map(CellData::of).collect(),
            runs: overview.matrix.runs.iter().map(run).collect(),
            rows: overview.matrix.rows.clone(),
            policies: policies.data(overview.scopes.as_deref()),
            scoped: overview.scopes.is_some(),
            singles: has_singles,
            labels,
        }
    }
}

/// The numbers of the policies that rows speak of: none where rows are namespaces, which have too many.
struct PolicyNumbers<'a>(BTreeMap<&'a PolicyKey, usize>);

impl<'a> PolicyNumbers<'a> {
    fn of(overview: &Overview<'a>) -> Self {
        let keys = overview.inventory.state.policies().keys();
        Self(match overview.rows.grain {
            Grain::Classes => keys.zip(0..).collect(),
            Grain::Namespaces => BTreeMap::new(),
        })
    }

    fn numbers(&self, keys: &BTreeSet<PolicyKey>) -> Vec<usize> {
        keys.iter().filter_map(|key| self.0.get(key).copied()).collect()
    }

    fn data(&self, scopes: Option<&[Scope]>) -> Vec<PolicyData> {
        let rules = |rules: &Option<Vec<Spans>>| {
            let spans = |spans: &Spans| spans.iter().flat_map(|(first, last)| [*first, *last]).collect();
            rules.as_ref().map(|rules| rules.iter().map(spans).collect())
        };
        let policies = self.0.iter().map(|(key, number)| {
            let scope = scopes.and_then(|scopes| scopes.get(*number));
            PolicyData {
                namespace: key.namespace.to_string(),
                name: key.name.to_string(),
                ingress: scope.and_then(|scope| rules(&scope.ingress)),
                egress: scope.and_then(|scope| rules(&scope.egress)),
            }
        });
        policies.collect()
    }
}

impl EndData {
    fn of(row: &Row) -> Self {
        Self {
            name: row.name.clone(),
            namespace: row.namespace.as_ref().map(ToString::to_string),
            detail: row.detail.clone(),
            pods: row.pods,
            ingress: row.ingress,
            egress: row.egress,
            ingress_by: Vec::new(),
            egress_by: Vec::new(),
            findings: 0,
            singles: Vec::new(),
            blocks: row.blocks.iter().map(block).collect(),
        }
    }
}

fn block(part: &Part) -> Vec<String> {
    let all = std::iter::once(&part.cidr).chain(&part.except);
    all.map(ToString::to_string).collect()
}

impl CellData {
    fn of(cell: &Cell) -> Self {
        Self {
            share: cell.share,
            short: cell.short.clone(),
            text: cell.text.clone(),
            ports: Protocol::ALL.map(|protocol| spans(&cell.ports, protocol)),
            whole: cell.whole,
        }
    }
}

fn spans(ports: &PortSet, protocol: Protocol) -> Vec<u16> {
    ports
        .ports(protocol)
        .iter()
        .flat_map(|(first, last)| [*first, *last])
        .collect()
}

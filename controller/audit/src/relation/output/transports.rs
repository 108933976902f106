//! Ports for programs.

use std::collections::BTreeMap;

use palisade_policy::model::Protocol;
use palisade_policy::reach::PortSet;
use serde::Serialize;

/// A set of ports as a document has it: `{"all": true}`, or `{"TCP": [[80, 80]], "withoutPorts": true}`.
#[derive(Serialize)]
pub(crate) struct Transports {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// First and last port of each span, by protocol.
    #[serde(flatten)]
    spans: BTreeMap<&'static str, Vec<(u16, u16)>>,
    #[serde(rename = "withoutPorts", skip_serializing_if = "std::ops::Not::not")]
    without_ports: bool,
}

impl Transports {
    pub(crate) fn of(set: &PortSet) -> Self {
        if set.is_all() {
            return Self {
                all: true,
                spans: BTreeMap::new(),
                without_ports: false,
            };
        }
        let spans = Protocol::ALL
            .into_iter()
            .filter(|protocol| !set.ports(*protocol).is_empty())
            .map(|protocol| (protocol.as_str(), set.ports(protocol).to_vec()));
        Self {
            all: false,
            spans: spans.collect(),
            without_ports: set.has_protocols_without_ports(),
        }
    }
}

//! A packet that shows a difference, the rules that it meets and what the API says of it.

use std::net::IpAddr;

use palisade_policy::evaluate::{Outcome, Reason, evaluate};
use palisade_policy::model::{self, Direction, PodKey, PolicyKey};
use palisade_policy::reach::Family;

use crate::kernel::difference::{Judged, Witness};
use crate::kernel::expected::{address, family, number};
use crate::kernel::ruleset::{self, Frame};
use crate::kernel::spans::Spans;
use crate::kernel::transport::{Carried, Transports};
use crate::kernel::walk::{Ends, Fate, Packet, Step, Stop};

use super::Comparison;

/// Addresses that nobody has (RFC 5737, RFC 3849), the first choice for a witness.
const EXAMPLES: [&str; 4] = ["198.51.100.7", "203.0.113.7", "192.0.2.7", "2001:db8::7"];

impl Comparison<'_, '_> {
    /// An address of a set: a pod's if there is one, else one that nobody has.
    pub(super) fn pick(&self, addresses: &Spans<u128>, family: Family) -> Option<IpAddr> {
        let stretches = addresses.stretches();
        let pods = stretches
            .iter()
            .filter(|(first, last)| first == last)
            .map(|(first, _)| address(*first, family));
        let pod = pods
            .into_iter()
            .find(|address| self.state.owner(*address).is_some());
        let examples = EXAMPLES.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        let mut examples = examples.filter(|example| crate::kernel::expected::family(*example) == family);
        let example = examples.find(|example| addresses.contains(number(*example)));
        let block = stretches.iter().find(|(first, last)| first < last);
        let block = block.map(|(first, _)| address(first + 1, family));
        let first = stretches.first().map(|(first, _)| address(*first, family));
        pod.or(example).or(block).or(first)
    }

    /// The pods whose addresses stand alone in a set.
    pub(super) fn pods_at(&self, addresses: &Spans<u128>, family: Family) -> Vec<PodKey> {
        // More pods than this in a row are a block.
        const ROW: u128 = 16;
        let short = addresses
            .stretches()
            .iter()
            .filter(|(first, last)| last - first < ROW);
        let owners = short
            .flat_map(|(first, last)| *first..=*last)
            .map(|number| self.state.owner(address(number, family)));
        let mut pods: Vec<PodKey> = owners.flatten().map(|pod| pod.key.clone()).collect();
        pods.sort_unstable();
        pods.dedup();
        pods
    }

    /// The rules that a packet meets on its way, up to the one that ends it.
    pub(super) fn steps(&self, stops: &[Stop], witness: &Witness) -> Vec<Step> {
        let packet = packet(witness);
        let mut met = Vec::new();
        for stop in stops {
            let trace = self.walker.trace(stop, packet);
            if trace.fate == Fate::Passes {
                // That a packet is its sender's own, and that its port is known, tells nothing.
                if stop.family == ruleset::Family::Inet {
                    met.extend(trace.steps);
                }
            } else {
                return trace.steps;
            }
        }
        met
    }

    /// What the API says of a packet, on the sides that are judged here.
    pub(super) fn reason(&self, judged: Judged, witness: &Witness) -> (String, Vec<PolicyKey>) {
        if witness.carried.is_discovery() && family(witness.source) == Family::V6 {
            return ("neighbour discovery always passes".to_owned(), Vec::new());
        }
        if let Some(said) = self.of_unreported(judged, witness) {
            return said;
        }
        let evaluation = evaluate(
            self.state,
            &model::Packet {
                source: witness.source,
                destination: witness.destination,
                transport: witness.carried.transport(),
            },
        );
        let (egress, ingress) = match &evaluation.reason {
            Reason::Itself { pod } => return (format!("from {pod} to itself, always allowed"), Vec::new()),
            Reason::OwnNode { pod } => {
                return (
                    format!("between {pod} and its own node, always allowed"),
                    Vec::new(),
                );
            }
            Reason::Judged { egress, ingress } => (egress.as_ref(), ingress.as_ref()),
        };
        let sides = match judged {
            Judged::Egress => [egress, None],
            Judged::Ingress => [None, ingress],
            Judged::Both => [egress, ingress],
        };
        let sides: Vec<_> = sides.into_iter().flatten().collect();
        let mut policies = Vec::new();
        for side in &sides {
            match &side.outcome {
                Outcome::NotIsolated => {}
                Outcome::Allowed { policy, .. } => policies.push(policy.clone()),
                Outcome::Denied { isolating } => {
                    policies.extend(isolating.iter().map(|trace| trace.policy.clone()));
                }
            }
        }
        let words: Vec<String> = sides.iter().map(ToString::to_string).collect();
        (words.join("\n"), policies)
    }
}

impl Comparison<'_, '_> {
    /// What is said of a pod's address that the API does not have: the oracle cannot be asked of it.
    fn of_unreported(&self, judged: Judged, witness: &Witness) -> Option<(String, Vec<PolicyKey>)> {
        let sides = match judged {
            Judged::Egress => &[(Direction::Egress, witness.source)][..],
            Judged::Ingress => &[(Direction::Ingress, witness.destination)],
            Judged::Both => &[
                (Direction::Egress, witness.source),
                (Direction::Ingress, witness.destination),
            ],
        };
        let mut words = Vec::new();
        let mut isolating = Vec::new();
        for (direction, address) in sides {
            let mut residents = self.node.residents.iter();
            let Some(resident) = residents.find(|resident| resident.unreported.contains(address)) else {
                continue;
            };
            let pod = resident.pod;
            let own = self.state.policies().values().filter(|policy| {
                policy.key.namespace == pod.key.namespace
                    && policy.subject.matches(&pod.labels)
                    && policy.rules(*direction).is_some()
            });
            isolating.extend(own.map(|policy| policy.key.clone()));
            words.push(format!(
                "{address} is an address of {} that its node knows and the API does not: its policies for {direction} hold for it",
                pod.key
            ));
        }
        (!words.is_empty()).then(|| (words.join("\n"), isolating))
    }
}

/// A packet as the walk takes it.
pub(super) fn packet(witness: &Witness) -> Packet {
    Packet {
        ends: Ends {
            source: number(witness.source),
            destination: number(witness.destination),
        },
        carried: witness.carried,
    }
}

/// The frames of a family.
pub(super) fn frame(family: Family) -> Frame {
    match family {
        Family::V4 => Frame::V4,
        Family::V6 => Frame::V6,
    }
}

/// Of a packet that carries something.
pub(super) fn example(carried: &Transports) -> Carried {
    carried.example().unwrap_or(Carried {
        protocol: 6,
        detail: 80,
    })
}

//! An evaluation in words: which policies isolate, what allowed, or which rule came nearest and what it missed.

use std::fmt;

use super::{Evaluation, Judgement, Outcome, PolicyTrace, Reason, RuleTrace};
use crate::model::{Direction, PolicyKey};

impl Judgement {
    /// The rule that came nearest to allowing the packet; `None` where nothing was denied or no policy has a rule.
    pub fn nearest(&self) -> Option<(&PolicyKey, &RuleTrace)> {
        let Outcome::Denied { isolating } = &self.outcome else {
            return None;
        };
        let rules = isolating
            .iter()
            .flat_map(|trace| trace.rules.iter().map(move |rule| (&trace.policy, rule)));
        rules.min_by_key(|(_, rule)| rule.distance())
    }
}

impl RuleTrace {
    /// How far the rule was from allowing the packet: first how many of its clauses missed, then how far the nearest peer and
    /// port were.
    pub fn distance(&self) -> (usize, u8) {
        let peer = self.peers.iter().flatten().map(super::PeerMiss::distance).min();
        let port = self.ports.iter().flatten().map(super::PortMiss::distance).min();
        (
            usize::from(peer.is_some()) + usize::from(port.is_some()),
            peer.unwrap_or(0) + port.unwrap_or(0),
        )
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.packet, self.verdict)?;
        match &self.reason {
            Reason::OwnNode { pod } => write!(f, "\n  between {pod} and its own node, always allowed"),
            Reason::Itself { pod } => write!(f, "\n  from {pod} to itself, always allowed"),
            Reason::Judged {
                egress: None,
                ingress: None,
            } => f.write_str("\n  neither side is a pod"),
            Reason::Judged { egress, ingress } => egress
                .iter()
                .chain(ingress)
                .try_for_each(|side| write!(f, "\n  {side}")),
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pod,
            direction,
            outcome,
        } = self;
        let side = match direction {
            Direction::Egress => "from",
            Direction::Ingress => "to",
        };
        match outcome {
            Outcome::NotIsolated => write!(f, "{side} {pod}: not isolated for {direction}, all is allowed"),
            Outcome::Allowed { policy, rule, .. } => {
                write!(f, "{side} {pod}: {direction} rule {rule} of {policy} allows it")
            }
            Outcome::Denied { isolating } => {
                let names: Vec<String> = isolating.iter().map(|trace| trace.policy.to_string()).collect();
                write!(
                    f,
                    "{side} {pod}: isolated for {direction} by {}",
                    names.join(", ")
                )?;
                for defect in isolating.iter().flat_map(|trace: &PolicyTrace| &trace.defects) {
                    write!(f, "\n    not understood, so it allows nothing: {defect}")?;
                }
                let Some((policy, rule)) = self.nearest() else {
                    return f.write_str("\n    no rule allows anything");
                };
                write!(f, "\n    nearest is {direction} rule {} of {policy}", rule.rule)?;
                let peer = rule.peers.iter().flatten().min_by_key(|miss| miss.distance());
                let port = rule.ports.iter().flatten().min_by_key(|miss| miss.distance());
                peer.iter()
                    .try_for_each(|miss| write!(f, "\n      peer: {miss}"))?;
                port.iter().try_for_each(|miss| write!(f, "\n      port: {miss}"))
            }
        }
    }
}

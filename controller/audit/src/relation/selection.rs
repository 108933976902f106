//! Which ends are asked for: what [`question`] calls an end, in terms of a relation.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::NamespaceName;
use palisade_policy::reach::{End, Family};

use super::Relation;
use super::range::Addresses;
use crate::question::{self, Crowd, Unresolved};

/// The sources and destinations that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    from: Option<Asked>,
    to: Option<Asked>,
}

/// What an end means in a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    /// Never empty. Of a class all pods are told, as policies do not tell them apart.
    ends: BTreeSet<End>,
    /// The block that was asked for, if it was one.
    block: Option<IpNet>,
}

impl Selection {
    /// What is asked for in a relation; without an end, everybody. Names without a namespace are looked up in `home`.
    pub fn of(
        relation: &Relation<'_>,
        home: &NamespaceName,
        from: Option<&question::End>,
        to: Option<&question::End>,
    ) -> Result<Self, Unresolved> {
        let asked = |end: Option<&question::End>| match end {
            None | Some(question::End::Anybody) => Ok(None),
            Some(end) => Asked::of(relation, home, end).map(Some),
        };
        Ok(Self {
            from: asked(from)?,
            to: asked(to)?,
        })
    }

    /// Whether every source is asked for.
    pub fn has_all_sources(&self) -> bool {
        self.from.is_none()
    }

    /// Whether every destination is asked for.
    pub fn has_all_destinations(&self) -> bool {
        self.to.is_none()
    }

    /// Whether a destination is asked for.
    pub fn has_destination(&self, to: End) -> bool {
        self.to.as_ref().is_none_or(|asked| asked.ends.contains(&to))
    }

    /// The block that sources outside are asked for of.
    pub fn sources_within(&self) -> Option<&IpNet> {
        self.from.as_ref()?.block.as_ref()
    }

    /// The block that destinations outside are asked for of.
    pub fn destinations_within(&self) -> Option<&IpNet> {
        self.to.as_ref()?.block.as_ref()
    }

    /// Those of a list that are asked for.
    pub(super) fn sources(&self, from: Arc<[End]>) -> Arc<[End]> {
        match &self.from {
            None => from,
            Some(asked) => from
                .iter()
                .filter(|end| asked.ends.contains(end))
                .copied()
                .collect(),
        }
    }
}

impl Asked {
    fn of(relation: &Relation<'_>, home: &NamespaceName, asked: &question::End) -> Result<Self, Unresolved> {
        // Whether it is to connect or to answer: what answers for a Service are its pods.
        let mut ends = met(relation, &question::sources(relation.inventory, home, asked)?);
        let block = match asked {
            question::End::Block(block) => Some(*block),
            question::End::Address(address) => Some(IpNet::from(*address)),
            question::End::Labelled { .. } => {
                // Classes are asked for by the names that they are told by. Pods in their node's network are in none.
                ends.retain(|end| matches!(end, End::Pods(_)));
                None
            }
            question::End::Anybody | question::End::Named { .. } => None,
        };
        if ends.is_empty() {
            return Err(Unresolved::NoPod(asked.clone()));
        }
        Ok(Self { ends, block })
    }
}

/// The ends that some addresses belong to.
fn met(relation: &Relation<'_>, crowd: &Crowd) -> BTreeSet<End> {
    let reach = &relation.reach;
    let addresses = crowd.addresses.iter();
    let mut ends: BTreeSet<End> = addresses.filter_map(|address| reach.end(*address)).collect();
    for family in Family::ALL {
        let asked = Addresses::of(family, &crowd.blocks);
        let ranges = reach.outside().iter().enumerate();
        let met = ranges.filter(|(_, range)| {
            range.family == family && asked.overlaps(&Addresses::of(family, &range.blocks))
        });
        ends.extend(met.map(|(index, _)| End::Outside(index)));
    }
    ends
}

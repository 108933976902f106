//! Which ends are asked for.
//!
//! An end is what a [`question`] calls so. Besides, classes can be asked for by the names that they are told
//! by: `shop/*`, `shop/app=web,tier=front`, and `app=web` for all namespaces.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use palisade_policy::model::{NamespaceName, Requirement, Selector};
use palisade_policy::reach::{End, Family};
use thiserror::Error;

use super::Relation;
use super::name::members;
use super::range::Addresses;
use crate::question::{self, Crowd, InvalidQuestion, Question, Unresolved, resolve};

/// Ends as people name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everybody: `any`.
    Any,
    /// All pods of a namespace: `shop/*`.
    Namespace(NamespaceName),
    /// Pods by their labels: `app=web,tier=front` in all namespaces, `shop/app=web` in one.
    Labels(Option<NamespaceName>, Selector),
    /// What a question calls so: an object, an address or a block of addresses.
    Question(Question),
}

/// Why a text names no end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidFilter {
    /// Labels that cannot be read.
    #[error("{0:?} should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]")]
    Labels(String),
    /// It is no end of a question.
    #[error(transparent)]
    Question(#[from] InvalidQuestion),
    /// It is an end, and nobody is there.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// No pod has these labels, or the namespace has no pods.
    #[error("no pod is meant by {0}")]
    Nobody(String),
}

impl Filter {
    /// Reads an end.
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        if let Some(namespace) = text.strip_suffix("/*") {
            return Ok(Self::Namespace(namespace.into()));
        }
        if let Some((key, _)) = text.split_once('=') {
            // A label's key may have a slash too, after a name of a domain: `app.kubernetes.io/name=web`.
            let (namespace, labels) = match key.split_once('/') {
                Some((namespace, _)) if !namespace.contains('.') => {
                    let labels = text.split_once('/').map_or(text, |(_, labels)| labels);
                    (Some(namespace.into()), labels)
                }
                Some(_) | None => (None, text),
            };
            let selector = selector(labels).ok_or_else(|| InvalidFilter::Labels(text.to_owned()))?;
            return Ok(Self::Labels(namespace, selector));
        }
        // Whether it is a source or a destination: an end is named alike, without a port.
        let question = Question::parse(text, "any")?;
        Ok(match question.from {
            question::End::Anybody => Self::Any,
            question::End::Address(_) | question::End::Block(_) | question::End::Named { .. } => {
                Self::Question(question)
            }
        })
    }

    /// The ends of a relation that are meant: never none. Names without a namespace are looked up in `home`. Of a class all
    /// pods are told, as policies do not tell them apart.
    fn ends(&self, relation: &Relation<'_>, home: &NamespaceName) -> Result<BTreeSet<End>, InvalidFilter> {
        let classes = relation.reach.classes();
        let all = || (0..classes.len()).map(End::Pods);
        let found: BTreeSet<End> = match self {
            Self::Any => all()
                .chain((0..relation.reach.outside().len()).map(End::Outside))
                .collect(),
            Self::Namespace(namespace) => {
                let own = classes.iter().map(|class| class.namespace == *namespace);
                all()
                    .zip(own)
                    .filter(|(_, own)| *own)
                    .map(|(end, _)| end)
                    .collect()
            }
            Self::Labels(namespace, selector) => {
                let own = classes.iter().map(|class| {
                    let here = namespace
                        .as_ref()
                        .is_none_or(|namespace| class.namespace == *namespace);
                    here && members(relation.inventory, class).any(|pod| selector.matches(&pod.labels))
                });
                all()
                    .zip(own)
                    .filter(|(_, own)| *own)
                    .map(|(end, _)| end)
                    .collect()
            }
            Self::Question(question) => {
                crowd(relation, &resolve(relation.inventory, home, question)?.sources)
            }
        };
        if found.is_empty() {
            return Err(InvalidFilter::Nobody(self.to_string()));
        }
        Ok(found)
    }

    /// The block that is asked for, if it is one.
    fn block(&self) -> Option<IpNet> {
        match self {
            Self::Question(question) => match &question.from {
                question::End::Block(block) => Some(*block),
                question::End::Address(address) => Some(IpNet::from(*address)),
                question::End::Anybody | question::End::Named { .. } => None,
            },
            Self::Any | Self::Namespace(_) | Self::Labels(..) => None,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::Labels(None, selector) => selector.fmt(f),
            Self::Labels(Some(namespace), selector) => write!(f, "{namespace}/{selector}"),
            Self::Question(question) => question.from.fmt(f),
        }
    }
}

/// The ends that some addresses belong to.
fn crowd(relation: &Relation<'_>, crowd: &Crowd) -> BTreeSet<End> {
    let reach = &relation.reach;
    let addresses = crowd
        .addresses
        .iter()
        .filter_map(|address: &IpAddr| reach.end(*address));
    let mut ends: BTreeSet<End> = addresses.collect();
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

fn selector(text: &str) -> Option<Selector> {
    let requirement = |word: &str| {
        let (key, value) = word.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!key.is_empty()).then(|| Requirement::equals(key.trim(), value.trim()))
    };
    text.split(',').map(requirement).collect()
}

/// The sources and destinations that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    from: Option<Asked>,
    to: Option<Asked>,
}

/// What a filter means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    ends: BTreeSet<End>,
    /// The block that was asked for, if it was one.
    block: Option<IpNet>,
}

impl Selection {
    /// What some filters mean in a relation; without a filter, everybody. Names without a namespace are looked up in `home`.
    pub fn of(
        relation: &Relation<'_>,
        home: &NamespaceName,
        from: Option<&Filter>,
        to: Option<&Filter>,
    ) -> Result<Self, InvalidFilter> {
        let asked = |filter: Option<&Filter>| match filter {
            None | Some(Filter::Any) => Ok(None),
            Some(filter) => filter.ends(relation, home).map(|ends| {
                Some(Asked {
                    ends,
                    block: filter.block(),
                })
            }),
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

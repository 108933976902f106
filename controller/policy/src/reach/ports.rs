//! Sets of what a connection can be made on: ports of each protocol, and the protocols that have no ports.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::model::{PortRange, Protocol, Transport};

/// A set of transports. Equal sets are equal values.
///
/// Protocols other than TCP, UDP and SCTP have no ports, and no policy tells one from another: all are in the set, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    /// The ports of each protocol of [`Protocol::ALL`], as spans in order that neither overlap nor touch.
    spans: [Spans; 3],
    /// Whether the protocols without ports are in it.
    others: bool,
}

/// First and last port.
type Span = (u16, u16);

/// Spans in order that neither overlap nor touch. Shared, as many sets are the same.
type Spans = Option<Arc<[Span]>>;

/// Every port of a protocol. (No connection is to port 0, but a packet can be, and "all ports" is all.)
const EVERY: Span = (0, u16::MAX);

/// Every port, as all sets share it.
static ALL_PORTS: LazyLock<Arc<[Span]>> = LazyLock::new(|| [EVERY].into());

impl PortSet {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything.
    pub fn all() -> Self {
        Self {
            spans: [(); 3].map(|()| Some(ALL_PORTS.clone())),
            others: true,
        }
    }

    /// Every port of one protocol.
    pub fn protocol(protocol: Protocol) -> Self {
        Self::spans(protocol, [EVERY])
    }

    /// Some ports of one protocol.
    pub fn range(protocol: Protocol, range: PortRange) -> Self {
        Self::spans(protocol, [(range.first(), range.last())])
    }

    /// Single ports of one protocol.
    pub fn numbers(protocol: Protocol, numbers: impl IntoIterator<Item = u16>) -> Self {
        Self::spans(protocol, numbers.into_iter().map(|number| (number, number)))
    }

    /// The protocols without ports.
    pub fn without_ports() -> Self {
        Self {
            others: true,
            ..Self::default()
        }
    }

    /// Ports of one protocol from first to last, in any order, overlapping as they may.
    pub fn spans(protocol: Protocol, spans: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let own = normal(spans.into_iter().collect());
        Self {
            spans: Protocol::ALL.map(|each| own.clone().filter(|_| each == protocol)),
            others: false,
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.others && self.spans.iter().all(Option::is_none)
    }

    /// Whether everything is in it.
    pub fn is_all(&self) -> bool {
        self.others && self.spans.iter().all(|spans| of(spans) == [EVERY])
    }

    /// Whether one transport is in it.
    pub fn contains(&self, transport: Transport) -> bool {
        match transport {
            Transport::Other(_) => self.others,
            Transport::Port(protocol, port) => {
                let spans = self.ports(protocol);
                let after = spans.partition_point(|(first, _)| *first <= port);
                after
                    .checked_sub(1)
                    .and_then(|at| spans.get(at))
                    .is_some_and(|(_, last)| port <= *last)
            }
        }
    }

    /// Whether the protocols without ports are in it.
    pub fn has_protocols_without_ports(&self) -> bool {
        self.others
    }

    /// The ports of one protocol: first and last of each span, in order; spans neither overlap nor touch.
    pub fn ports(&self, protocol: Protocol) -> &[(u16, u16)] {
        self.spans.get(index(protocol)).map(of).unwrap_or_default()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, self.others || other.others, |ours, theirs| {
            if ours.is_none() || ours == theirs {
                return theirs.clone();
            }
            if theirs.is_none() {
                return ours.clone();
            }
            normal(of(ours).iter().chain(of(theirs)).copied().collect())
        })
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, self.others && other.others, |ours, theirs| {
            if ours == theirs || of(theirs) == [EVERY] {
                return ours.clone();
            }
            if of(ours) == [EVERY] {
                return theirs.clone();
            }
            common(of(ours), of(theirs))
        })
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, self.others && !other.others, |ours, theirs| {
            if theirs.is_none() {
                return ours.clone();
            }
            common(of(ours), &complement(of(theirs)))
        })
    }

    /// A transport of it, the lowest TCP port first (port 0 last); `None` of the empty set. Of the protocols without ports it
    /// is ICMP of IPv4.
    pub fn example(&self) -> Option<Transport> {
        let usable = |(first, last): &Span| (*last > 0).then_some((*first).max(1));
        let port = |protocol: &Protocol| {
            let port = self.ports(*protocol).iter().find_map(usable)?;
            Some(Transport::Port(*protocol, port))
        };
        let zero = |protocol: &Protocol| {
            (!self.ports(*protocol).is_empty()).then_some(Transport::Port(*protocol, 0))
        };
        let protocols = Protocol::ALL;
        let found = protocols
            .iter()
            .find_map(port)
            .or(self.others.then_some(Transport::Other(1)));
        found.or_else(|| protocols.iter().find_map(zero))
    }

    fn combine(&self, other: &Self, others: bool, spans: impl Fn(&Spans, &Spans) -> Spans) -> Self {
        let [tcp, udp, sctp] = &self.spans;
        let [other_tcp, other_udp, other_sctp] = &other.spans;
        Self {
            spans: [
                spans(tcp, other_tcp),
                spans(udp, other_udp),
                spans(sctp, other_sctp),
            ],
            others,
        }
    }
}

impl fmt::Display for PortSet {
    /// `all`, `none`, `80,8000-8999/TCP; UDP; protocols without ports`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut parts = Vec::new();
        for protocol in Protocol::ALL {
            let spans = self.ports(protocol);
            if spans == [EVERY] {
                parts.push(protocol.to_string());
            } else if !spans.is_empty() {
                let words = spans.iter().map(|(first, last)| {
                    if first == last {
                        first.to_string()
                    } else {
                        format!("{first}-{last}")
                    }
                });
                parts.push(format!("{}/{protocol}", words.collect::<Vec<_>>().join(",")));
            }
        }
        if self.others {
            parts.push("protocols without ports".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

fn of(spans: &Spans) -> &[Span] {
    spans.as_deref().unwrap_or_default()
}

/// Sorted, with what overlaps or touches made one.
fn normal(mut spans: Vec<Span>) -> Spans {
    spans.retain(|(first, last)| first <= last);
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if u32::from(first) <= u32::from(*end) + 1 => *end = (*end).max(last),
            _ => merged.push((first, last)),
        }
    }
    (!merged.is_empty()).then(|| merged.into())
}

/// What is in both of two normal lists.
fn common(mut ours: &[Span], mut theirs: &[Span]) -> Spans {
    let mut overlaps = Vec::new();
    while let ([(first, last), our_rest @ ..], [(other_first, other_last), their_rest @ ..]) = (ours, theirs)
    {
        overlaps.push((*first.max(other_first), *last.min(other_last)));
        if last < other_last {
            ours = our_rest;
        } else {
            theirs = their_rest;
        }
    }
    normal(overlaps)
}

/// What is not in a normal list.
fn complement(spans: &[Span]) -> Vec<Span> {
    let mut gaps = Vec::with_capacity(spans.len() + 1);
    let mut next = Some(0);
    for (first, last) in spans {
        gaps.extend(next.zip(first.checked_sub(1)));
        next = last.checked_add(1);
    }
    gaps.extend(next.map(|next| (next, u16::MAX)));
    gaps.retain(|(first, last)| first <= last);
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn some_ports() -> impl Strategy<Value = PortSet> {
        let span = (0_u16..40, 0_u16..12).prop_map(|(first, width)| (first, first + width));
        let spans = vec(vec(span, 0..4), 3);
        (spans, any::<bool>()).prop_map(|(spans, others)| {
            let protocols = Protocol::ALL.into_iter().zip(spans);
            let ports = protocols.map(|(protocol, spans)| PortSet::spans(protocol, spans));
            let start = if others {
                PortSet::without_ports()
            } else {
                PortSet::none()
            };
            ports.fold(start, |all, some| all.union(&some))
        })
    }

    fn transports() -> impl Iterator<Item = Transport> {
        let ports = Protocol::ALL
            .into_iter()
            .flat_map(|protocol| (0..60).map(move |port| Transport::Port(protocol, port)));
        ports.chain([Transport::Other(1)])
    }

    proptest! {
        #[test]
        fn sets_behave_as_sets(a in some_ports(), b in some_ports()) {
            for transport in transports() {
                let (in_a, in_b) = (a.contains(transport), b.contains(transport));
                prop_assert_eq!(a.union(&b).contains(transport), in_a || in_b);
                prop_assert_eq!(a.intersection(&b).contains(transport), in_a && in_b);
                prop_assert_eq!(a.difference(&b).contains(transport), in_a && !in_b);
            }
            prop_assert_eq!(a.union(&b).difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert_eq!(PortSet::all().difference(&PortSet::all().difference(&a)), a.clone());
            prop_assert_eq!(a.is_empty(), transports().all(|transport| !a.contains(transport)));
            prop_assert!(a.example().is_none_or(|transport| a.contains(transport)));
            prop_assert_eq!(a.example().is_none(), a.is_empty());
        }
    }

    #[test]
    fn sets_read_as_people_write_ports() {
        let web = PortSet::numbers(Protocol::Tcp, [443, 80]);
        let dns = PortSet::protocol(Protocol::Udp);
        assert_eq!(web.to_string(), "80,443/TCP");
        assert_eq!(web.union(&dns).to_string(), "80,443/TCP; UDP");
        assert_eq!(
            PortSet::spans(Protocol::Sctp, [(1, 5), (6, 9)]).to_string(),
            "1-9/SCTP"
        );
        assert_eq!(PortSet::all().to_string(), "all");
        assert_eq!(PortSet::none().to_string(), "none");
        assert_eq!(
            PortSet::all().difference(&web).to_string(),
            "0-79,81-442,444-65535/TCP; UDP; SCTP; protocols without ports"
        );
    }
}

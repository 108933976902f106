//! Arithmetic on address and port ranges. The kernel refuses a set whose ranges overlap, so what goes into one is made
//! disjoint here, without changing which packets it holds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::model::IpBlock;

/// Numbers from the first to the second, both included. Addresses of one family, as integers.
pub(super) type Span = (u128, u128);

/// Ports from the first to the second, both included.
pub(super) type PortSpan = (u16, u16);

/// Every port.
pub(super) const ALL_PORTS: PortSpan = (0, u16::MAX);

/// The addresses of a block, its own excepts taken out.
pub(super) fn spans(block: &IpBlock) -> Vec<Span> {
    let (mut next, last) = span(block.cidr());
    let mut spans = Vec::new();
    for (first_out, last_out) in merge(block.except().iter().map(|net| span(*net)).collect()) {
        if first_out > next {
            spans.push((next, first_out - 1));
        }
        match last_out.checked_add(1) {
            Some(after) => next = after,
            None => return spans,
        }
    }
    if next <= last {
        spans.push((next, last));
    }
    spans
}

/// The same numbers, sorted, without overlaps and without neighbours that could be one.
pub(super) fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Rectangles of addresses and ports that cover what the given ones cover, without overlaps.
///
/// Ports are cut wherever a range begins or ends; between two cuts the addresses are merged, and stretches of ports
/// with the same addresses are joined again.
pub(super) fn rectangles(covered: &[(Span, PortSpan)]) -> Vec<(Span, PortSpan)> {
    // What begins and what ends at each cut, by position in the input.
    let mut cuts: BTreeMap<u32, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (position, (_, (first, last))) in covered.iter().enumerate() {
        cuts.entry(u32::from(*first)).or_default().0.push(position);
        cuts.entry(u32::from(*last) + 1).or_default().1.push(position);
    }
    let mut active = std::collections::BTreeSet::new();
    let mut stretches: Vec<(u32, u32, Vec<Span>)> = Vec::new();
    let mut previous = 0;
    for (cut, (begin, end)) in cuts {
        if !active.is_empty() {
            let spans = merge(
                active
                    .iter()
                    .filter_map(|position| covered.get(*position))
                    .map(|(span, _)| *span)
                    .collect(),
            );
            match stretches.last_mut() {
                Some((_, last, same)) if *last + 1 == previous && *same == spans => *last = cut - 1,
                _ => stretches.push((previous, cut - 1, spans)),
            }
        }
        for position in end {
            active.remove(&position);
        }
        active.extend(begin);
        previous = cut;
    }
    let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let rectangles = stretches.into_iter().flat_map(|(first, last, spans)| {
        spans
            .into_iter()
            .map(move |span| (span, (port(first), port(last))))
    });
    rectangles.collect()
}

/// A number of a span as an address.
pub(super) fn address(number: u128, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into()
    } else {
        Ipv6Addr::from(number).into()
    }
}

fn span(net: IpNet) -> Span {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    (number(net.network()), number(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use palisade_policy::testing::strategies::ip_block;

    #[test]
    fn excepts_at_the_edges_of_a_family_leave_nothing_over() {
        let block = |cidr: &str, except: &[&str]| {
            IpBlock::new(
                cidr.parse().unwrap(),
                except.iter().map(|net| net.parse().unwrap()),
            )
            .unwrap()
        };
        assert_eq!(spans(&block("::/0", &["::/0"])), []);
        assert_eq!(spans(&block("::/0", &["8000::/1"])), [(0, u128::MAX >> 1)]);
        assert_eq!(
            spans(&block("0.0.0.0/0", &["255.0.0.0/8", "0.0.0.0/8"])),
            [(1 << 24, (255 << 24) - 1)]
        );
    }

    proptest! {
        #[test]
        fn the_spans_of_a_block_hold_what_the_block_holds(block in ip_block(), near in any::<u16>()) {
            let spans = spans(&block);
            let base = span(block.cidr()).0;
            let number = base.saturating_add(u128::from(near) % 70_000).saturating_sub(3);
            let v4 = block.cidr().addr().is_ipv4();
            prop_assume!(!v4 || number <= u128::from(u32::MAX));
            let held = spans.iter().any(|(first, last)| (*first..=*last).contains(&number));
            prop_assert_eq!(held, block.contains(address(number, v4)));
        }

        #[test]
        fn rectangles_are_disjoint_and_cover_the_same(
            input in vec((0_u128..40, 0_u128..10, 0_u16..20, 0_u16..6), 0..12)
        ) {
            let input: Vec<(Span, PortSpan)> =
                input.into_iter().map(|(first, width, port, ports)| ((first, first + width), (port, port + ports))).collect();
            let output = rectangles(&input);
            let holds = |rectangles: &[(Span, PortSpan)], address: u128, port: u16| {
                rectangles.iter().filter(|((a, b), (p, q))| (*a..=*b).contains(&address) && (*p..=*q).contains(&port)).count()
            };
            for address in 0..52 {
                for port in 0..28 {
                    let count = holds(&output, address, port);
                    prop_assert!(count <= 1, "overlap at {address}:{port}");
                    prop_assert_eq!(count == 1, holds(&input, address, port) > 0);
                }
            }
        }
    }

    #[test]
    fn every_port_stays_every_port() {
        let everything = [((0, u128::MAX), ALL_PORTS)];
        assert_eq!(rectangles(&everything), everything);
    }
}

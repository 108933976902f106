//! The addresses of both families, cut where a block of a policy begins or ends.
//!
//! One sweep over the boundaries of all blocks yields the segments between them, each with the set of the blocks that it lies
//! in. Segments with equal sets are one *range*: no policy tells their addresses apart.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::Outside;
use super::family::{ByFamily, Family, number};
use super::numbering::Numbering;
use super::sets::{Set, Sets};
use crate::model::IpBlock;

/// First and last address of some in a row, as numbers.
type Span = (u128, u128);

/// All addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Ground {
    sets: Sets,
    /// The spans of each block without its excepts, in order.
    blocks: Vec<(Family, Vec<Span>)>,
    /// Where each segment begins, and the range that it belongs to. The first one begins at the first address.
    segments: ByFamily<Vec<(u128, usize)>>,
    /// The blocks that each range lies in.
    ranges: Vec<Set>,
}

impl Ground {
    /// The ground cut by blocks, which are known by their position from here on.
    pub(super) fn new(blocks: &[&IpBlock]) -> Self {
        let mut ground = Self {
            sets: Sets::below(blocks.len()),
            blocks: blocks
                .iter()
                .map(|block| (Family::of(block.cidr().addr()), spans(block)))
                .collect(),
            ..Self::default()
        };
        ground.segments = ByFamily::new(|family| ground.sweep(family));
        ground
    }

    fn sweep(&mut self, family: Family) -> Vec<(u128, usize)> {
        let own = self
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, (of, _))| *of == family);
        let mut cuts: Vec<(u128, usize)> = own
            .flat_map(|(block, (_, spans))| spans.iter().map(move |span| (block, *span)))
            .flat_map(|(block, (first, last))| {
                // Where the family ends, nothing has to be closed.
                let end = (last < family.last()).then(|| (last + 1, block));
                [Some((first, block)), end]
            })
            .flatten()
            .collect();
        cuts.sort_unstable();

        let mut sets: Vec<(u128, Set)> = Vec::new();
        let mut set = Sets::EMPTY;
        if cuts.first().is_none_or(|(at, _)| *at > 0) {
            sets.push((0, set));
        }
        for here in cuts.chunk_by(|(one, _), (other, _)| one == other) {
            set = here
                .iter()
                .fold(set, |set, (_, block)| self.sets.toggle(set, *block));
            sets.extend(here.first().map(|(at, _)| (*at, set)));
        }

        let offset = self.ranges.len();
        let mut ranges = Numbering::default();
        let segments = sets
            .into_iter()
            .map(|(at, set)| (at, offset + ranges.number(set)))
            .collect();
        self.ranges.extend(ranges.into_values());
        segments
    }

    /// The range that an address lies in; there is one, unless there is no ground at all.
    pub(super) fn range(&self, address: IpAddr) -> Option<usize> {
        let segments = self.segments.get(Family::of(address));
        let next = segments.partition_point(|(start, _)| *start <= number(address));
        segments.get(next.checked_sub(1)?).map(|(_, range)| *range)
    }

    /// Whether a range lies in a block.
    pub(super) fn is_within(&self, range: usize, block: usize) -> bool {
        self.ranges
            .get(range)
            .is_some_and(|set| self.sets.contains(*set, block))
    }

    /// The blocks that a range lies in.
    pub(super) fn blocks_around(&self, range: usize) -> Vec<usize> {
        self.ranges
            .get(range)
            .map(|set| self.sets.members(*set))
            .unwrap_or_default()
    }

    /// The ranges that lie in a block, in order.
    pub(super) fn ranges_within(&self, block: usize) -> Vec<usize> {
        let Some((family, spans)) = self.blocks.get(block) else {
            return Vec::new();
        };
        let segments = self.segments.get(*family);
        let within = spans.iter().flat_map(|(first, last)| {
            let begin = segments.partition_point(|(start, _)| start < first);
            let within = segments.iter().skip(begin);
            within.take_while(move |(start, _)| start <= last)
        });
        let mut ranges: Vec<usize> = within.map(|(_, range)| *range).collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// The addresses of each range, as few and as large blocks as possible: first those of IPv4, in the order of their first
    /// address.
    pub(super) fn ranges(&self) -> Vec<(Family, Vec<IpNet>)> {
        let mut ranges: Vec<(Family, Vec<IpNet>)> = Vec::with_capacity(self.ranges.len());
        for family in Family::ALL {
            let segments = self.segments.get(family);
            let ends = segments
                .iter()
                .skip(1)
                .map(|(next, _)| next - 1)
                .chain([family.last()]);
            for ((first, range), last) in segments.iter().zip(ends) {
                if *range == ranges.len() {
                    ranges.push((family, Vec::new()));
                }
                if let Some((_, blocks)) = ranges.get_mut(*range) {
                    blocks.extend(cover(family, (*first, last)));
                }
            }
        }
        ranges
    }
}

/// Both grounds at once: the addresses that lie in one range of one and in one range of the other, with these two.
pub(super) fn refine(one: &Ground, other: &Ground) -> Vec<(Outside, usize, usize)> {
    let mut refined: Vec<(Outside, usize, usize)> = Vec::new();
    for family in Family::ALL {
        let segments = [one, other]
            .into_iter()
            .flat_map(|ground| ground.segments.get(family));
        let mut starts: Vec<u128> = segments.map(|(start, _)| *start).collect();
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).map(|next| next - 1).chain([family.last()]);
        let mut ranges = Numbering::default();
        let offset = refined.len();
        for (first, last) in starts.iter().zip(ends) {
            let address = family.address(*first);
            let (Some(in_one), Some(in_other)) = (one.range(address), other.range(address)) else {
                continue;
            };
            let range = offset + ranges.number((in_one, in_other));
            let blocks = cover(family, (*first, last));
            match refined.get_mut(range) {
                Some((outside, _, _)) => outside.blocks.extend(blocks),
                None => refined.push((Outside { family, blocks }, in_one, in_other)),
            }
        }
    }
    refined
}

/// The addresses of a block that are in none of its excepts.
fn spans(block: &IpBlock) -> Vec<Span> {
    let ends = |net: &IpNet| (number(net.network()), number(net.broadcast()));
    let (first, last) = ends(&block.cidr());
    let mut excepts: Vec<Span> = block.except().iter().map(ends).collect();
    excepts.sort_unstable();

    let (mut spans, mut next) = (Vec::new(), Some(first));
    for (start, end) in excepts {
        let Some(open) = next else { break };
        if open < start {
            spans.push((open, start - 1));
        }
        next = end.checked_add(1).map(|after| after.max(open));
    }
    spans.extend(next.filter(|open| *open <= last).map(|open| (open, last)));
    spans
}

/// The fewest blocks that are exactly a span.
fn cover(family: Family, (first, last): Span) -> Vec<IpNet> {
    match (family.address(first), family.address(last)) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
        // Both are of one family.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Peer;
    use crate::testing::builders::block;

    fn ip_block(cidr: &str, except: &[&str]) -> IpBlock {
        match block(cidr, except) {
            Peer::Block(block) => block,
            Peer::Pods(_) => panic!("a block"),
        }
    }

    fn shown(blocks: &[IpBlock]) -> Vec<String> {
        let ground = Ground::new(&blocks.iter().collect::<Vec<_>>());
        let ranges = ground.ranges();
        let lines = ranges.iter().map(|(_, blocks)| {
            let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            blocks.join(" ")
        });
        lines.collect()
    }

    #[test]
    fn without_blocks_each_family_is_one_range() {
        assert_eq!(shown(&[]), ["0.0.0.0/0", "::/0"]);
    }

    #[test]
    fn a_hole_in_a_block_belongs_to_what_is_around_it() {
        let blocks = [
            ip_block("10.0.0.0/30", &["10.0.0.1/32", "10.0.0.0/31"]),
            ip_block("fd00::/16", &[]),
        ];
        let ground = Ground::new(&blocks.iter().collect::<Vec<_>>());
        assert_eq!(
            ground.range("10.0.0.0".parse().unwrap()),
            ground.range("9.9.9.9".parse().unwrap())
        );
        assert_eq!(
            ground.ranges_within(0),
            [ground.range("10.0.0.2".parse().unwrap()).unwrap()]
        );
        let lines = shown(&blocks);
        assert_eq!(lines[1], "10.0.0.2/31");
        assert_eq!(lines[3], "fd00::/16");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn blocks_may_begin_and_end_with_their_family() {
        let blocks = [
            ip_block("255.255.255.0/24", &["255.255.255.255/32"]),
            ip_block("0.0.0.0/1", &["0.0.0.0/32"]),
        ];
        let lines = shown(&blocks);
        assert!(lines[0].starts_with("0.0.0.0/32 128.0.0.0/2 "), "{}", lines[0]);
        assert!(lines[0].ends_with(" 255.255.255.255/32"), "{}", lines[0]);
        assert!(lines[1].starts_with("0.0.0.1/32 0.0.0.2/31 "), "{}", lines[1]);
        let everything = [
            ip_block("0.0.0.0/0", &["0.0.0.0/0"]),
            ip_block("::/0", &["8000::/1"]),
        ];
        assert_eq!(shown(&everything), ["0.0.0.0/0", "::/1", "8000::/1"]);
    }
}

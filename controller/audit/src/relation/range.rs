//! Sets of addresses, and the shortest way to write one down.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use palisade_policy::reach::Family;

/// A set of addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    family: Family,
    /// First and last of each span, as numbers; in order, neither overlapping nor touching.
    spans: Vec<(u128, u128)>,
}

/// A block without some blocks in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The block.
    pub cidr: IpNet,
    /// What is taken out of it, in order.
    pub except: Vec<IpNet>,
}

impl Addresses {
    /// The addresses of a family that are in any of some blocks. Blocks of the other family count for nothing.
    pub fn of<'a>(family: Family, blocks: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let own = blocks
            .into_iter()
            .filter(|block| Family::of(block.addr()) == family);
        let spans = own.map(|block| (number(block.network()), number(block.broadcast())));
        Self {
            family,
            spans: normal(spans.collect()),
        }
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.spans.partition_point(|(first, _)| *first <= number);
        Family::of(address) == self.family
            && after
                .checked_sub(1)
                .and_then(|at| self.spans.get(at))
                .is_some_and(|(_, last)| number <= *last)
    }

    /// Whether an address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// What is in both: nothing if they are of two families.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut spans = Vec::new();
        let (mut ours, mut theirs) = (self.spans.iter().peekable(), other.spans.iter().peekable());
        while let (Some(one), Some(two)) = (ours.peek(), theirs.peek()) {
            let (first, last) = (one.0.max(two.0), one.1.min(two.1));
            if first <= last {
                spans.push((first, last));
            }
            if one.1 <= two.1 {
                ours.next();
            } else {
                theirs.next();
            }
        }
        if self.family != other.family {
            spans.clear();
        }
        Self {
            family: self.family,
            spans,
        }
    }

    /// The set as few and large blocks as possible, in order.
    pub fn blocks(&self) -> Vec<IpNet> {
        let outside = Self {
            family: self.family,
            spans: gaps(self.family, &self.spans),
        };
        write(outside.family, &outside.spans, 0, bits(self.family)).without
    }

    /// The addresses one by one, in order. There may be very many.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let spans = self.spans.iter();
        spans.flat_map(|(first, last)| (*first..=*last).map(|number| address(self.family, number)))
    }

    /// The shortest way to write the set as blocks that do not overlap, each without some blocks in it; shortest in the
    /// number of blocks that are written. In order.
    pub fn parts(&self) -> Vec<Part> {
        write(self.family, &self.spans, 0, bits(self.family)).with
    }
}

impl fmt::Display for Addresses {
    /// The parts: `10.0.0.0/8, 0.0.0.0/0 except 10.1.0.0/16 and 10.2.0.0/16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts().iter().map(Part::to_string).collect();
        f.write_str(&parts.join(", "))
    }
}

impl Part {
    /// How many blocks it takes to write it.
    pub fn blocks(&self) -> usize {
        1 + self.except.len()
    }

    /// As `Display`, with excepts beyond `limit` only counted.
    pub fn shortened(&self, limit: usize) -> String {
        if self.except.len() <= limit {
            return self.to_string();
        }
        format!("{} except {} blocks", block(&self.cidr), self.except.len())
    }
}

impl fmt::Display for Part {
    /// `10.0.0.0/8 except 10.1.0.0/16 and 10.2.0.0/16`; a block of one address without its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&block(&self.cidr))?;
        for (position, except) in self.except.iter().enumerate() {
            let word = if position == 0 { "except" } else { "and" };
            write!(f, " {word} {}", block(except))?;
        }
        Ok(())
    }
}

fn block(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// A set within a block, written in two ways.
struct Written {
    /// The set.
    with: Vec<Part>,
    /// The blocks that the set lacks.
    without: Vec<IpNet>,
}

/// Writes what `spans` have in the block of 2^`bits` addresses from `first`. Either each half is written as it is best, or
/// the whole block without what it lacks: what is best for a block is made of what is best for its halves.
fn write(family: Family, spans: &[(u128, u128)], first: u128, bits: u8) -> Written {
    let last = first | u128::MAX.checked_shr(128 - u32::from(bits)).unwrap_or(0);
    let start = spans.partition_point(|(_, end)| *end < first);
    let end = spans.partition_point(|(begin, _)| *begin <= last);
    let within = spans.get(start..end).unwrap_or_default();
    let net = net(family, first, bits);
    match within {
        [] => Written {
            with: Vec::new(),
            without: vec![net],
        },
        [(begin, end)] if *begin <= first && last <= *end => Written {
            with: vec![Part {
                cidr: net,
                except: Vec::new(),
            }],
            without: Vec::new(),
        },
        within => {
            let half = bits.saturating_sub(1);
            let mut both = write(family, within, first, half);
            let upper = write(family, within, first | (1 << half), half);
            both.with.extend(upper.with);
            both.without.extend(upper.without);
            let cost: usize = both.with.iter().map(Part::blocks).sum();
            if 1 + both.without.len() < cost {
                both.with = vec![Part {
                    cidr: net,
                    except: both.without.clone(),
                }];
            }
            both
        }
    }
}

/// How long the addresses of a family are.
fn bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// What is between some spans, before and after them.
fn gaps(family: Family, spans: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let last = match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    };
    let mut next = Some(0_u128);
    let mut gaps = Vec::new();
    for (first, end) in spans {
        if let (Some(start), Some(before)) = (next, first.checked_sub(1))
            && start <= before
        {
            gaps.push((start, before));
        }
        next = end.checked_add(1);
    }
    gaps.extend(next.filter(|start| *start <= last).map(|start| (start, last)));
    gaps
}

fn net(family: Family, first: u128, bits: u8) -> IpNet {
    let address = address(family, first);
    let length = self::bits(family).saturating_sub(bits);
    IpNet::new(address, length).unwrap_or_else(|_| address.into())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// In order, with what overlaps or touches made one.
fn normal(mut spans: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    spans.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::IpBlock;
    use palisade_policy::testing::{config, strategies};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn set(blocks: &[&str]) -> Addresses {
        let blocks: Vec<IpNet> = blocks.iter().map(|block| block.parse().unwrap()).collect();
        Addresses::of(Family::of(blocks[0].addr()), &blocks)
    }

    /// A block without excepts, as the blocks of what is left.
    fn without(block: &str, excepts: &[&str]) -> Vec<IpNet> {
        let left = Addresses {
            family: Family::V4,
            spans: gaps(Family::V4, &set(excepts).spans),
        };
        set(&[block]).intersection(&left).blocks()
    }

    #[test]
    fn a_family_without_a_block_is_written_as_that() {
        let rest = without("0.0.0.0/0", &["10.0.0.0/8"]);
        assert_eq!(rest.len(), 8, "what the short form stands for");
        let rest = Addresses::of(Family::V4, &rest);
        assert_eq!(rest.to_string(), "0.0.0.0/0 except 10.0.0.0/8");
    }

    #[test]
    fn what_is_outside_of_a_short_form_stands_beside_it() {
        let mut blocks = without("10.0.0.0/8", &["10.1.2.0/24", "10.7.0.1/32"]);
        blocks.push("192.168.0.0/16".parse().unwrap());
        blocks.push("192.0.2.7/32".parse().unwrap());
        insta::assert_snapshot!(
            Addresses::of(Family::V4, &blocks),
            @"10.0.0.0/8 except 10.1.2.0/24 and 10.7.0.1, 192.0.2.7, 192.168.0.0/16"
        );
    }

    #[test]
    fn blocks_that_touch_are_one() {
        assert_eq!(set(&["10.0.0.0/9", "10.128.0.0/9"]).to_string(), "10.0.0.0/8");
        assert_eq!(set(&["::/1", "8000::/1"]).to_string(), "::/0");
    }

    #[test]
    fn a_long_list_of_excepts_can_be_counted() {
        let part = Part {
            cidr: "0.0.0.0/0".parse().unwrap(),
            except: without("0.0.0.0/0", &["10.0.0.0/8"]),
        };
        assert_eq!(part.shortened(4), "0.0.0.0/0 except 8 blocks");
    }

    proptest! {
        #![proptest_config(config(200))]

        #[test]
        fn what_is_written_is_the_set(blocks in vec(strategies::ip_block(), 1..5)) {
            for family in Family::ALL {
                let cidrs: Vec<IpNet> = blocks.iter().map(IpBlock::cidr).collect();
                let excepts: Vec<IpNet> = blocks.iter().flat_map(IpBlock::except).copied().collect();
                let (all, out) = (Addresses::of(family, &cidrs), Addresses::of(family, &excepts));
                let left = Addresses { family, spans: gaps(family, &out.spans) };
                let set = all.intersection(&left);
                let parts = set.parts();
                let read = parts.iter().map(|part| {
                    let out = Addresses::of(family, &part.except);
                    let left = Addresses { family, spans: gaps(family, &out.spans) };
                    Addresses::of(family, [&part.cidr]).intersection(&left)
                });
                let spans = read.flat_map(|part| part.spans).collect();
                prop_assert_eq!(&set.spans, &normal(spans), "{}", set);
                prop_assert_eq!(&set, &Addresses::of(family, &set.blocks()));
                let blocks: usize = parts.iter().map(Part::blocks).sum();
                prop_assert!(blocks <= set.blocks().len(), "never longer than the plain list");
            }
        }
    }
}

//! What the page calls classes of pods and ranges outside: what [`relation`] calls them, without what goes
//! without saying in a row of a namespace.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use palisade_policy::model::{Labels, NamespaceName};
use palisade_policy::reach::{Class, End, Family, Outside, Reach};

use crate::inventory::{Inventory, WorkloadKind};
use crate::relation;

/// The names of the classes of pods, and how many pods each stands for.
#[derive(Debug)]
pub(super) struct Names {
    full: relation::Names,
    /// Of each class, its name within its namespace.
    classes: Vec<String>,
}

impl Names {
    pub(super) fn of(inventory: &Inventory, reach: &Reach) -> Self {
        let full = relation::Names::of(inventory, reach.classes(), reach.outside());
        let mut taken: BTreeMap<(&NamespaceName, &str), usize> = BTreeMap::new();
        let classes = || reach.classes().iter().enumerate();
        for (index, class) in classes() {
            let short = without_kind(within(class, full.end(End::Pods(index))));
            *taken.entry((&class.namespace, short)).or_default() += 1;
        }
        let name = |(index, class): (usize, &Class)| {
            let name = within(class, full.end(End::Pods(index)));
            let short = without_kind(name);
            let alone = taken.get(&(&class.namespace, short)) == Some(&1);
            match if alone { short } else { name } {
                "*" => "all pods".to_owned(),
                name => name.to_owned(),
            }
        };
        let classes = classes().map(name).collect();
        Self { full, classes }
    }

    /// The name of a class within its namespace.
    pub(super) fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", String::as_str)
    }

    /// How many pods a class has: of templates all replicas count.
    pub(super) fn pods(&self, class: usize) -> u64 {
        self.full.pods(End::Pods(class)).unwrap_or_default()
    }

    /// The addresses of a range, in the shortest way.
    pub(super) fn addresses(&self, range: usize) -> &str {
        self.full.end(End::Outside(range))
    }

    /// The name of each range outside: its addresses, and of the largest of a family that it is the rest.
    pub(super) fn ranges(&self, reach: &Reach) -> Vec<String> {
        let ranges = reach.outside();
        let rest = [Family::V4, Family::V6].map(|family| largest(ranges, family));
        let name = |(index, range): (usize, &Outside)| {
            let alone = ranges.iter().filter(|other| other.family == range.family).count() == 1;
            let family = family(range.family);
            if alone {
                format!("any {family} address")
            } else if rest.contains(&Some(index)) {
                format!("other {family} addresses")
            } else {
                self.addresses(index).to_owned()
            }
        };
        ranges.iter().enumerate().map(name).collect()
    }
}

/// `deployment/web` of `shop/deployment/web`.
fn within<'a>(class: &Class, name: &'a str) -> &'a str {
    let rest = name.strip_prefix(class.namespace.as_str());
    rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// `web` of `deployment/web`; what is no single workload stays.
fn without_kind(name: &str) -> &str {
    let Some((kind, short)) = name.split_once('/') else {
        return name;
    };
    let single = !short.contains('/');
    let known = WorkloadKind::ALL
        .iter()
        .any(|known| known.as_str().eq_ignore_ascii_case(kind));
    if single && known { short } else { name }
}

/// The ranges outside that some pod can talk to, with their indexes: those of the families that pods have.
pub(super) fn ranges(reach: &Reach) -> impl Iterator<Item = (usize, &Outside)> {
    let members = || reach.classes().iter().filter_map(|class| class.members.first());
    let v4 = members().any(|member| member.v4.is_some());
    let v6 = members().any(|member| member.v6.is_some());
    reach
        .outside()
        .iter()
        .enumerate()
        .filter(move |(_, range)| match range.family {
            Family::V4 => v4,
            Family::V6 => v6,
        })
}

/// The range of a family with the most addresses.
fn largest(ranges: &[Outside], family: Family) -> Option<usize> {
    let of_family = ranges
        .iter()
        .enumerate()
        .filter(|(_, range)| range.family == family);
    let largest = of_family.max_by_key(|(index, range)| (size(range), std::cmp::Reverse(*index)));
    largest.map(|(index, _)| index)
}

/// `app=web, tier=a`
pub(super) fn labels(labels: &Labels) -> String {
    let labels = labels.iter().map(|(key, value)| label(key, value));
    labels.collect::<Vec<_>>().join(", ")
}

/// `app=web`
pub(super) fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// The block of all addresses of a family.
pub(super) fn every_address(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::default().into(),
        Family::V6 => Ipv6Net::default().into(),
    }
}

/// A family as people write it.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// How many addresses a range has, at most the largest number there is.
fn size(range: &Outside) -> u128 {
    let sizes = range.blocks.iter().map(|block| {
        let free = u32::from(block.max_prefix_len() - block.prefix_len());
        1_u128.checked_shl(free).unwrap_or(u128::MAX)
    });
    sizes.fold(0, u128::saturating_add)
}

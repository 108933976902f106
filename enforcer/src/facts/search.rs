//! Pods without a CNI result, found by their addresses.
//!
//! A runtime that keeps its results elsewhere, or a plugin whose results do not name the node's end of the veth, leaves
//! the CNI cache silent about a pod. The API tells its addresses some time after it started, and the kernel tells
//! where these are:
//!
//! ```text
//!   a host route to the address ───────────────────────────────────────► veth     made by the node alone
//!   the address inside a pod's network namespace ── the peer's number ──► veth     with `--pod-namespaces`
//!   a neighbour on a bridge ── its hardware address ── forwarding table ► port     learned from packets
//! ```
//! In this order of trust, and all of them below a CNI result: what was learned from packets may be what another pod
//! without a result pretends. So an interface that a result gives to a pod is never given to another, one that two
//! pods could have is given to neither, and nobody is looked for before [`PATIENCE`] has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use palisade_policy::model::PodUid;

use super::cni::Attachment;
use super::links::{Kind, Links};
use crate::nft::model::Interface;
use crate::plan::Place;

/// A result comes before the first container of its pod, the API's address after. One that is so late will not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often those who have no result are looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pods that the API names, and its addresses for them.
pub type NamedPods = BTreeMap<PodUid, BTreeSet<IpAddr>>;

/// How far the search for pods without a CNI result goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchScope {
    /// Nobody is looked for: such a pod stays closed.
    None,
    /// What the node alone decides: routes, and network namespaces where their directory is given.
    Routes,
    /// What bridges have learned from packets as well.
    #[default]
    Any,
}

/// Who is looked for, and since when.
#[derive(Debug)]
pub(super) struct Search {
    scope: SearchScope,
    wanted: BTreeMap<PodUid, (BTreeSet<IpAddr>, Instant)>,
}

impl Search {
    /// Nobody is wanted yet.
    pub(super) fn new(scope: SearchScope) -> Self {
        Self {
            scope,
            wanted: BTreeMap::new(),
        }
    }

    /// Replaces who is wanted; who was before keeps his waiting time.
    pub(super) fn want(&mut self, wanted: NamedPods, now: Instant) {
        if self.scope == SearchScope::None {
            return;
        }
        let before = std::mem::take(&mut self.wanted);
        let since = |uid: &PodUid, addresses: &BTreeSet<IpAddr>| {
            let known = before.get(uid).filter(|(known, _)| known == addresses);
            known.map_or(now, |(_, since)| *since)
        };
        self.wanted = wanted
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(uid, addresses)| {
                let since = since(&uid, &addresses);
                (uid, (addresses, since))
            })
            .collect();
    }

    /// Those who have waited long enough and are not among `known`.
    pub(super) fn lost(&self, known: &BTreeSet<&PodUid>, now: Instant) -> NamedPods {
        let lost = self
            .wanted
            .iter()
            .filter(|(uid, (_, since))| !known.contains(uid) && now >= *since + PATIENCE);
        lost.map(|(uid, (addresses, _))| (uid.clone(), addresses.clone()))
            .collect()
    }

    /// When to look again, after `now`; never where everybody is known.
    pub(super) fn next(&self, known: &BTreeSet<&PodUid>, now: Instant) -> Option<Instant> {
        let unknown = self.wanted.iter().filter(|(uid, _)| !known.contains(uid));
        unknown
            .map(|(_, (_, since))| (*since + PATIENCE).max(now + INTERVAL))
            .min()
    }
}

/// What the kernel says about where addresses are. Links are given by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The link that a host route to the address leads to.
    pub(super) routes: BTreeMap<IpAddr, u32>,
    /// The veth whose other end has the address.
    pub(super) inside: BTreeMap<IpAddr, u32>,
    /// On which link, and with which hardware address, a neighbour has the address.
    pub(super) neighbours: BTreeMap<IpAddr, (u32, Vec<u8>)>,
    /// The port behind which a bridge (the first number) has seen a hardware address.
    pub(super) ports: BTreeMap<(u32, Vec<u8>), u32>,
}

impl Hints {
    /// The node's end of the veth at which an address is.
    fn veth(&self, address: IpAddr, links: &Links) -> Option<Interface> {
        let veth = |index: u32| {
            let (name, link) = links.by_index(index)?;
            (link.kind == Kind::Veth).then(|| name.clone())
        };
        let behind_bridge = || {
            let (link, hardware) = self.neighbours.get(&address)?;
            self.ports.get(&(*link, hardware.clone())).copied()
        };
        let route = self.routes.get(&address).copied().and_then(veth);
        let inside = || self.inside.get(&address).copied().and_then(veth);
        route.or_else(inside).or_else(|| behind_bridge().and_then(veth))
    }
}

/// Attachments for those of `lost` whose addresses are all at one veth that nobody else has.
pub(super) fn find<'a>(
    lost: &NamedPods,
    hints: &Hints,
    links: &Links,
    placed: impl IntoIterator<Item = &'a Place>,
) -> Vec<Attachment> {
    let mut owners: BTreeMap<Interface, usize> = BTreeMap::new();
    for place in placed {
        owners.insert(place.interface.clone(), 1);
    }
    let found: Vec<_> = lost
        .iter()
        .filter_map(|(uid, addresses)| {
            let veths: BTreeSet<Interface> = addresses
                .iter()
                .map(|address| hints.veth(*address, links))
                .collect::<Option<_>>()?;
            let [veth] = <[Interface; 1]>::try_from(Vec::from_iter(veths)).ok()?;
            Some((uid, veth, addresses))
        })
        .collect();
    for (_, veth, _) in &found {
        *owners.entry(veth.clone()).or_default() += 1;
    }
    let own = found
        .into_iter()
        .filter(|(_, veth, _)| owners.get(veth) == Some(&1));
    own.map(|(uid, veth, addresses)| Attachment {
        uid: uid.clone(),
        pod: None,
        outside: [veth].into(),
        addresses: addresses.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::links::Link;
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn links() -> Links {
        let link = |(name, index, kind, master): (&str, u32, Kind, Option<u32>)| {
            let link = Link {
                index,
                kind,
                master,
                addresses: BTreeSet::new(),
            };
            (Interface::new(name).unwrap(), link)
        };
        let bridge = Kind::Bridge { filtered: true };
        let links = [
            ("eth0", 1, Kind::Other(None), None),
            ("v1", 2, Kind::Veth, None),
            ("cni0", 3, bridge, None),
            ("v2", 4, Kind::Veth, Some(3)),
        ];
        Links(links.into_iter().map(link).collect())
    }

    fn wanted(pods: &[(&str, &[&str])]) -> NamedPods {
        pods.iter()
            .map(|(uid, addresses)| {
                let addresses = addresses.iter().map(|text| address(text)).collect();
                (PodUid::from(*uid), addresses)
            })
            .collect()
    }

    fn hints() -> Hints {
        let hardware = vec![2, 0, 0, 0, 0, 1];
        Hints {
            routes: [(address("10.1.0.5"), 2), (address("10.1.0.9"), 1)].into(),
            inside: [(address("fd00::5"), 2)].into(),
            neighbours: [(address("10.1.0.6"), (3, hardware.clone()))].into(),
            ports: [((3, hardware), 4)].into(),
        }
    }

    fn found(lost: &NamedPods, placed: &[Place]) -> Vec<(String, String)> {
        find(lost, &hints(), &links(), placed)
            .into_iter()
            .map(|attachment| {
                let veth = attachment.outside.first().unwrap().to_string();
                (attachment.uid.to_string(), veth)
            })
            .collect()
    }

    fn is(uid: &str, veth: &str) -> (String, String) {
        (uid.to_owned(), veth.to_owned())
    }

    #[test]
    fn routes_namespaces_and_forwarding_tables_tell_the_veth() {
        let lost = wanted(&[("a", &["10.1.0.5", "fd00::5"]), ("b", &["10.1.0.6"])]);
        assert_eq!(found(&lost, &[]), [is("a", "v1"), is("b", "v2")]);
    }

    #[test]
    fn a_pod_of_which_one_address_is_elsewhere_or_nowhere_is_not_found() {
        for addresses in [
            &["10.1.0.5", "10.1.0.6"][..],
            &["10.1.0.5", "10.1.0.7"],
            &["10.1.0.9"],
        ] {
            assert_eq!(found(&wanted(&[("a", addresses)]), &[]), [], "{addresses:?}");
        }
    }

    #[test]
    fn an_interface_that_somebody_has_is_not_given_away_and_one_that_two_could_have_goes_to_neither() {
        let place = Place {
            interface: Interface::new("v2").unwrap(),
            index: 4,
            bridge: None,
            addresses: BTreeSet::new(),
        };
        let lost = wanted(&[("a", &["10.1.0.5"]), ("b", &["10.1.0.6"])]);
        assert_eq!(found(&lost, &[place]), [is("a", "v1")]);
        let rivals = wanted(&[("a", &["10.1.0.5"]), ("b", &["fd00::5"]), ("c", &["10.1.0.6"])]);
        assert_eq!(found(&rivals, &[]), [is("c", "v2")]);
    }

    #[test]
    fn nobody_is_looked_for_where_that_is_not_wanted() {
        let start = Instant::now();
        let mut search = Search::new(SearchScope::None);
        search.want(wanted(&[("a", &["10.1.0.5"])]), start);
        assert_eq!(search.lost(&BTreeSet::new(), start + PATIENCE), NamedPods::new());
        assert_eq!(search.next(&BTreeSet::new(), start), None);
    }

    #[test]
    fn nobody_is_looked_for_who_is_known_or_has_not_waited() {
        let start = Instant::now();
        let mut search = Search::new(SearchScope::Any);
        search.want(
            wanted(&[("a", &["10.1.0.5"]), ("b", &["10.1.0.6"]), ("c", &[])]),
            start,
        );
        let b = PodUid::from("b");
        let known = BTreeSet::from([&b]);
        assert_eq!(search.lost(&known, start), NamedPods::new());
        assert_eq!(search.next(&known, start), Some(start + PATIENCE));

        // Saying it again does not start the wait anew, other addresses do.
        let later = start + PATIENCE;
        search.want(wanted(&[("a", &["10.1.0.5"]), ("b", &["10.1.0.7"])]), later);
        assert_eq!(
            search.lost(&BTreeSet::new(), later),
            wanted(&[("a", &["10.1.0.5"])])
        );
        assert_eq!(search.next(&known, later), Some(later + INTERVAL));
        let a = PodUid::from("a");
        assert_eq!(search.next(&BTreeSet::from([&a, &b]), later), None);
    }
}

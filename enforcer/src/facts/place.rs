//! From CNI results and links to the facts that a plan needs.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::PodUid;

use super::cni::Attachment;
use super::links::{Kind, Link, Links};
use super::{Bridge, FactsSettings, Observed};
use crate::nft::model::{Interface, InterfacePattern};
use crate::plan::Place;

/// Joins what the CNI said with what the kernel has.
///
/// A place is valid while its veth exists; which bridge that is a port of, the kernel says. Of two attachments of one
/// pod, as after a crash of its sandbox, the last counts.
pub(super) fn join<'a>(
    attachments: impl IntoIterator<Item = &'a Attachment>,
    links: &Links,
    settings: &FactsSettings,
) -> Observed {
    let mut observed = Observed::default();
    for attachment in attachments {
        match place(attachment, links) {
            Ok(place) => {
                observed.places.insert(attachment.uid.clone(), place);
            }
            Err(Placeless::Elsewhere) => observed.elsewhere += 1,
            Err(Placeless::Unsupported(problem)) => {
                observed.unsupported.insert(attachment.uid.clone(), problem);
            }
        }
    }
    let placed: BTreeSet<&PodUid> = observed.places.keys().collect();
    observed.unsupported.retain(|uid, _| !placed.contains(uid));
    let addresses = links.0.values().flat_map(|link| &link.addresses);
    observed.addresses = addresses.copied().collect();
    observed.bridges = bridges(&observed.places, links, settings);
    observed
}

enum Placeless {
    /// Another node's, or of a pod that is gone.
    Elsewhere,
    /// Here, but attached in a way that cannot be enforced.
    Unsupported(String),
}

fn place(attachment: &Attachment, links: &Links) -> Result<Place, Placeless> {
    let veths = attachment.outside.iter().filter_map(|name| {
        let link = links.get(name)?;
        (link.kind == Kind::Veth).then_some((name, link))
    });
    let veths: Vec<_> = veths.collect();
    let (interface, link) = match veths.as_slice() {
        [] => return Err(Placeless::Elsewhere),
        [one] => *one,
        [(first, _), (second, _), ..] => {
            return Err(Placeless::Unsupported(format!(
                "both {first} and {second} could be its interface"
            )));
        }
    };
    let bridge = match link.master.map(|index| links.by_index(index)) {
        None => None,
        Some(Some((name, master))) if matches!(master.kind, Kind::Bridge { .. }) => Some(name.clone()),
        Some(Some((name, _))) => {
            return Err(Placeless::Unsupported(format!(
                "{interface} is a port of {name}, which is no bridge"
            )));
        }
        Some(None) => {
            return Err(Placeless::Unsupported(format!(
                "{interface} is a port of something unknown"
            )));
        }
    };
    Ok(Place {
        interface: interface.clone(),
        index: link.index,
        bridge,
        addresses: attachment.addresses.clone(),
    })
}

/// All bridges.
fn bridges(
    places: &BTreeMap<PodUid, Place>,
    links: &Links,
    settings: &FactsSettings,
) -> BTreeMap<Interface, Bridge> {
    let may_be_a_pods = |(port, link): (&Interface, &Link)| {
        link.kind == Kind::Veth
            && settings
                .pod_interfaces
                .iter()
                .any(|pattern| is_like(port, pattern))
    };
    let bridges = links.0.iter().filter_map(|(name, link)| {
        let Kind::Bridge { filtered } = link.kind else {
            return None;
        };
        let has_pods = places.values().any(|place| place.bridge.as_ref() == Some(name))
            || links.ports(link.index).any(may_be_a_pods);
        let bridge = Bridge {
            index: link.index,
            filtered,
            has_pods,
            addresses: link.addresses.clone(),
            uplinks: uplinks(link.index, links, settings),
        };
        Some((name.clone(), bridge))
    });
    bridges.collect()
}

/// The ports of a bridge that lead elsewhere than to a pod.
fn uplinks(bridge: u32, links: &Links, settings: &FactsSettings) -> BTreeSet<Interface> {
    let leads_elsewhere =
        |(name, kind): (&Interface, &Kind)| *kind != Kind::Veth || settings.uplinks.contains(name);
    let ports = links
        .ports(bridge)
        .filter(|(name, link)| leads_elsewhere((name, &link.kind)));
    ports.map(|(name, _)| name.clone()).collect()
}

fn is_like(interface: &Interface, pattern: &InterfacePattern) -> bool {
    match pattern {
        InterfacePattern::Is(name) => interface == name,
        InterfacePattern::Begins(stem) => interface.as_str().starts_with(stem.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str) -> Interface {
        Interface::new(name).unwrap()
    }

    fn links(links: &[(&str, u32, Kind, Option<u32>)]) -> Links {
        let link = |(name, index, kind, master): &(&str, u32, Kind, Option<u32>)| {
            (
                interface(name),
                Link {
                    index: *index,
                    kind: kind.clone(),
                    master: *master,
                    addresses: BTreeSet::new(),
                },
            )
        };
        Links(links.iter().map(link).collect())
    }

    fn attachment(uid: &str, outside: &[&str], address: &str) -> Attachment {
        Attachment {
            uid: uid.into(),
            pod: None,
            outside: outside.iter().map(|name| interface(name)).collect(),
            addresses: [address.parse().unwrap()].into(),
        }
    }

    const BRIDGE: Kind = Kind::Bridge { filtered: false };

    fn vxlan() -> Kind {
        Kind::Other(Some("vxlan".into()))
    }

    #[test]
    fn the_kernel_says_which_of_the_named_interfaces_is_the_veth_and_what_it_is_a_port_of() {
        let links = links(&[
            ("other", 2, BRIDGE, None),
            ("cni0", 3, BRIDGE, None),
            ("v1", 4, Kind::Veth, Some(3)),
            ("v2", 5, Kind::Veth, None),
        ]);
        let attachments = [
            attachment("a", &["cni0", "v1"], "10.0.0.1"),
            attachment("b", &["v2"], "10.0.0.2"),
        ];
        let observed = join(&attachments, &links, &FactsSettings::default());
        let places = &observed.places;
        assert_eq!(places[&PodUid::from("a")].bridge, Some(interface("cni0")));
        assert_eq!(places[&PodUid::from("b")].bridge, None);
        assert_eq!(
            observed.facts(&[]).uplinks,
            BTreeMap::from([(interface("cni0"), BTreeSet::new())])
        );
        let bridge = &observed.bridges[&interface("cni0")];
        assert_eq!((bridge.index, bridge.filtered), (3, false));
        assert_eq!(["a", "b"].map(|uid| places[&PodUid::from(uid)].index), [4, 5]);
    }

    #[test]
    fn an_attachment_whose_interface_is_not_here_is_another_nodes() {
        let links = links(&[("cni0", 3, BRIDGE, None)]);
        let attachments = [attachment("a", &["cni0", "v1"], "10.0.0.1")];
        let observed = join(&attachments, &links, &FactsSettings::default());
        assert_eq!((observed.places, observed.elsewhere), (BTreeMap::new(), 1));
    }

    #[test]
    fn what_leads_elsewhere_than_to_a_pod_is_an_uplink_veths_only_where_named() {
        let links = links(&[
            ("weave", 3, BRIDGE, None),
            ("v1", 4, Kind::Veth, Some(3)),
            ("vxlan0", 5, vxlan(), Some(3)),
            ("vethwe-bridge", 6, Kind::Veth, Some(3)),
            ("eth0", 7, Kind::Other(None), None),
        ]);
        let attachments = [attachment("a", &["v1"], "10.0.0.1")];
        let mut settings = FactsSettings::default();
        let uplinks = |settings: &FactsSettings| {
            join(&attachments, &links, settings)
                .facts(&[])
                .uplinks
                .remove(&interface("weave"))
                .unwrap()
        };
        assert_eq!(uplinks(&settings), [interface("vxlan0")].into());
        settings.uplinks = [interface("vethwe-bridge"), interface("eth0")].into();
        assert_eq!(
            uplinks(&settings),
            [interface("vethwe-bridge"), interface("vxlan0")].into()
        );
    }

    #[test]
    fn a_bridge_with_ports_that_may_be_pods_is_watched_before_any_pod_is_known() {
        let links = links(&[
            ("cni0", 3, BRIDGE, None),
            ("v1", 4, Kind::Veth, Some(3)),
            ("br1", 5, BRIDGE, None),
        ]);
        let settings = FactsSettings {
            pod_interfaces: vec![InterfacePattern::parse("v*").unwrap()],
            ..Default::default()
        };
        let observed = join(&[], &links, &settings);
        assert_eq!(
            observed.facts(&[]).uplinks.keys().collect::<Vec<_>>(),
            [&interface("cni0")]
        );
    }

    #[test]
    fn the_gateway_of_the_pod_network_is_a_bridge_of_pods_before_any_pod_is_known() {
        let mut links = links(&[("cni0", 3, BRIDGE, None), ("docker0", 4, BRIDGE, None)]);
        for (name, address) in [("cni0", "10.244.1.1"), ("docker0", "172.17.0.1")] {
            let link = links.0.get_mut(&interface(name)).unwrap();
            link.addresses.insert(address.parse().unwrap());
        }
        let observed = join(&[], &links, &FactsSettings::default());
        let facts = observed.facts(&["10.244.1.0/24".parse().unwrap()]);
        assert_eq!(facts.uplinks.keys().collect::<Vec<_>>(), [&interface("cni0")]);
        assert!(observed.facts(&[]).uplinks.is_empty());
    }

    #[test]
    fn of_two_attachments_of_one_pod_the_last_one_that_is_here_counts() {
        let links = links(&[("v1", 4, Kind::Veth, None), ("v2", 5, Kind::Veth, None)]);
        let attachments = [
            attachment("a", &["v1"], "10.0.0.1"),
            attachment("a", &["v2"], "10.0.0.2"),
            attachment("a", &["v3"], "10.0.0.3"),
        ];
        let observed = join(&attachments, &links, &FactsSettings::default());
        assert_eq!(observed.places[&PodUid::from("a")].interface, interface("v2"));
    }

    #[test]
    fn a_port_of_something_that_is_no_bridge_is_reported_and_stays_closed() {
        let links = links(&[
            ("v1", 4, Kind::Veth, Some(9)),
            ("ovs", 9, Kind::Other(None), None),
        ]);
        let observed = join(
            &[attachment("a", &["v1"], "10.0.0.1")],
            &links,
            &FactsSettings::default(),
        );
        assert!(observed.places.is_empty());
        assert!(
            observed.unsupported[&PodUid::from("a")].contains("ovs"),
            "{observed:?}"
        );
    }
}

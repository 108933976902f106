//! One entry of libcni's cache: the result of the ADD call that attached a pod.
//!
//! The format is `cniCacheV1` of `containernetworking/cni`, `libcni/api.go`, around a result of CNI 0.3.0 to 1.1.
//! Container runtimes write the file when ADD returns, before any container of the pod starts, without renaming it into
//! place: a reader may see a part of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use palisade_policy::model::{PodKey, PodUid};
use serde::Deserialize;
use thiserror::Error;

use crate::nft::model::Interface;

/// The name that container runtimes give to the interface of the pod's own network (`defaultIfName` of containerd, and
/// CRI-O's). Further interfaces, which Multus attaches, belong to networks that no `NetworkPolicy` speaks of.
const POD_INTERFACE: &str = "eth0";

/// What the result of an ADD call says about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The pod.
    pub(super) uid: PodUid,
    /// Its place, for people, where the runtime passed it on.
    pub(super) pod: Option<PodKey>,
    /// Interfaces outside the pod that the call made or used: a veth, and often a bridge.
    pub(super) outside: BTreeSet<Interface>,
    /// The pod's addresses.
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// An entry that says nothing about where a pod is attached. Its pod stays closed.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    /// It is not JSON of the right shape, or not all of it is there yet.
    #[error("it cannot be decoded")]
    Undecodable(#[from] serde_json::Error),
    /// It has another kind than `cniCacheV1`.
    #[error("its kind is {0:?}")]
    Kind(String),
    /// The runtime did not pass the pod's UID on.
    #[error("its arguments have no K8S_POD_UID")]
    NoUid,
    /// An address is none.
    #[error("{0:?} is no address")]
    Address(String),
    /// No interface outside the pod is named.
    #[error("its result names no interface outside the pod")]
    NoInterface,
    /// No address of the pod is named.
    #[error("its result names no address of the pod")]
    NoAddress,
}

impl Attachment {
    /// Reads an entry; `None` if it is about another interface than the pod's own.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Self>, Unusable> {
        let entry: Entry = serde_json::from_slice(text)?;
        if entry.kind != "cniCacheV1" {
            return Err(Unusable::Kind(entry.kind));
        }
        if entry.interface != POD_INTERFACE {
            return Ok(None);
        }
        let argument = |name: &str| {
            let found = entry
                .arguments
                .iter()
                .find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let uid = argument("K8S_POD_UID").ok_or(Unusable::NoUid)?.into();
        let pod = argument("K8S_POD_NAMESPACE").zip(argument("K8S_POD_NAME"));
        let outside = entry.result.outside();
        if outside.is_empty() {
            return Err(Unusable::NoInterface);
        }
        let addresses = entry.result.addresses()?;
        if addresses.is_empty() {
            return Err(Unusable::NoAddress);
        }
        Ok(Some(Self {
            uid,
            pod: pod.map(|(namespace, name)| PodKey::new(namespace, name)),
            outside,
            addresses,
        }))
    }
}

#[derive(Deserialize)]
struct Entry {
    kind: String,
    #[serde(rename = "ifName")]
    interface: String,
    #[serde(rename = "cniArgs", default, deserialize_with = "or_default")]
    arguments: Vec<(String, String)>,
    #[serde(default, deserialize_with = "or_default")]
    result: Outcome,
}

#[derive(Default, Deserialize)]
struct Outcome {
    #[serde(default, deserialize_with = "or_default")]
    interfaces: Vec<Link>,
    #[serde(default, deserialize_with = "or_default")]
    ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sandbox: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    interface: Option<i64>,
    address: String,
}

/// Go writes an empty list as `null`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Link {
    fn is_inside(&self) -> bool {
        self.sandbox.as_deref().is_some_and(|sandbox| !sandbox.is_empty())
    }
}

impl Outcome {
    fn outside(&self) -> BTreeSet<Interface> {
        let outside = self.interfaces.iter().filter(|link| !link.is_inside());
        outside
            .filter_map(|link| Interface::new(&link.name).ok())
            .collect()
    }

    /// The addresses that are not said to belong to an interface outside the pod.
    fn addresses(&self) -> Result<BTreeSet<IpAddr>, Unusable> {
        let is_pods = |address: &&Address| {
            let index = address.interface.and_then(|index| usize::try_from(index).ok());
            index
                .and_then(|index| self.interfaces.get(index))
                .is_none_or(Link::is_inside)
        };
        let parse = |address: &Address| {
            let with_length = address.address.parse::<IpNet>().map(|net| net.addr());
            let parsed = with_length.or_else(|_| address.address.parse::<IpAddr>());
            parsed.map_err(|_| Unusable::Address(address.address.clone()))
        };
        self.ips.iter().filter(is_pods).map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry(result: &Value) -> Value {
        json!({
            "kind": "cniCacheV1",
            "containerId": "8f1e",
            "config": "e30=",
            "ifName": "eth0",
            "networkName": "pods",
            "netns": "/var/run/netns/cni-1",
            "cniArgs": [
                ["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-0"],
                ["K8S_POD_INFRA_CONTAINER_ID", "8f1e"], ["K8S_POD_UID", "u-1"],
            ],
            "capabilityArgs": { "portMappings": [] },
            "result": result,
        })
    }

    fn parse(value: &Value) -> Result<Option<Attachment>, Unusable> {
        Attachment::parse(value.to_string().as_bytes())
    }

    fn attachment(outside: &[&str], addresses: &[&str]) -> Attachment {
        Attachment {
            uid: "u-1".into(),
            pod: PodKey::parse("shop/web-0"),
            outside: outside.iter().map(|name| Interface::new(name).unwrap()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_bridge_names_itself_the_hosts_veth_and_the_pods() {
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": "cni0", "mac": "5a:00:00:00:00:01" },
                { "name": "veth1a2b", "mac": "5a:00:00:00:00:02" },
                { "name": "eth0", "mac": "5a:00:00:00:00:03", "sandbox": "/var/run/netns/cni-1" },
            ],
            "ips": [
                { "interface": 2, "address": "10.1.0.7/24", "gateway": "10.1.0.1" },
                { "interface": 2, "address": "fd00:1::7/64" },
            ],
            "routes": [{ "dst": "0.0.0.0/0" }],
            "dns": {},
        });
        let expected = attachment(&["cni0", "veth1a2b"], &["10.1.0.7", "fd00:1::7"]);
        assert_eq!(parse(&entry(&result)).unwrap(), Some(expected));
    }

    #[test]
    fn a_point_to_point_veth_has_no_bridge_and_older_results_name_the_family() {
        for version in ["0.3.0", "0.3.1", "0.4.0"] {
            let result = json!({
                "cniVersion": version,
                "interfaces": [
                    { "name": "veth1a2b" }, { "name": "eth0", "sandbox": "/proc/7/ns/net" },
                ],
                "ips": [{ "version": "4", "interface": 1, "address": "10.1.0.7/32" }],
            });
            assert_eq!(
                parse(&entry(&result)).unwrap(),
                Some(attachment(&["veth1a2b"], &["10.1.0.7"]))
            );
        }
    }

    #[test]
    fn an_address_without_interface_is_the_pods() {
        let result = json!({
            "cniVersion": "0.3.1",
            "interfaces": [{ "name": "cali0a1b2c3d4e5" }],
            "ips": [{ "version": "4", "address": "10.1.0.7/32" }, { "version": "6", "address": "fd00:1::7" }],
        });
        let expected = attachment(&["cali0a1b2c3d4e5"], &["10.1.0.7", "fd00:1::7"]);
        assert_eq!(parse(&entry(&result)).unwrap(), Some(expected));
    }

    #[test]
    fn an_address_of_an_interface_outside_the_pod_is_not_the_pods() {
        let result = json!({
            "interfaces": [{ "name": "cni0" }, { "name": "v1" }, { "name": "eth0", "sandbox": "/ns" }],
            "ips": [{ "interface": 0, "address": "10.1.0.1/24" }, { "interface": 2, "address": "10.1.0.7/24" }],
        });
        assert_eq!(
            parse(&entry(&result)).unwrap(),
            Some(attachment(&["cni0", "v1"], &["10.1.0.7"]))
        );
    }

    #[test]
    fn a_further_interface_of_a_pod_is_none_of_ours() {
        let mut further =
            entry(&json!({ "interfaces": [{ "name": "v2" }], "ips": [{ "address": "10.9.0.7/24" }] }));
        further["ifName"] = "net1".into();
        assert_eq!(parse(&further).unwrap(), None);
    }

    #[test]
    fn an_entry_that_says_too_little_is_unusable() {
        let links = json!([{ "name": "v1" }]);
        let no_interface = json!({ "interfaces": null, "ips": [{ "address": "10.1.0.7/24" }] });
        assert!(matches!(parse(&entry(&no_interface)), Err(Unusable::NoInterface)));
        let no_address = json!({ "interfaces": links, "ips": null });
        assert!(matches!(parse(&entry(&no_address)), Err(Unusable::NoAddress)));
        let bad_address = json!({ "interfaces": links, "ips": [{ "address": "10.1.0/24" }] });
        assert!(matches!(parse(&entry(&bad_address)), Err(Unusable::Address(_))));
        assert!(matches!(parse(&entry(&Value::Null)), Err(Unusable::NoInterface)));
        let mut anonymous = entry(&json!({}));
        anonymous["cniArgs"] = Value::Null;
        assert!(matches!(parse(&anonymous), Err(Unusable::NoUid)));
        let mut other = entry(&json!({}));
        other["kind"] = "cniCacheV2".into();
        assert!(matches!(parse(&other), Err(Unusable::Kind(_))));
        assert!(matches!(Attachment::parse(b""), Err(Unusable::Undecodable(_))));
    }

    proptest! {
        #[test]
        fn a_part_of_an_entry_is_never_taken_for_a_whole(cut in 0.0..1.0) {
            let result = json!({
                "interfaces": [{ "name": "v1" }, { "name": "eth0", "sandbox": "/ns" }],
                "ips": [{ "interface": 1, "address": "10.1.0.7/24" }],
            });
            let text = entry(&result).to_string();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
            let end = (text.len() as f64 * cut) as usize;
            prop_assert!(matches!(Attachment::parse(&text.as_bytes()[..end]), Err(Unusable::Undecodable(_))));
        }

        #[test]
        fn no_garbage_stops_the_reader(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            drop(Attachment::parse(&bytes));
            bytes = entry(&json!({ "interfaces": [{ "name": "v1" }], "ips": [{ "address": "10.1.0.7/24" }] })).to_string().into_bytes();
            for (place, byte) in flips {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            drop(Attachment::parse(&bytes));
        }
    }
}

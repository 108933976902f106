//! Entries of `from` and `to`.

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};
use palisade_policy::model::{Defect, IpBlock, NamespaceScope, Peer, PodPeer, Selector};

use super::address::network;
use super::field::{Field, quoted};
use super::selector::selector;

/// A peer: a block, or selectors, and never both.
pub(super) fn peer(entry: &NetworkPolicyPeer, field: &Field<'_>) -> Result<Peer, Defect> {
    let namespaces = entry.namespace_selector.as_ref();
    let pods = entry.pod_selector.as_ref();
    match (&entry.ip_block, namespaces, pods) {
        (None, None, None) => {
            Err(field.defect("names nobody: it needs an ipBlock, a namespaceSelector or a podSelector"))
        }
        (Some(block), None, None) => ip_block(block, &field.name("ipBlock")).map(Peer::Block),
        (Some(_), _, _) => Err(field.name("ipBlock").defect("cannot stand beside a selector")),
        (None, namespaces, pods) => {
            let namespaces = namespaces
                .map(|object| selector(object, &field.name("namespaceSelector")))
                .transpose()?;
            let pods = pods
                .map(|object| selector(object, &field.name("podSelector")))
                .transpose()?;
            Ok(Peer::Pods(PodPeer {
                namespaces: namespaces.map_or(NamespaceScope::Own, NamespaceScope::Matching),
                pods: pods.unwrap_or_else(Selector::everything),
            }))
        }
    }
}

/// A block. One bad except spoils it: without that except it would allow more.
fn ip_block(object: &IPBlock, field: &Field<'_>) -> Result<IpBlock, Defect> {
    let cidr = network(&object.cidr, &field.name("cidr"))?;
    let mut excepts = Vec::new();
    for (index, text) in object.except.iter().flatten().enumerate() {
        let list = field.name("except");
        let field = list.entry(index);
        let except = network(text, &field)?;
        if !cidr.contains(&except) {
            return Err(field.defect(format!("{} does not lie within {cidr}", quoted(text))));
        }
        excepts.push(except);
    }
    IpBlock::new(cidr, excepts).map_err(|error| field.defect(error.to_string()))
}

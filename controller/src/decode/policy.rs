//! `NetworkPolicy`.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use palisade_policy::model::{Defect, Direction, Peers, Policy, PolicyKey, Ports, Rule, Selector};

use super::field::{Field, quoted};
use super::keep;
use super::object::key_of;
use super::peer::peer;
use super::port::port;
use super::selector::selector;

const SPEC: Field<'static> = Field::Root("spec");

/// Defects of a policy that are told one by one.
const TOLD: usize = 32;

/// The policy, with a defect for each part that could not be understood and allows nothing.
pub fn policy(object: &NetworkPolicy) -> Policy {
    let absent = NetworkPolicySpec::default();
    let spec = object.spec.as_ref().unwrap_or(&absent);
    let (namespace, name) = key_of(&object.metadata);
    let mut defects = Vec::new();

    let subject = spec
        .pod_selector
        .as_ref()
        .map(|object| selector(object, &SPEC.name("podSelector")));
    // Pods that the policy may not be meant for are isolated by it, but never let in.
    let subject = subject.map_or(Some(Selector::everything()), |subject| {
        keep(subject, &mut defects)
    });
    // As above, one that is too large to be published isolates more, not less.
    let subject = subject.filter(|_| selector_size(spec.pod_selector.as_ref()) <= Policy::MOST_ENTRIES);
    let is_known = subject.is_some();

    let ingress = spec
        .ingress
        .iter()
        .flatten()
        .map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
    let ingress = rules(ingress, &SPEC.name("ingress"), "from", &mut defects);
    let egress = spec
        .egress
        .iter()
        .flatten()
        .map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
    let egress = rules(egress, &SPEC.name("egress"), "to", &mut defects);

    let isolation = isolation(spec, &mut defects);
    let size = size(spec);
    let is_readable = is_known && size <= Policy::MOST_ENTRIES;
    if size > Policy::MOST_ENTRIES {
        defects.insert(0, Defect::of_size(size));
    }
    if defects.len() > TOLD {
        let message = format!("{} further defects are not told", defects.len() - TOLD);
        defects.truncate(TOLD);
        defects.push(SPEC.defect(message));
    }
    let section = |direction, rules: Vec<Rule>| match (isolation.named.contains(&direction), is_readable) {
        (true, true) => Some(rules),
        (true, false) => Some(Vec::new()),
        (false, _) => isolation.unreadable.then(Vec::new),
    };
    Policy {
        key: PolicyKey::new(namespace, name),
        ingress: section(Direction::Ingress, ingress),
        egress: section(Direction::Egress, egress),
        subject: subject.unwrap_or_default(),
        defects,
    }
}

/// The entries of all lists of a policy, and what they are multiplied to: see [`Policy::MOST_ENTRIES`].
fn size(spec: &NetworkPolicySpec) -> usize {
    let peer = |peer: &NetworkPolicyPeer| {
        let block = peer.ip_block.as_ref();
        let except = block.and_then(|block| block.except.as_ref()).map_or(0, Vec::len);
        let selectors = [&peer.namespace_selector, &peer.pod_selector];
        let selectors = selectors.map(|selector| selector_size(selector.as_ref()));
        1 + except + selectors.iter().sum::<usize>()
    };
    let rule = |peers: Option<&Vec<NetworkPolicyPeer>>, ports: Option<&Vec<NetworkPolicyPort>>| {
        1 + peers.into_iter().flatten().map(peer).sum::<usize>() + ports.map_or(0, Vec::len)
    };
    let ingress = spec.ingress.iter().flatten();
    let ingress = ingress.map(|entry| rule(entry.from.as_ref(), entry.ports.as_ref()));
    let egress = spec.egress.iter().flatten().map(|entry| {
        let ports = entry.ports.iter().flatten();
        let named = ports.filter(|port| matches!(port.port, Some(IntOrString::String(_))));
        let resolved = named.count() * entry.to.as_ref().map_or(0, Vec::len);
        rule(entry.to.as_ref(), entry.ports.as_ref()) + resolved
    });
    selector_size(spec.pod_selector.as_ref()) + ingress.chain(egress).sum::<usize>()
}

fn selector_size(selector: Option<&LabelSelector>) -> usize {
    let labels = selector.and_then(|selector| selector.match_labels.as_ref());
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref());
    let values = expressions.into_iter().flatten();
    let values = values.map(|expression| 1 + expression.values.as_ref().map_or(0, Vec::len));
    labels.map_or(0, BTreeMap::len) + values.sum::<usize>()
}

/// What `policyTypes` says.
struct Isolation {
    /// The directions that it names: their rules count.
    named: Vec<Direction>,
    /// Whether an entry could not be read: it may mean either direction, so both are isolated, but a direction that no
    /// other entry names allows nothing.
    unreadable: bool,
}

/// The directions that a policy isolates. Without `policyTypes` it is Ingress, and Egress where there is an `egress`
/// section, an empty one too (API documentation of `policyTypes`).
fn isolation(spec: &NetworkPolicySpec, defects: &mut Vec<Defect>) -> Isolation {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let mut isolation = Isolation {
        named: Vec::new(),
        unreadable: false,
    };
    if types.is_empty() {
        isolation.named.push(Direction::Ingress);
        isolation
            .named
            .extend(spec.egress.is_some().then_some(Direction::Egress));
    }
    for (index, text) in types.iter().enumerate() {
        match text.as_str() {
            "Ingress" => isolation.named.push(Direction::Ingress),
            "Egress" => isolation.named.push(Direction::Egress),
            other => {
                let message = format!(
                    "{} is no policy type: it should be Ingress or Egress",
                    quoted(other)
                );
                defects.push(SPEC.name("policyTypes").entry(index).defect(message));
                isolation.unreadable = true;
            }
        }
    }
    isolation
}

type Entries<'a> = (Option<&'a [NetworkPolicyPeer]>, Option<&'a [NetworkPolicyPort]>);

fn rules<'a>(
    entries: impl Iterator<Item = Entries<'a>>,
    list: &Field<'_>,
    peers_name: &'static str,
    defects: &mut Vec<Defect>,
) -> Vec<Rule> {
    let rule = |(index, (peers, ports)): (usize, Entries<'a>)| {
        let field = list.entry(index);
        let peers = decoded(peers, &field.name(peers_name), peer, defects);
        let ports = decoded(ports, &field.name("ports"), port, defects);
        Rule {
            peers: peers.map_or(Peers::All, Peers::AnyOf),
            ports: ports.map_or(Ports::All, Ports::AnyOf),
        }
    };
    entries.enumerate().map(rule).collect()
}

/// The entries of a list that could be understood; `None` only where there were none to begin with.
fn decoded<E, T>(
    entries: Option<&[E]>,
    list: &Field<'_>,
    decode: impl Fn(&E, &Field<'_>) -> Result<T, Defect>,
    defects: &mut Vec<Defect>,
) -> Option<Vec<T>> {
    let entries = entries.filter(|entries| !entries.is_empty())?;
    let decoded = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| decode(entry, &list.entry(index)));
    Some(decoded.filter_map(|result| keep(result, defects)).collect())
}

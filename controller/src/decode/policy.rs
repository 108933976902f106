//! `NetworkPolicy`.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use palisade_policy::model::{Defect, Direction, Peers, Policy, PolicyKey, Ports, Rule, Selector};

use super::field::{Field, quoted};
use super::keep;
use super::object::key_of;
use super::peer::peer;
use super::port::port;
use super::selector::selector;

const SPEC: Field<'static> = Field::Root("spec");

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
    let subject = subject
        .and_then(|subject| keep(subject, &mut defects))
        .unwrap_or_else(Selector::everything);

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

    let isolated = isolation(spec, &mut defects);
    Policy {
        key: PolicyKey::new(namespace, name),
        subject,
        ingress: isolated.contains(&Direction::Ingress).then_some(ingress),
        egress: isolated.contains(&Direction::Egress).then_some(egress),
        defects,
    }
}

/// The directions that `policyTypes` names. Without any it is Ingress, and Egress where there is an `egress`
/// section, an empty one too (API documentation of `policyTypes`).
fn isolation(spec: &NetworkPolicySpec, defects: &mut Vec<Defect>) -> Vec<Direction> {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.is_empty() {
        let egress = spec.egress.is_some().then_some(Direction::Egress);
        return [Some(Direction::Ingress), egress].into_iter().flatten().collect();
    }
    let mut isolated = Vec::new();
    for (index, text) in types.iter().enumerate() {
        match text.as_str() {
            "Ingress" => isolated.push(Direction::Ingress),
            "Egress" => isolated.push(Direction::Egress),
            other => {
                let message = format!(
                    "{} is no policy type: it should be Ingress or Egress",
                    quoted(other)
                );
                defects.push(SPEC.name("policyTypes").entry(index).defect(message));
                isolated.extend([Direction::Ingress, Direction::Egress]);
            }
        }
    }
    isolated
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

//! Which pod an address is, as far as the rule files tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_crds::RuleSet;
use palisade_policy::model::PodKey;

/// Pods by address.
pub(super) struct Names<'a>(BTreeMap<IpAddr, BTreeSet<&'a PodKey>>);

impl<'a> Names<'a> {
    /// The node's own pods, and the members of every group that its rules use.
    pub(super) fn of(rules: &'a RuleSet) -> Self {
        let own = rules.rules.pods.values().map(|pod| (&pod.key, &pod.addresses));
        let members = rules.slices.values().flat_map(|slice| &slice.members);
        let mut names: BTreeMap<IpAddr, BTreeSet<&PodKey>> = BTreeMap::new();
        for (key, addresses) in own.chain(members.map(|member| (&member.pod, &member.addresses))) {
            for address in addresses {
                names.entry(*address).or_default().insert(key);
            }
        }
        Self(names)
    }

    /// ` (shop/web-0)`, or nothing.
    pub(super) fn note(&self, address: IpAddr) -> String {
        let Some(pods) = self.0.get(&address) else {
            return String::new();
        };
        let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
        format!(" ({})", pods.join(", "))
    }
}

//! The kernel's own switch for what crosses a bridge.

use std::time::Instant;

use tracing::info;

use super::{Condition, Node, Origin, SLOW_RETRY};
use crate::facts;
use crate::nft::Kernel;

impl<K: Kernel> Node<K> {
    /// Makes sure that what crosses a bridge meets the rules.
    pub(super) async fn filter_bridges(&mut self) {
        let networks = self
            .rules
            .as_ref()
            .map(|rules| rules.rules.pod_networks.as_slice());
        let observed = self.observed.iter();
        let bridges = observed.flat_map(|observed| observed.bridges_of_pods(networks.unwrap_or_default()));
        let bridges: Vec<_> = bridges
            .map(|(name, bridge)| (name.clone(), bridge.clone()))
            .collect();
        let mut problems = Vec::new();
        if !bridges.is_empty() && !facts::can_filter_bridges() {
            problems.push("this kernel's br_netfilter is not there".to_owned());
        }
        for (name, bridge) in bridges.iter().filter(|(_, bridge)| !bridge.filtered) {
            match facts::filter_bridge(name, bridge.index).await {
                Ok(()) => info!(bridge = %name, "bridged packets are filtered now"),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let condition = (!problems.is_empty()).then(|| {
            let names: Vec<&str> = bridges.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!(
                "cannot enforce on bridge {}: {}",
                names.join(", "),
                problems.join("; ")
            );
            Condition {
                reason: "BridgeNotFiltered",
                message,
            }
        });
        if condition.is_some() {
            self.retry = Some(Instant::now() + SLOW_RETRY);
        }
        self.say(Origin::Bridges, condition);
    }
}

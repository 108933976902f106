//! Ports that rules do not tell apart: one stands for all of them.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Pod, Policy, Protocol};
use palisade_policy::reach::PortSet;

use crate::ports::named;

/// Splits ports by the rules that name them. `states` is the policies that matter in each state, with the destination there:
/// its own numbers count where rules ask for ports by name.
pub(super) fn parts(ports: &PortSet, states: [(&[&Policy], Option<&Pod>); 2]) -> Vec<PortSet> {
    let rules = states.into_iter().flat_map(|(policies, destination)| {
        let rules = policies
            .iter()
            .flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
        let declared = destination.map_or(&[][..], |pod| &pod.ports);
        rules.map(move |rule| named(&rule.ports, declared).intersection(ports))
    });
    // What names none of them, or all, tells none from another.
    let telling: BTreeSet<PortSet> = rules
        .filter(|named| !named.is_empty() && named != ports)
        .collect();
    let mut found: BTreeMap<Vec<usize>, PortSet> = BTreeMap::new();
    let mut add = |rules: &BTreeSet<usize>, part: PortSet| {
        let known = found.entry(rules.iter().copied().collect()).or_default();
        *known = known.union(&part);
    };
    for protocol in Protocol::ALL {
        let mut borders: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (rule, named) in telling.iter().enumerate() {
            for (first, last) in named.ports(protocol) {
                borders.entry((*first).into()).or_default().push(rule);
                borders.entry(u32::from(*last) + 1).or_default().push(rule);
            }
        }
        let mut open: BTreeSet<usize> = BTreeSet::new();
        let mut begin = 0;
        let mut span = |begin: u32, end: u32, open: &BTreeSet<usize>| {
            let (Ok(first), Ok(last)) = (u16::try_from(begin), u16::try_from(end.saturating_sub(1))) else {
                return;
            };
            let part = PortSet::spans(protocol, [(first, last)]).intersection(ports);
            if begin < end && !part.is_empty() {
                add(open, part);
            }
        };
        for (border, rules) in borders {
            span(begin, border, &open);
            for rule in rules {
                if !open.remove(&rule) {
                    open.insert(rule);
                }
            }
            begin = border;
        }
        span(begin, u32::from(u16::MAX) + 1, &open);
    }
    if ports.has_protocols_without_ports() {
        let rules = telling.iter().enumerate();
        let rules = rules.filter(|(_, named)| named.has_protocols_without_ports());
        add(&rules.map(|(rule, _)| rule).collect(), PortSet::without_ports());
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use palisade_policy::testing::builders::{everybody, named_port, pod, policy, port, ports as port_range};

    use super::*;

    fn told(ports: &PortSet, states: [(&[&Policy], Option<&Pod>); 2]) -> Vec<String> {
        parts(ports, states).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn many_ports_of_one_rule_are_one_part() {
        let many = (0..200).map(|number| port(Protocol::Tcp, 9000 + 10 * number));
        let agent = policy("shop/agent").allowing_from([everybody().on_ports(many)]);
        let dns = policy("shop/dns").allowing_from([everybody().on_ports([port(Protocol::Udp, 53)])]);
        let ports = PortSet::numbers(Protocol::Tcp, (0..200).map(|number| 9000 + 10 * number))
            .union(&PortSet::numbers(Protocol::Udp, [53]));
        let found = told(&ports, [(&[&agent, &dns], None), (&[], None)]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn ports_are_split_where_rules_begin_and_end() {
        let one =
            policy("shop/one").allowing_from([everybody().on_ports([port_range(Protocol::Tcp, 10, 20)])]);
        let two =
            policy("shop/two").allowing_from([everybody().on_ports([port_range(Protocol::Tcp, 15, 30)])]);
        let found = told(&PortSet::all(), [(&[&one], None), (&[&two], None)]);
        assert_eq!(
            found,
            [
                "0-9,31-65535/TCP; UDP; SCTP; protocols without ports",
                "10-14/TCP",
                "15-20/TCP",
                "21-30/TCP"
            ]
        );
    }

    #[test]
    fn a_name_is_the_number_that_the_destination_has_in_each_state() {
        let http =
            policy("shop/http").allowing_from([everybody().on_ports([named_port(Protocol::Tcp, "http")])]);
        let was = pod("shop/web").declaring("http", Protocol::Tcp, 8080);
        let is = pod("shop/web").declaring("http", Protocol::Tcp, 9090);
        let ports = PortSet::protocol(Protocol::Tcp);
        let found = told(&ports, [(&[&http], Some(&was)), (&[&http], Some(&is))]);
        assert_eq!(found, ["0-8079,8081-9089,9091-65535/TCP", "8080/TCP", "9090/TCP"]);
    }
}

//! Who lives on the node, under which policies.
//!
//! Each app is a namespace with a few pods and policies that select all of them. A policy names a group of pods that are nowhere in
//! the bed, as most of a cluster is; every fifth one names the same, so that a group is in several apps. One in ten allows an
//! address block.

use palisade_policy::cluster::Event;
use palisade_policy::model::{Pod, Policy, Protocol, Rule};
use palisade_policy::testing::builders::{block, namespace, pod, pods_in, policy, port, ports, rule};

use crate::bench::addresses::elsewhere;

/// The port of the probes, and one that is closed to all.
pub(crate) const PORT: u16 = 4_000;
pub(crate) const CLOSED: u16 = 4_001;

/// Apps that name the group of the door.
const WITH_DOOR: usize = 5;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenants {
    pub(crate) apps: usize,
    /// Pods of an app.
    pub(crate) replicas: usize,
    /// Policies of an app.
    pub(crate) policies: usize,
    /// Members of a group.
    pub(crate) members: usize,
    /// Whether policies are of the shapes that make the most rules: ranges of ports, and single ports of a large group.
    pub(crate) many_rules: bool,
    /// How many apps have pods that are really there.
    pub(crate) placed: usize,
}

impl Tenants {
    /// Policies of a node, a hundred on each pod.
    pub(crate) fn policies(count: usize) -> Self {
        Self {
            apps: count / 100,
            replicas: 1,
            policies: 100,
            members: 20,
            many_rules: false,
            placed: count / 100,
        }
    }

    /// W9: 250 pods, 2,500 policies, a hundred on each pod, 20 peers each.
    pub(crate) fn w9() -> Self {
        Self {
            replicas: 10,
            ..Self::policies(2_500)
        }
    }

    /// 20,000 rules, and 2,000 sets of a hundred members.
    pub(crate) fn many_rules() -> Self {
        Self {
            apps: 100,
            replicas: 1,
            policies: 11,
            members: 100,
            many_rules: true,
            placed: 5,
        }
    }

    /// The groups, and what else there is but the pods of apps.
    pub(crate) fn world(self) -> Vec<Event> {
        let mut events = vec![Event::NamespaceApplied(namespace("peers", &[("peers", "yes")]))];
        let mut serial = 0;
        let mut member = |group: &str| {
            let mut pod = pod(&format!("peers/{group}-{serial}"))
                .on("elsewhere")
                .labelled(&[("group", group)]);
            pod.addresses = elsewhere(serial).to_vec();
            // A tenth of a cluster has IPv6, as in W8.
            if !self.many_rules && serial % 10 > 0 {
                pod.addresses.truncate(1);
            }
            serial += 1;
            Event::PodApplied(pod)
        };
        for group in 0..self.groups() {
            events.extend((0..self.members).map(|_| member(&group_name(group))));
        }
        events.push(member("door"));
        if self.many_rules {
            events.extend((0..1_500).map(|_| member("large")));
        }
        for app in 0..self.apps {
            events.push(Event::NamespaceApplied(namespace(&space(app), &[])));
            events.extend((0..self.policies).map(|number| Event::PolicyApplied(self.policy(app, number))));
        }
        events
    }

    fn groups(self) -> usize {
        (self.apps * self.policies).div_ceil(5).min(2_000)
    }

    fn policy(self, app: usize, number: usize) -> Policy {
        let group = (app * self.policies + number) % self.groups();
        let peer = || rule([pods_in(&[("peers", "yes")], &[("group", &group_name(group))])]);
        let tcp = |number: usize| port(Protocol::Tcp, u16::try_from(1_000 + number).unwrap_or_default());
        let allowed: Rule = match number {
            0 if app < WITH_DOOR => from("group", "door").on_ports([port(Protocol::Udp, PORT)]),
            // So that the node knows the client's group.
            1 if app == 0 => from("who", "client").on_ports([tcp(1)]),
            _ if self.many_rules && number + 1 == self.policies => {
                let ninety = (0..90).map(|nth| tcp(1_000 + app * 100 + nth));
                from("group", "large").on_ports(ninety)
            }
            _ if self.many_rules => {
                let first = u16::try_from(2_000 + number * 100).unwrap_or_default();
                peer().on_ports([ports(Protocol::Tcp, first, first + 50)])
            }
            _ if number % 10 == 9 => blocked(number, app),
            _ => peer().on_ports([tcp(number % 7)]),
        };
        policy(&format!("{}/policy-{number:03}", space(app)))
            .selecting(&[("app", "yes")])
            .allowing_from([allowed])
    }
}

/// The namespace of an app.
pub(crate) fn space(app: usize) -> String {
    format!("app-{app}")
}

/// A pod of an app.
pub(crate) fn tenant(app: usize, name: &str, node: &str) -> Pod {
    pod(&format!("{}/{name}", space(app)))
        .on(node)
        .labelled(&[("app", "yes")])
}

/// The pod that asks. `group` is "door", or any other.
pub(crate) fn client(node: &str, group: &str) -> Pod {
    pod("peers/client")
        .on(node)
        .labelled(&[("group", group), ("who", "client")])
}

/// A further policy of the first app, that lets the client in.
pub(crate) fn invitation() -> Policy {
    policy("app-0/invitation")
        .selecting(&[("app", "yes")])
        .allowing_from([from("who", "client").on_ports([port(Protocol::Udp, PORT)])])
}

/// The tenth policy of the first app, with another block.
pub(crate) fn edited(cidr: &str) -> Policy {
    policy("app-0/policy-009")
        .selecting(&[("app", "yes")])
        .allowing_from([rule([block(cidr, &[])]).on_ports([port(Protocol::Udp, PORT)])])
}

fn from(label: &str, value: &str) -> Rule {
    rule([pods_in(&[("peers", "yes")], &[(label, value)])])
}

fn blocked(number: usize, app: usize) -> Rule {
    let net = format!("172.{}.{}.0/24", 16 + number % 16, app % 250);
    rule([block(&net, &[])]).on_ports([port(Protocol::Udp, PORT)])
}

fn group_name(group: usize) -> String {
    format!("group-{group}")
}

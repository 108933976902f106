//! A bed with a node for each set of rules that packets are measured under.
//!
//! Every node has a client, a server and a stranger. A node whose rules are policies has an enforcer, which gets the documents that
//! the compiler makes of the policies of one namespace; the others never had one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_crds::files;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::compile;
use palisade_policy::model::{NodeName, PodKey, PodUid, Policy, Protocol, Rule, Transport};
use palisade_policy::testing::builders::{
    any_port, block, everybody, labels, namespace, pod, pods, policy, port, ports, rule,
};
use palisade_tests::bed::{Bed, BedSpec, Slot, Topology};
use palisade_tests::probe::{Listen, Probe, Prober};
use palisade_tests::stage::Enforcer;

use super::path::PORT;
use crate::bench::addresses::{PLANNED, beyond_the_plan, elsewhere};
use crate::bench::asked::{allowed, ask};

/// Where the prober's responders listen, and where they listen in vain.
const OPEN: u16 = 4_001;
const CLOSED: u16 = 4_002;

/// How long 10,000 policies may take to reach a kernel for the first time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Conntrack and the one rule that every firewall has; nothing else.
const CONNTRACK: &str = "table inet reference { chain forward { \
    type filter hook forward priority filter; policy accept; ct state established,related accept\n}\n}";

/// What a node has for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// None at all.
    None,
    /// Conntrack, which every firewall needs.
    Conntrack,
    /// That, and that pods send from their own addresses only: what keeps a policy from being evaded, and is met by every packet.
    Sources,
    /// That, and that what crosses a bridge comes from a known port and goes to an address behind its port: what keeps a pod closed
    /// that is not known yet.
    Ports,
    /// So many policies on each pod, each of which names one pod and four ports.
    Policies(usize),
    /// So many policies of all shapes.
    Shapes(usize),
}

impl Rules {
    fn policies(self) -> usize {
        match self {
            Self::None | Self::Conntrack | Self::Sources | Self::Ports => 0,
            Self::Policies(count) | Self::Shapes(count) => count,
        }
    }

    fn are_policies(self) -> bool {
        matches!(self, Self::Policies(_) | Self::Shapes(_))
    }
}

/// The bed.
pub(super) struct Site {
    /// First, so that they end before the bed's directory goes.
    enforcers: Vec<(usize, Enforcer)>,
    prober: Prober,
    bed: Bed,
    rules: Vec<Rules>,
    directory: PathBuf,
    state: ClusterState,
    /// Pods that are nowhere in the bed, so far.
    elsewhere: u32,
}

impl Site {
    /// Starts a node for each of the rules, and brings the rules into their kernels.
    pub(super) async fn start(topology: Topology, rules: &[Rules]) -> Result<Self> {
        let spec = BedSpec {
            topology,
            nodes: rules.len(),
            slots_per_node: 3,
        };
        let bed = Bed::start(spec).await.context("starting the bed")?;
        let prober = Prober::start(bed.slots().map(Slot::host), &Listen::on([OPEN, CLOSED]))?;
        let directory = bed.directory().join("rules");
        std::fs::create_dir(&directory)?;
        let mut site = Self {
            enforcers: Vec::new(),
            prober,
            bed,
            rules: rules.to_vec(),
            directory,
            state: ClusterState::default(),
            elsewhere: 0,
        };
        for (position, rules) in rules.iter().enumerate() {
            site.prepare(position, *rules).await?;
        }
        site.enact().await?;
        Ok(site)
    }

    /// The client and the server of a node.
    pub(super) fn pair(&self, position: usize) -> Result<(Slot, Slot)> {
        let slots = self.bed.nodes().get(position).context("no such node")?.slots();
        let pair = slots.first().zip(slots.get(1));
        pair.map(|(client, server)| (client.clone(), server.clone()))
            .context("no pair on the node")
    }

    /// Gives every node more pods, until it has so many.
    pub(super) async fn grow(&mut self, pods: usize) -> Result<()> {
        for position in 0..self.rules.len() {
            loop {
                let node = self.bed.nodes().get(position).context("no such node")?;
                let serial = node.slots().len();
                if serial >= pods {
                    break;
                }
                let addresses = (serial >= PLANNED).then(|| beyond_the_plan(position, serial));
                let slot = self.bed.add_slot(position, addresses.transpose()?).await?;
                self.settle(position, &slot, &format!("pod-{serial}"), "none")?;
            }
        }
        self.enact().await
    }

    async fn prepare(&mut self, position: usize, rules: Rules) -> Result<()> {
        let node = self.bed.nodes().get(position).context("no such node")?;
        // A thousand new flows a round would otherwise stay for all of the rounds.
        let forgets = [("net.netfilter.nf_conntrack_udp_timeout", "1")];
        node.netns().sysctl().set_many(&forgets)?;
        if matches!(rules, Rules::Conntrack | Rules::Sources | Rules::Ports) {
            node.nft(CONNTRACK).await?;
            if rules != Rules::Conntrack {
                node.nft(&sources(node.slots())).await?;
            }
            if rules == Rules::Ports {
                node.nft(&ports_of(node.slots())).await?;
            }
            if self.bed.topology() != Topology::Routed {
                node.filter_bridged(true)?;
            }
        }
        if !rules.are_policies() {
            return Ok(());
        }
        let space = space(position);
        let described = node.described();
        let enforcer = Enforcer::start(node, self.bed.topology(), &self.directory)?;
        let slots = node.slots().to_vec();
        self.enforcers.push((position, enforcer));
        self.state.apply(Event::NodeApplied(described));
        self.state.apply(Event::NamespaceApplied(namespace(&space, &[])));
        let count = rules.policies();
        for number in 0..count {
            let peer = number.to_string();
            let policy = policy_of(rules, &space, number);
            self.state.apply(Event::PolicyApplied(policy));
            let mut pod = pod(&format!("{space}/elsewhere-{number}")).on("elsewhere");
            pod.labels = labels(&[("peer", &peer)]);
            pod.addresses = elsewhere(self.elsewhere).to_vec();
            self.elsewhere += 1;
            self.state.apply(Event::PodApplied(pod));
        }
        // The last policy is the one that lets the pair talk.
        let last = count.saturating_sub(1).to_string();
        for (slot, (name, peer)) in
            slots
                .iter()
                .zip([("client", &*last), ("server", &*last), ("stranger", "none")])
        {
            self.settle(position, slot, name, peer)?;
        }
        Ok(())
    }

    /// Makes a slot a pod's, on nodes that have policies.
    fn settle(&mut self, position: usize, slot: &Slot, name: &str, peer: &str) -> Result<()> {
        let rules = self.rules.get(position).context("no such node")?;
        if !rules.are_policies() {
            return Ok(());
        }
        let key = format!("{}/{name}", space(position));
        let node = self
            .bed
            .nodes()
            .get(position)
            .context("no such node")?
            .name()
            .to_owned();
        let mut pod = pod(&key).on(&*node);
        pod.labels = labels(&[("subject", "yes"), ("peer", peer)]);
        pod.addresses = slot.addresses().to_vec();
        self.state.apply(Event::PodApplied(pod));
        let parsed = PodKey::parse(&key).context("a pod's key")?;
        self.bed.assign(slot, &parsed, &PodUid::from(&*key))
    }

    /// Publishes the state and waits until every enforcer has it in its kernel.
    async fn enact(&mut self) -> Result<()> {
        files::write(&self.directory, &compile(&self.state)).context("writing the rules")?;
        for (position, enforcer) in &mut self.enforcers {
            let node = self.bed.nodes().get(*position).context("no such node")?;
            let wanted = files::read(&self.directory, &NodeName::from(node.name()))?.content;
            let whole = |status: &palisade_tests::stage::Status| {
                status.ready && status.content.as_ref() == Some(&wanted) && status.unplaced.is_empty()
            };
            let status = enforcer.until(PATIENCE, whole).await;
            status.with_context(|| format!("on {}", node.name()))?;
        }
        Ok(())
    }

    /// Asks allowed and denied questions on every node that has policies, and compares what comes of them with the oracle.
    pub(super) async fn verify(&self) -> Result<()> {
        let (mut questions, mut asked) = (Vec::new(), Vec::new());
        for (position, _) in &self.enforcers {
            let slots = self.bed.nodes().get(*position).context("no such node")?.slots();
            let [client, server, stranger, ..] = slots else {
                continue;
            };
            let before = questions.len();
            for (from, to) in [
                (client, server),
                (server, client),
                (stranger, server),
                (client, stranger),
            ] {
                for transport in [
                    Transport::Port(Protocol::Udp, OPEN),
                    Transport::Port(Protocol::Tcp, OPEN),
                    Transport::Port(Protocol::Tcp, CLOSED),
                ] {
                    for (source, to) in from.addresses().into_iter().zip(to.addresses()) {
                        let from = from.host().endpoint();
                        questions.push((source, Probe { from, to, transport }));
                    }
                }
            }
            asked.push((*position, before..questions.len()));
        }
        let answers = ask(&self.prober, &self.state, questions).await?;
        for answer in &answers {
            ensure!(answer.is_right(), "{answer}");
        }
        for (position, own) in asked {
            let own = answers.get(own).unwrap_or_default();
            let policies = self.rules.get(position).map_or(0, |rules| rules.policies());
            let allowed = allowed(own);
            ensure!(allowed > 0, "nothing is allowed on node {position}");
            ensure!(
                policies == 0 || allowed < own.len(),
                "nothing is denied on node {position}"
            );
        }
        eprintln!(
            "  {} probes as the oracle says, {} of them allowed",
            answers.len(),
            allowed(&answers)
        );
        Ok(())
    }

    /// Ends everything and removes what was made.
    pub(super) async fn stop(self) -> Result<()> {
        for (_, mut enforcer) in self.enforcers {
            enforcer.stop().await?;
        }
        drop(self.prober);
        self.bed.stop().await
    }
}

/// The least that holds pods to their own addresses, as the enforcer does it.
fn sources(slots: &[Slot]) -> String {
    let chains = slots.iter().enumerate().map(|(nth, slot)| {
        let device = slot.host_interface();
        let hook = format!("type filter hook ingress device \"{device}\" priority -500");
        format!(
            "chain from_{nth} {{ {hook}; ip saddr {} accept; ether type arp accept; counter drop\n }}\n",
            slot.v4()
        )
    });
    format!("table netdev reference {{\n{} }}\n", chains.collect::<String>())
}

/// The least that tells the known ports of a bridge from others, one look-up for each port that a packet passes.
fn ports_of(slots: &[Slot]) -> String {
    let known: Vec<String> = slots
        .iter()
        .map(|slot| format!("\"{}\"", slot.host_interface()))
        .collect();
    let addresses: Vec<String> = slots
        .iter()
        .map(|slot| format!("\"{}\" . {}", slot.host_interface(), slot.v4()))
        .collect();
    format!(
        "table bridge reference {{
            set known {{ type ifname; elements = {{ {} }}\n }}
            set addresses {{ type ifname . ipv4_addr; elements = {{ {} }}\n }}
            chain from {{ type filter hook prerouting priority -200
                meta pkttype other iifname @known accept
                ether type ip counter drop\n }}
            chain to {{ type filter hook postrouting priority -200
                oifname . ip daddr @addresses accept
                ether type ip counter drop\n }}\n }}",
        known.join(", "),
        addresses.join(", ")
    )
}

/// The namespace of a node's pods.
fn space(position: usize) -> String {
    format!("space-{position}")
}

/// One of a node's policies: it selects all of its pods, in both directions.
fn policy_of(rules: Rules, space: &str, number: usize) -> Policy {
    let name = number.to_string();
    let tcp = |number| port(Protocol::Tcp, number);
    let udp = |number| port(Protocol::Udp, number);
    let peer = || rule([pods(&[("peer", &name)])]);
    let typical = || peer().on_ports([udp(PORT), tcp(PORT), udp(OPEN), tcp(OPEN)]);
    let last = number + 1 == rules.policies();
    let third = number / 250 % 250;
    let net = format!("172.{}.{third}.0/24", 16 + number % 16);
    let v6 = format!("2001:db8:{number:x}::/64");
    let allowed: Rule = match rules {
        Rules::Shapes(_) if !last => match number % 6 {
            0 => typical(),
            1 => peer(),
            2 => peer().on_ports([any_port(Protocol::Tcp)]),
            3 => rule([block(&net, &[]), block(&v6, &[])]),
            4 => rule([block(&net, &[]), block(&v6, &[])]).on_ports([tcp(443)]),
            _ => everybody().on_ports([ports(Protocol::Tcp, 30_000, 30_100)]),
        },
        _ => typical(),
    };
    policy(&format!("{space}/policy-{number:05}"))
        .selecting(&[("subject", "yes")])
        .allowing_from([allowed.clone()])
        .allowing_to([allowed])
}

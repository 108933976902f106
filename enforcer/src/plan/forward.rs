//! The inet table's base chain: what needs no policy, who is dispatched to which profile, what is closed.

use palisade_policy::model::Direction;
use palisade_policy::rules::NodeRules;

use super::family::{Family, open_discovery};
use super::{Facts, Settings, Subject, dispatch_key, name, networks};
use crate::nft::model::{
    Chain, Comment, Element, Field, Hook, Interface, InvalidName, KeyType, MapEntry, Match, Name, PacketType,
    Part, Rule, Ruleset, Set, Table, TableKey, Verdict, VerdictMap,
};

/// Before the filter chains of others, whose accept would not be final but whose work would be wasted.
const PRIORITY: i32 = -5;

/// The chain where a packet goes once its source may send it.
pub(super) fn to_pods() -> Result<Name, InvalidName> {
    Name::new("to_pods")
}

/// The chain that lets a pod reach itself. What a profile allows need not go through it.
pub(super) fn itself() -> Result<Name, InvalidName> {
    Name::new("itself")
}

/// The base chain.
pub(crate) fn forwarded() -> Result<Name, InvalidName> {
    Name::new("forwarded")
}

pub(super) fn plan(
    ruleset: &mut Ruleset,
    rules: &NodeRules,
    subjects: &[Subject<'_>],
    facts: &Facts,
    settings: &Settings,
) -> Result<(), InvalidName> {
    let table = ruleset.tables.entry(TableKey::Inet).or_default();
    table.comment = Some(Comment::fit(
        "NetworkPolicy, kept by palisade-enforcer: edits are undone",
    ));
    let interfaces = Interfaces::new(subjects, facts)?;
    let mut chains = Chains::default();
    chains
        .sources
        .push(Rule::new([Match::CtEstablishedOrRelated], Verdict::Accept).counted());
    // All of IPv4 before anything of IPv6: a packet of a known pod leaves where it is dispatched.
    for family in Family::both() {
        if !family.v4 {
            chains.sources.extend(open_discovery());
        }
        if !facts.uplinks.is_empty() {
            chains.close_link_local(&interfaces, &family);
            chains.open_multicast(&interfaces, &family);
        }
        chains.dispatch(table, rules, subjects, &family)?;
        chains.close_networks(rules, &family);
    }
    chains.close_interfaces(&interfaces, settings);
    interfaces.add_to(table);
    chains.add_to(table)
}

/// The interfaces through which the forward hook sees pods.
struct Interfaces {
    private: Name,
    private_set: Set,
    shared: Name,
    shared_set: Set,
}

impl Interfaces {
    fn new(subjects: &[Subject<'_>], facts: &Facts) -> Result<Self, InvalidName> {
        let is_shared = |interface: &&Interface| {
            facts
                .uplinks
                .get(*interface)
                .is_some_and(|uplinks| !uplinks.is_empty())
        };
        // A bridge of pods counts before its first pod is known.
        let interfaces = || {
            let of_subjects = subjects
                .iter()
                .map(|subject| subject.place.forwarding_interface());
            of_subjects.chain(facts.uplinks.keys())
        };
        let set = |interfaces: &mut dyn Iterator<Item = &Interface>, comment| Set {
            elements: interfaces
                .map(|interface| Element::new(&[Part::interface(interface)]))
                .collect(),
            comment: Some(Comment::fit(comment)),
            ..Set::hash([KeyType::InterfaceName])
        };
        Ok(Self {
            private: Name::new("pod_interfaces")?,
            private_set: set(
                &mut interfaces().filter(|interface| !is_shared(interface)),
                "interfaces that lead to this node's pods only",
            ),
            shared: Name::new("shared_bridges")?,
            shared_set: set(
                &mut interfaces().filter(is_shared),
                "bridges that lead to pods of other nodes too",
            ),
        })
    }

    fn add_to(self, table: &mut Table) {
        table.sets.insert(self.private, self.private_set.into());
        table.sets.insert(self.shared, self.shared_set.into());
    }
}

/// The rules of both chains, by what they do; their order in the chain is that of the fields.
#[derive(Default)]
struct Chains {
    /// What needs no policy, and known sources.
    sources: Vec<Rule>,
    /// Sources that are closed.
    unknown_sources: Vec<Rule>,
    /// Known destinations.
    destinations: Vec<Rule>,
    /// Destinations that are closed.
    unknown_destinations: Vec<Rule>,
    /// From a pod to itself.
    itself: Vec<Rule>,
}

impl Chains {
    /// Link-local addresses reach neighbours on a bridge without any policy that could name them. A node's own do
    /// not pass this hook.
    fn close_link_local(&mut self, interfaces: &Interfaces, family: &Family) {
        for bridges in [&interfaces.private, &interfaces.shared] {
            for link_local in [
                Match::SourceIn(family.link_local),
                Match::DestinationIn(family.link_local),
            ] {
                let matches = [link_local, in_set(vec![Field::OutputInterface], bridges)];
                self.sources.push(closed(
                    matches,
                    Comment::fit("link-local addresses are in no policy"),
                ));
            }
        }
    }

    /// What a bridge floods to a group has no destination to dispatch by. It is left to the bridge table, which knows
    /// the ports of isolated pods.
    fn open_multicast(&mut self, interfaces: &Interfaces, family: &Family) {
        let matches = [
            Match::PacketType {
                kind: PacketType::Multicast,
                negated: false,
            },
            Match::DestinationIn(family.multicast),
            in_set(vec![Field::OutputInterface], &interfaces.private),
        ];
        self.destinations.push(Rule::new(matches, Verdict::Accept));
    }

    /// Sends each pod's packets to the chains of its profiles.
    fn dispatch(
        &mut self,
        table: &mut Table,
        rules: &NodeRules,
        subjects: &[Subject<'_>],
        family: &Family,
    ) -> Result<(), InvalidName> {
        let mut itself = Set::hash([family.key, family.key]);
        itself.comment = Some(Comment::fit("a pod reaches itself, also through a Service"));
        let map = |comment| VerdictMap {
            comment: Some(Comment::fit(comment)),
            ..VerdictMap::new([KeyType::InterfaceName, family.key])
        };
        let mut egress = map("who sends: by interface and source");
        let mut ingress = map("who receives: by interface and destination");
        for subject in subjects {
            let comment = Some(Comment::fit(subject.pod.key.to_string()));
            for address in subject.addresses_of(family) {
                itself
                    .elements
                    .insert(Element::new(&[Part::address(address), Part::address(address)]));
                let key = dispatch_key(subject.place.forwarding_interface(), address);
                let verdict = judged_by(rules, subject, Direction::Egress, Verdict::Goto(to_pods()?))?;
                egress.elements.insert(
                    key.clone(),
                    MapEntry {
                        verdict,
                        comment: comment.clone(),
                    },
                );
                let verdict = judged_by(rules, subject, Direction::Ingress, Verdict::Accept)?;
                ingress.elements.insert(
                    key,
                    MapEntry {
                        verdict,
                        comment: comment.clone(),
                    },
                );
            }
        }
        let named = |stem: &str| Name::new(format!("{stem}{}", family.digit));
        let itself_name = named("itself")?;
        self.itself.push(Rule::new(
            [in_set(vec![family.source, family.destination], &itself_name)],
            Verdict::Accept,
        ));
        table.sets.insert(itself_name, itself.into());
        let (egress_name, ingress_name) = (named("egress")?, named("ingress")?);
        let key = vec![Field::InputInterface, family.source];
        self.sources.push(Rule::new(
            [],
            Verdict::Map {
                key,
                map: egress_name.clone(),
            },
        ));
        let key = vec![Field::OutputInterface, family.destination];
        self.destinations.push(Rule::new(
            [],
            Verdict::Map {
                key,
                map: ingress_name.clone(),
            },
        ));
        table.maps.insert(egress_name, egress);
        table.maps.insert(ingress_name, ingress);
        Ok(())
    }

    /// Closes the node's pod networks but for the pods that were dispatched.
    fn close_networks(&mut self, rules: &NodeRules, family: &Family) {
        for network in networks(rules, family.v4) {
            let comment = Comment::fit("an address of this node's pods that no known pod has here");
            self.unknown_sources
                .push(closed([Match::SourceIn(network)], comment.clone()));
            self.unknown_destinations
                .push(closed([Match::DestinationIn(network)], comment));
        }
    }

    /// Closes pod interfaces but for the addresses that were dispatched.
    fn close_interfaces(&mut self, interfaces: &Interfaces, settings: &Settings) {
        let comment = Comment::fit("a pod interface, but not an address of its pod");
        let private = |field| in_set(vec![field], &interfaces.private);
        self.unknown_sources
            .push(closed([private(Field::InputInterface)], comment.clone()));
        self.unknown_destinations
            .push(closed([private(Field::OutputInterface)], comment));
        for pattern in &settings.pod_interfaces {
            let comment = Comment::fit("an interface of a pod that is not known yet");
            self.unknown_sources
                .push(closed([Match::InputInterface(pattern.clone())], comment.clone()));
            self.unknown_destinations
                .push(closed([Match::OutputInterface(pattern.clone())], comment));
        }
    }

    fn add_to(self, table: &mut Table) -> Result<(), InvalidName> {
        let mut rules = self.sources;
        rules.extend(self.unknown_sources);
        rules.push(Rule::new([], Verdict::Goto(to_pods()?)));
        let hook = Some(Hook::Forward { priority: PRIORITY });
        let comment = Some(Comment::fit(
            "what is forwarded; a node and its own pods reach each other by other hooks",
        ));
        table.chains.insert(forwarded()?, Chain { hook, comment, rules });
        let mut rules = self.destinations;
        rules.extend(self.unknown_destinations);
        let further = |comment, rules| Chain {
            hook: None,
            comment: Some(Comment::fit(comment)),
            rules,
        };
        let comment = "the source may send; may the destination receive?";
        table.chains.insert(to_pods()?, further(comment, rules));
        let comment = "a pod reaches itself, whatever its policies say";
        table.chains.insert(itself()?, further(comment, self.itself));
        Ok(())
    }
}

/// Where a pod's packets go: to the chain of its profile, or on if it is not isolated.
fn judged_by(
    rules: &NodeRules,
    subject: &Subject<'_>,
    direction: Direction,
    open: Verdict,
) -> Result<Verdict, InvalidName> {
    let Some(id) = subject.pod.profile(direction) else {
        return Ok(open);
    };
    // A reference that leads nowhere cannot be decoded from a document; if it ever is here, it denies.
    rules.profiles.get(id).map_or(Ok(Verdict::Drop), |profile| {
        name::profile(id, &profile.profile).map(Verdict::Goto)
    })
}

pub(super) fn in_set(key: Vec<Field>, set: &Name) -> Match {
    Match::InSet {
        key,
        set: set.clone(),
        negated: false,
    }
}

/// A rule that drops and counts.
pub(super) fn closed(matches: impl IntoIterator<Item = Match>, comment: Comment) -> Rule {
    Rule::new(matches, Verdict::Drop).counted().commented(comment)
}

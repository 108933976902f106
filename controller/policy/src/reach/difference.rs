//! What changes between two states: between which pods, or pods and addresses outside, on which ports.
//!
//! Pods are the same by namespace and name, since two files, or a file and a cluster, agree on nothing else. Pods that are in one
//! class before and in one class after are one *joint* class; addresses outside that are in one range before and in one after are
//! one joint range. For every joint destination the lists of those who reach it are compared, before and after. Lists are shared
//! by many destinations, so they are translated and compared once for all of these.
//!
//! Connections of pods that are there on one side only are no change of what policies mean: such pods are listed apart.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::flows::{Listing, Sources};
use super::ground::refine;
use super::numbering::Numbering;
use super::witness::{different, example, strangers};
use super::{End, Family, Member, Outside, PortSet, Reach};
use crate::cluster::ClusterState;
use crate::model::{NamespaceName, Packet, PodKey, PodUid};

/// The difference of two states. Its ends are of its own: [`End::Pods`] is one of [`Difference::classes`], [`End::Outside`] one
/// of [`Difference::outside`].
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Who reaches whom before.
    pub before: Reach,
    /// Who reaches whom after.
    pub after: Reach,
    /// The pods that are there before and after, by namespace and then by their first name.
    pub classes: Vec<JointClass>,
    /// The addresses outside, IPv4 first, by their first address.
    pub outside: Vec<Outside>,
    /// What changes, by destination. None: the two states mean the same for all pods that are in both.
    pub changes: Vec<Change>,
    /// The pods that are there before only.
    pub gone: Vec<Unpaired>,
    /// The pods that are there after only.
    pub new: Vec<Unpaired>,
    strangers: Vec<Option<IpAddr>>,
}

/// Pods that no policy tells apart, neither before nor after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JointClass {
    /// Their namespace.
    pub namespace: NamespaceName,
    /// Their class before: an index into the classes of [`Difference::before`].
    pub before: usize,
    /// Their class after: an index into the classes of [`Difference::after`].
    pub after: usize,
    /// The pods, by name. Never empty.
    pub pods: Vec<Twin>,
}

/// A pod that is there before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Twin {
    /// Its name, by which it is the same.
    pub key: PodKey,
    /// As it is before.
    pub before: Member,
    /// As it is after.
    pub after: Member,
}

/// Pods of one class of one state that the other state does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpaired {
    /// The class: an index into the classes of the state that has it.
    pub class: usize,
    /// The pods, by name. Never empty.
    pub pods: Vec<PodKey>,
}

/// A change: on which ports any of some ends reach one end. As in [`Reach::ports`], a class of one pod is answered as if it had
/// a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// From where, in order. Changes share these lists.
    pub from: Arc<[End]>,
    /// To where.
    pub to: End,
    /// In which family, of those in which both ends have an address before and after.
    pub families: Families,
    /// The ports that are allowed before.
    pub before: PortSet,
    /// The ports that are allowed after. Others than before.
    pub after: PortSet,
}

impl Change {
    /// The ports that become allowed.
    pub fn opened(&self) -> PortSet {
        self.after.difference(&self.before)
    }

    /// The ports that become denied.
    pub fn closed(&self) -> PortSet {
        self.before.difference(&self.after)
    }
}

/// One family or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Families {
    /// In one only.
    One(Family),
    /// In both alike.
    Both,
}

impl Families {
    /// One of them, IPv4 if it is among them.
    pub fn first(self) -> Family {
        match self {
            Self::One(family) => family,
            Self::Both => Family::V4,
        }
    }
}

impl fmt::Display for Families {
    /// `IPv4`, `IPv6`, `both families`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(family) => family.fmt(f),
            Self::Both => f.write_str("both families"),
        }
    }
}

impl Difference {
    /// What changes from one state to another.
    pub fn of(before: &ClusterState, after: &ClusterState) -> Self {
        let mut difference = Self {
            before: Reach::of(before),
            after: Reach::of(after),
            ..Self::default()
        };
        difference.pair(before, after);
        let ranges = refine(&difference.before.ground, &difference.after.ground);
        let mut links = difference.links();
        for (number, (outside, was, is)) in ranges.into_iter().enumerate() {
            links.push((End::Outside(number), End::Outside(was), End::Outside(is)));
            difference.outside.push(outside);
        }
        let known = [(&difference.before, before), (&difference.after, after)];
        difference.strangers = strangers(&difference.outside, &known);
        difference.changes = changes(&difference, &links);
        difference
    }

    /// A packet from one end to another on one of some ports, as it would be before and after, where there is one: the pod may
    /// have another address in each state.
    pub fn witness(&self, from: End, to: End, family: Family, ports: &PortSet) -> Option<(Packet, Packet)> {
        let (source, destination) = match (from, to) {
            (End::Pods(from), End::Pods(to)) => {
                let (from, to) = (self.classes.get(from)?, self.classes.get(to)?);
                let (from, to) = different(&from.pods, &to.pods, |twin| &twin.key)?;
                (from.addresses(family)?, to.addresses(family)?)
            }
            (from, to) => (self.someone(from, family)?, self.someone(to, family)?),
        };
        let transport = example(ports, family)?;
        let packet = |source, destination| Packet {
            source,
            destination,
            transport,
        };
        Some((packet(source.0, destination.0), packet(source.1, destination.1)))
    }

    fn someone(&self, end: End, family: Family) -> Option<(IpAddr, IpAddr)> {
        match end {
            End::Pods(class) => self.classes.get(class)?.pods.first()?.addresses(family),
            End::Outside(range) => {
                let address = (*self.strangers.get(range)?)?;
                (Family::of(address) == family).then_some((address, address))
            }
        }
    }

    /// Finds each pod in the other state, and puts together those that nothing tells apart in either.
    fn pair(&mut self, before: &ClusterState, after: &ClusterState) {
        let was = bodies(&self.before, before);
        let mut is = bodies(&self.after, after);
        let mut joint: BTreeMap<(usize, usize), Vec<Twin>> = BTreeMap::new();
        let mut gone: BTreeMap<usize, Vec<PodKey>> = BTreeMap::new();
        for (key, bodies) in was {
            match is.remove(&key) {
                None => unpair(&mut gone, key, &bodies),
                Some(others) => {
                    for ((was, before), (is, after)) in bodies.into_iter().zip(others) {
                        let key = key.clone();
                        joint
                            .entry((was, is))
                            .or_default()
                            .push(Twin { key, before, after });
                    }
                }
            }
        }
        let mut new: BTreeMap<usize, Vec<PodKey>> = BTreeMap::new();
        for (key, bodies) in is {
            unpair(&mut new, key, &bodies);
        }
        let unpaired = |(class, pods)| Unpaired { class, pods };
        self.gone = gone.into_iter().map(unpaired).collect();
        self.new = new.into_iter().map(unpaired).collect();
        let joint = joint.into_iter().filter_map(|((before, after), pods)| {
            let namespace = pods.first()?.key.namespace.clone();
            Some(JointClass {
                namespace,
                before,
                after,
                pods,
            })
        });
        self.classes = joint.collect();
        self.classes
            .sort_by(|one, other| one.pods.first().cmp(&other.pods.first()));
    }

    /// Each joint class with its classes before and after.
    fn links(&self) -> Vec<(End, End, End)> {
        let classes = self.classes.iter().enumerate();
        classes
            .map(|(number, class)| (End::Pods(number), End::Pods(class.before), End::Pods(class.after)))
            .collect()
    }

    /// Whether an end has an address of a family, before and after.
    fn has_address(&self, end: End, family: Family) -> bool {
        match end {
            End::Pods(class) => {
                let first = self.classes.get(class).and_then(|class| class.pods.first());
                first.is_some_and(|twin| twin.addresses(family).is_some())
            }
            End::Outside(range) => self
                .outside
                .get(range)
                .is_some_and(|outside| outside.family == family),
        }
    }
}

impl Twin {
    /// Its address of a family before and after, if it has one in both.
    fn addresses(&self, family: Family) -> Option<(IpAddr, IpAddr)> {
        Some((self.before.address(family)?, self.after.address(family)?))
    }
}

/// The pods of a state by name, each with its classes in the order of its addresses. Of two pods with one name it is the newer.
fn bodies(reach: &Reach, state: &ClusterState) -> BTreeMap<PodKey, Vec<(usize, Member)>> {
    type Place<'a> = (i64, &'a PodUid);
    let mut found: BTreeMap<&PodKey, (Place<'_>, Vec<(usize, Member)>)> = BTreeMap::new();
    for (class, members) in reach.classes.iter().enumerate() {
        for member in &members.members {
            let Some(pod) = state.pods().get(&member.uid) else {
                continue;
            };
            let place = (pod.created, &pod.uid);
            let (newest, bodies) = found.entry(&pod.key).or_insert_with(|| (place, Vec::new()));
            if *newest < place {
                (*newest, *bodies) = (place, Vec::new());
            }
            if *newest == place {
                bodies.push((class, member.clone()));
            }
        }
    }
    let sorted = found.into_iter().map(|(key, ((_, uid), mut bodies))| {
        let reported = state
            .pods()
            .get(uid)
            .map(|pod| pod.addresses.as_slice())
            .unwrap_or_default();
        let position = |member: &Member| {
            let own = |address: &IpAddr| Some(*address) == member.address(Family::of(*address));
            reported.iter().position(own)
        };
        if bodies.len() > 1 {
            bodies.sort_by_key(|(_, member)| position(member));
        }
        (key.clone(), bodies)
    });
    sorted.collect()
}

fn unpair(unpaired: &mut BTreeMap<usize, Vec<PodKey>>, key: PodKey, bodies: &[(usize, Member)]) {
    if let Some((class, _)) = bodies.first() {
        unpaired.entry(*class).or_default().push(key);
    }
}

/// What one source may do before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    from: End,
    before: PortSet,
    after: PortSet,
}

fn changes(difference: &Difference, links: &[(End, End, End)]) -> Vec<Change> {
    let mut v4 = Comparison::new(difference, links, Family::V4);
    let mut v6 = Comparison::new(difference, links, Family::V6);
    let mut merged: HashMap<(usize, usize), Vec<Merged>> = HashMap::new();
    let mut changes = Vec::new();
    for (to, was, is) in links {
        let of_family = |comparison: &mut Comparison<'_>| comparison.turns(*to, *was, *is);
        let (on_v4, on_v6) = (of_family(&mut v4), of_family(&mut v6));
        let merged = merged
            .entry((on_v4, on_v6))
            .or_insert_with(|| merge(v4.known(on_v4), v6.known(on_v6)));
        changes.extend(merged.iter().map(|part| Change {
            from: part.from.clone(),
            to: *to,
            families: part.families,
            before: part.before.clone(),
            after: part.after.clone(),
        }));
    }
    changes
}

/// A change without its destination.
struct Merged {
    from: Arc<[End]>,
    families: Families,
    before: PortSet,
    after: PortSet,
}

/// Puts together the sources that change alike, in both families where it is the same in both.
fn merge(v4: &[Turn], v6: &[Turn]) -> Vec<Merged> {
    let mut by_source: BTreeMap<End, [Option<&Turn>; 2]> = BTreeMap::new();
    for turn in v4 {
        by_source.entry(turn.from).or_default()[0] = Some(turn);
    }
    for turn in v6 {
        by_source.entry(turn.from).or_default()[1] = Some(turn);
    }
    let mut alike: BTreeMap<(Families, &PortSet, &PortSet), Vec<End>> = BTreeMap::new();
    for turns in by_source.into_values() {
        let (families, turns) = match turns {
            [Some(v4), Some(v6)] if v4 == v6 => ([Families::Both; 2], [Some(v4), None]),
            turns => (Family::ALL.map(Families::One), turns),
        };
        for (families, turn) in families.into_iter().zip(turns) {
            if let Some(turn) = turn {
                let same = alike.entry((families, &turn.before, &turn.after)).or_default();
                same.push(turn.from);
            }
        }
    }
    let merged = alike.into_iter().map(|((families, before, after), from)| Merged {
        from: from.into(),
        families,
        before: before.clone(),
        after: after.clone(),
    });
    let mut merged: Vec<Merged> = merged.collect();
    merged.sort_by(|one, other| one.from.first().cmp(&other.from.first()));
    merged
}

/// Compares the lists of both states, in one family.
struct Comparison<'a> {
    difference: &'a Difference,
    family: Family,
    before: Translation<'a>,
    after: Translation<'a>,
    lists: Lists,
    /// What turns out for lists before and after, by the numbers of these.
    compared: HashMap<(usize, usize), usize>,
    /// What turns out. The first is nothing.
    turns: Vec<Vec<Turn>>,
}

impl<'a> Comparison<'a> {
    fn new(difference: &'a Difference, links: &[(End, End, End)], family: Family) -> Self {
        let links = || {
            let links = links.iter().copied();
            links.filter(move |(joint, _, _)| difference.has_address(*joint, family))
        };
        let before = Translation::new(
            &difference.before,
            family,
            links().map(|(joint, was, _)| (joint, was)),
        );
        let after = Translation::new(
            &difference.after,
            family,
            links().map(|(joint, _, is)| (joint, is)),
        );
        Self {
            difference,
            family,
            before,
            after,
            lists: Lists::default(),
            compared: HashMap::new(),
            turns: vec![Vec::new()],
        }
    }

    /// The number of what turns out for a destination.
    fn turns(&mut self, to: End, was: End, is: End) -> usize {
        if !self.difference.has_address(to, self.family) {
            return 0;
        }
        let before = self.before.parts(was, &mut self.lists);
        let after = self.after.parts(is, &mut self.lists);
        if before == after {
            return 0;
        }
        if let Some(known) = self.compared.get(&(before, after)) {
            return *known;
        }
        let turns = self.lists.compare(before, after);
        let number = if turns.is_empty() { 0 } else { self.turns.len() };
        if number > 0 {
            self.turns.push(turns);
        }
        self.compared.insert((before, after), number);
        number
    }

    fn known(&self, number: usize) -> &[Turn] {
        self.turns.get(number).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The lists of one state in joint ends.
struct Translation<'a> {
    listing: Listing<'a>,
    /// The joint ends that each end has become.
    joint: HashMap<End, Vec<End>>,
    /// Lists that several destinations share.
    shared: HashMap<*const End, (Sources, usize)>,
}

impl<'a> Translation<'a> {
    fn new(reach: &'a Reach, family: Family, links: impl Iterator<Item = (End, End)> + Clone) -> Self {
        let mut joint: HashMap<End, Vec<End>> = HashMap::new();
        for (new, own) in links.clone() {
            joint.entry(own).or_default().push(new);
        }
        Self {
            listing: Listing::of(reach, family, links.map(|(_, own)| own)),
            joint,
            shared: HashMap::new(),
        }
    }

    /// The number of the parts of a destination.
    fn parts(&mut self, to: End, lists: &mut Lists) -> usize {
        let parts = self.listing.parts(to);
        let mut translated = Vec::with_capacity(parts.len());
        for (ports, sources) in parts.iter() {
            let list = self.list(sources, lists);
            if !lists.list(list).is_empty() {
                translated.push((ports.clone(), list));
            }
        }
        translated.sort_unstable();
        lists.parts_number(translated)
    }

    fn list(&mut self, sources: &Sources, lists: &mut Lists) -> usize {
        if let Some((_, known)) = self.shared.get(&sources.as_ptr()) {
            return *known;
        }
        let joint = sources.iter().filter_map(|end| self.joint.get(end)).flatten();
        let mut joint: Vec<End> = joint.copied().collect();
        joint.sort_unstable();
        let number = lists.number(joint.into());
        // Kept as well, so that its address stays its own.
        self.shared.insert(sources.as_ptr(), (sources.clone(), number));
        number
    }
}

/// Lists of joint ends by number, and what makes up the answer for a destination.
#[derive(Default)]
struct Lists {
    numbers: Numbering<Arc<[End]>>,
    lists: Vec<Arc<[End]>>,
    parts_numbers: Numbering<Arc<[(PortSet, usize)]>>,
    parts: Vec<Arc<[(PortSet, usize)]>>,
}

impl Lists {
    fn number(&mut self, list: Arc<[End]>) -> usize {
        let number = self.numbers.number(list.clone());
        if number == self.lists.len() {
            self.lists.push(list);
        }
        number
    }

    fn parts_number(&mut self, parts: Vec<(PortSet, usize)>) -> usize {
        let parts: Arc<[(PortSet, usize)]> = parts.into();
        let number = self.parts_numbers.number(parts.clone());
        if number == self.parts.len() {
            self.parts.push(parts);
        }
        number
    }

    fn list(&self, number: usize) -> &[End] {
        self.lists.get(number).map(|list| &**list).unwrap_or_default()
    }

    /// The sources that are in parts before and after on other ports, in order.
    fn compare(&self, before: usize, after: usize) -> Vec<Turn> {
        let none = PortSet::none();
        let mut sources: BTreeMap<End, (&PortSet, &PortSet)> = BTreeMap::new();
        let parts = |number: usize| self.parts.get(number).into_iter().flat_map(|parts| parts.iter());
        let same = |part: &&(PortSet, usize), other: usize| parts(other).any(|other| other == *part);
        for part in parts(before).filter(|part| !same(part, after)) {
            for end in self.list(part.1) {
                sources.entry(*end).or_insert((&none, &none)).0 = &part.0;
            }
        }
        for part in parts(after).filter(|part| !same(part, before)) {
            for end in self.list(part.1) {
                sources.entry(*end).or_insert((&none, &none)).1 = &part.0;
            }
        }
        let turns = sources.into_iter().filter(|(_, (before, after))| before != after);
        let turns = turns.map(|(from, (before, after))| Turn {
            from,
            before: before.clone(),
            after: after.clone(),
        });
        turns.collect()
    }
}

//! Pods as policies see them: those that no policy can tell apart are one class.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use palisade_policy::model::{ContainerPort, Labels, NamespaceName, Operator, Pod, Selector};

use crate::inventory::{Inventory, WorkloadKind};

/// Whether a pod takes part in policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Standing {
    /// It is a subject and a peer.
    Workload,
    /// It lives in the node's network and is neither.
    HostNetwork,
    /// It has finished and is neither. Its labels still show that a selector is no mistake.
    Finished,
}

/// Pods of one namespace with equal labels, ports and standing.
#[derive(Debug)]
pub(super) struct Class<'a> {
    /// Its place among all classes.
    pub(super) number: usize,
    pub(super) namespace: &'a NamespaceName,
    pub(super) labels: &'a Labels,
    pub(super) ports: &'a [ContainerPort],
    pub(super) standing: Standing,
    /// Never empty.
    pub(super) pods: Vec<&'a Pod>,
    /// How many there are: of those that stand for a workload, all replicas that it wants.
    pub(super) count: usize,
    /// Whether any of them has addresses of both families.
    pub(super) dual: bool,
    /// Whether the address of any of them is not known.
    pub(super) unaddressed: bool,
    /// The kinds of the workloads whose pods any of them stands for.
    stands_for: BTreeSet<WorkloadKind>,
    /// Whether it is one pod, and will not be more.
    pub(super) single: bool,
}

/// The labels that controllers give to pods beside those of the template.
const ADDED: [(&str, &[WorkloadKind]); 9] = {
    use WorkloadKind::{CronJob, DaemonSet, Deployment, Job, ReplicaSet, StatefulSet};
    [
        ("apps.kubernetes.io/pod-index", &[StatefulSet]),
        ("batch.kubernetes.io/controller-uid", &[Job, CronJob]),
        ("batch.kubernetes.io/job-completion-index", &[Job, CronJob]),
        ("batch.kubernetes.io/job-name", &[Job, CronJob]),
        ("controller-revision-hash", &[StatefulSet, DaemonSet]),
        ("controller-uid", &[Job, CronJob]),
        ("job-name", &[Job, CronJob]),
        ("pod-template-hash", &[Deployment, ReplicaSet]),
        ("statefulset.kubernetes.io/pod-name", &[StatefulSet]),
    ]
};

/// The kinds whose controllers give a label to pods.
fn adding(key: &str) -> &'static [WorkloadKind] {
    let of_key = ADDED.iter().find(|(added, _)| *added == key);
    of_key.map_or(&[], |(_, kinds)| *kinds)
}

/// Whether a selector asks for a label that controllers give.
pub(super) fn asks_for_added(selector: &Selector) -> bool {
    selector
        .requirements()
        .any(|requirement| !adding(&requirement.key).is_empty())
}

impl Class<'_> {
    pub(super) fn is_workload(&self) -> bool {
        self.standing == Standing::Workload
    }

    /// Whether any of them was made from a template, in the place of those that are not known.
    pub(super) fn is_of_templates(&self) -> bool {
        !self.stands_for.is_empty()
    }

    /// Whether pods that these stand for may match a selector once controllers have given them their labels.
    pub(super) fn may_match(&self, selector: &Selector) -> bool {
        let may_get = |key: &str| adding(key).iter().any(|kind| self.stands_for.contains(kind));
        selector
            .requirements()
            .all(|requirement| may_get(&requirement.key) || requirement.matches(self.labels))
    }
}

/// All pods.
#[derive(Debug)]
pub(super) struct Population<'a> {
    /// In order of their namespaces.
    classes: Vec<Class<'a>>,
    namespaces: BTreeMap<&'a NamespaceName, Range<usize>>,
    /// The classes that have a label.
    labelled: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Population<'a> {
    pub(super) fn of(inventory: &'a Inventory) -> Self {
        let mut pods: BTreeMap<(&NamespaceName, &Labels, &[ContainerPort], Standing), Vec<&Pod>> =
            BTreeMap::new();
        for pod in inventory.state.pods().values() {
            let standing = match (pod.finished, pod.host_network) {
                (true, _) => Standing::Finished,
                (false, true) => Standing::HostNetwork,
                (false, false) => Standing::Workload,
            };
            let class = (&pod.key.namespace, &pod.labels, pod.ports.as_slice(), standing);
            pods.entry(class).or_default().push(pod);
        }
        let is_known = |pod: &Pod| !pod.addresses.is_empty() && !inventory.placeholders.contains(&pod.uid);
        let is_dual = |pod: &Pod| {
            let mut families = pod.addresses.iter().map(IpAddr::is_ipv4);
            families
                .next()
                .is_some_and(|first| families.any(|other| other != first))
        };
        let templates = inventory.representatives();
        let template = |pod: &Pod| templates.get(&pod.uid).copied();
        let replicas = |pod: &Pod| {
            let replicas = template(pod).and_then(|workload| workload.replicas);
            usize::try_from(replicas.unwrap_or(1).max(1)).unwrap_or(usize::MAX)
        };
        let is_alone = |pod: &Pod| {
            let replicas = template(pod).map(|workload| workload.replicas);
            replicas.is_none_or(|replicas| replicas.is_some_and(|replicas| replicas <= 1))
        };
        let classes = pods.into_iter().zip(0..);
        let classes = classes.map(|(((namespace, labels, ports, standing), mut pods), number)| {
            pods.sort_by(|one, other| one.key.cmp(&other.key));
            let kinds = pods.iter().filter_map(|pod| template(pod));
            Class {
                number,
                namespace,
                labels,
                ports,
                standing,
                dual: pods.iter().any(|pod| is_known(pod) && is_dual(pod)),
                unaddressed: !pods.iter().all(|pod| is_known(pod)),
                stands_for: kinds.map(|workload| workload.key.kind).collect(),
                count: pods.iter().map(|pod| replicas(pod)).sum(),
                single: matches!(pods.as_slice(), [pod] if is_alone(pod)),
                pods,
            }
        });
        let classes: Vec<Class<'a>> = classes.collect();
        let mut namespaces: BTreeMap<&NamespaceName, Range<usize>> = BTreeMap::new();
        let mut labelled: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for class in &classes {
            let range = namespaces
                .entry(class.namespace)
                .or_insert(class.number..class.number);
            range.end = class.number + 1;
            for (key, value) in class.labels.iter() {
                labelled.entry((key, value)).or_default().push(class.number);
            }
        }
        Self {
            classes,
            namespaces,
            labelled,
        }
    }

    /// Whether any pod is known.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// All classes, in order of their namespaces.
    pub(super) fn classes(&self) -> &[Class<'a>] {
        &self.classes
    }

    /// The namespaces that have pods, with these.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = (&'a NamespaceName, &[Class<'a>])> {
        let ranges = self.namespaces.iter();
        ranges.map(|(name, range)| (*name, self.classes.get(range.clone()).unwrap_or_default()))
    }

    /// The pods of a namespace.
    pub(super) fn of_namespace(&self, name: &NamespaceName) -> &[Class<'a>] {
        let range = self.namespaces.get(name).cloned().unwrap_or_default();
        self.classes.get(range).unwrap_or_default()
    }

    /// The classes that a selector may match, in whatever namespace: all that have one of its labels, so that not every pod
    /// has to be looked at for every selector.
    pub(super) fn candidates(&self, selector: &Selector) -> impl Iterator<Item = &Class<'a>> {
        let indexed = selector.requirements().filter_map(|requirement| {
            let Operator::In(values) = &requirement.operator else {
                return None;
            };
            let lists = values
                .iter()
                .filter_map(|value| self.labelled.get(&(requirement.key.as_ref(), value.as_ref())));
            let mut numbers: Vec<usize> = lists.flatten().copied().collect();
            numbers.sort_unstable();
            Some(numbers)
        });
        let fewest = indexed.min_by_key(Vec::len);
        let (some, all) = match fewest {
            Some(numbers) => (Some(numbers), None),
            None => (None, Some(&self.classes)),
        };
        let some = some.into_iter().flatten();
        let some = some.filter_map(|number| self.classes.get(number));
        some.chain(all.into_iter().flatten())
    }
}

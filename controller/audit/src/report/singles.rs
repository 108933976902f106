//! The pods that rows stand for, one by one: people look for the pod that they know, by its name, an address or a label.
//!
//! A page has no room for those of a very large cluster. It has all of them or none, so that a search that finds nothing
//! means the same for every pod.

use std::collections::{BTreeMap, HashMap};

use palisade_policy::model::{Labels, Pod};
use palisade_policy::reach::{Class, End, Family};

use super::Overview;
use super::ends::Grain;
use super::names;

/// The most bytes that single pods take of a page: enough for 10,000 of them.
const MOST: usize = 1_200_000;

/// What JSON adds to the texts of a pod.
const AROUND: usize = 12;

/// The pods of all rows.
#[derive(Debug, Default)]
pub(super) struct Singles {
    /// Of each row, its pods by name.
    pub(super) of_row: Vec<Vec<Single>>,
    /// What labels there are, each text once.
    pub(super) labels: Vec<String>,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Single {
    /// Its name within its namespace.
    pub(super) name: String,
    /// `10.0.0.1 fd00::1`; nothing where they are not known.
    pub(super) addresses: String,
    /// Which of [`Singles::labels`] it has.
    pub(super) labels: usize,
}

impl Singles {
    /// `None` where that is too much for a page.
    pub(super) fn of(overview: &Overview<'_>) -> Option<Self> {
        let mut all = Self::default();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut size = 0;
        let mut of_row: Vec<BTreeMap<String, Single>> = Vec::new();
        of_row.resize_with(overview.rows.all.len(), BTreeMap::new);
        for (index, class) in overview.reach.classes().iter().enumerate() {
            let Some(pods) = overview
                .rows
                .row(End::Pods(index))
                .and_then(|row| of_row.get_mut(row))
            else {
                continue;
            };
            for (pod, addresses) in members(overview, class) {
                // A pod with several addresses of a family may be in several classes of a row.
                if let Some(twin) = pods.get_mut(&*pod.key.name) {
                    size += twin.add(&addresses);
                    continue;
                }
                let told = match overview.rows.grain {
                    Grain::Classes => Some(&class.labels),
                    Grain::Namespaces => None,
                };
                let labels = *known.entry(other_labels(pod, told)).or_insert_with_key(|text| {
                    size += text.len() + AROUND;
                    all.labels.push(text.clone());
                    all.labels.len() - 1
                });
                let single = Single {
                    name: pod.key.name.to_string(),
                    addresses: addresses.join(" "),
                    labels,
                };
                size += single.name.len() + single.addresses.len() + AROUND;
                pods.insert(single.name.clone(), single);
            }
            if size > MOST {
                return None;
            }
        }
        all.of_row = of_row
            .into_iter()
            .map(|pods| pods.into_values().collect())
            .collect();
        Some(all)
    }
}

impl Single {
    /// Adds the addresses that it lacks. Says how many bytes these are.
    fn add(&mut self, addresses: &[String]) -> usize {
        let before = self.addresses.len();
        for address in addresses {
            if !self.addresses.split(' ').any(|own| own == address) {
                self.addresses.push(' ');
                self.addresses.push_str(address);
            }
        }
        self.addresses.len() - before
    }
}

/// The pods of a class, each with those of its addresses that the class is about.
fn members<'a>(overview: &'a Overview<'_>, class: &'a Class) -> impl Iterator<Item = (&'a Pod, Vec<String>)> {
    let inventory = overview.inventory;
    class.members.iter().filter_map(move |member| {
        let pod = inventory.state.pods().get(&member.uid)?;
        let known = !inventory.placeholders.contains(&member.uid);
        let addresses = Family::ALL
            .into_iter()
            .filter_map(|family| member.address(family));
        let addresses = addresses.filter(|_| known).map(|address| address.to_string());
        Some((pod, addresses.collect()))
    })
}

/// The labels of a pod without those that are told of its row.
fn other_labels(pod: &Pod, told: Option<&Labels>) -> String {
    let is_told = |key: &str, value: &str| {
        told.is_some_and(|told| told.iter().any(|(one, other)| &**one == key && &**other == value))
    };
    let others = pod.labels.iter().filter(|(key, value)| !is_told(key, value));
    others
        .map(|(key, value)| names::label(key, value))
        .collect::<Vec<_>>()
        .join(", ")
}

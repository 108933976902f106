//! Pods by their labels: how these are written, and which pods have them.

use palisade_policy::model::{NamespaceName, Pod, Requirement, Selector};

use super::resolve::{Finder, Place};
use super::{End, InvalidQuestion, Unresolved, parse};

/// Reads `shop/*`, `app=web,tier=front` or `shop/app=web`; `None` if a text is of no such form.
pub(super) fn parse(text: &str) -> Result<Option<End>, InvalidQuestion> {
    if let Some(namespace) = text.strip_suffix("/*") {
        return Ok(Some(End::Labelled {
            namespace: Some(namespace_of(namespace, text)?),
            selector: Selector::everything(),
        }));
    }
    let Some((key, _)) = text.split_once('=') else {
        return Ok(None);
    };
    // A label's key may have a slash too, after a name of a domain: `app.kubernetes.io/name=web`. No namespace has a dot.
    let (namespace, labels) = match key.split_once('/') {
        Some((first, _)) if !first.contains('.') => {
            let labels = text.split_once('/').map_or(text, |(_, labels)| labels);
            (Some(namespace_of(first, text)?), labels)
        }
        Some(_) | None => (None, text),
    };
    let selector = selector(labels).ok_or_else(|| InvalidQuestion::NoLabels(text.to_owned()))?;
    Ok(Some(End::Labelled { namespace, selector }))
}

fn namespace_of(word: &str, text: &str) -> Result<NamespaceName, InvalidQuestion> {
    parse::check_name(word, text)?;
    Ok(word.into())
}

fn selector(text: &str) -> Option<Selector> {
    let known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let requirement = |word: &str| {
        let (key, value) = word.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        let (key, value) = (key.trim(), value.trim());
        let is_label = !key.is_empty()
            && key.chars().all(|letter| known(letter) || letter == '/')
            && value.chars().all(known);
        is_label.then(|| Requirement::equals(key, value))
    };
    text.split(',').map(requirement).collect()
}

impl<'a> Finder<'a> {
    /// The addresses of the pods with some labels, in one namespace or in all.
    pub(super) fn labelled(
        &mut self,
        end: &End,
        namespace: Option<&NamespaceName>,
        selector: &Selector,
    ) -> Result<Vec<Place<'a>>, Unresolved> {
        let pods = self.inventory.state.pods().values();
        let meant = pods.filter(|pod| {
            namespace.is_none_or(|namespace| pod.key.namespace == *namespace) && selector.matches(&pod.labels)
        });
        let pods: Vec<&Pod> = meant.collect();
        if pods.is_empty() {
            return Err(Unresolved::NoPod(end.clone()));
        }
        self.of_pods(&end.to_string(), pods)
    }
}

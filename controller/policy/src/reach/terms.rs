//! Selectors of pods and where they look, each once, and the pods that each selects.
//!
//! What a policy applies to is such a term, and so is each pod peer of its rules. Terms are filed by where they look and then by
//! label, so that pods are shown only to those that have a chance.

use std::collections::HashMap;

use super::numbering::Numbering;
use crate::index::SelectorIndex;
use crate::model::{Labels, Namespace, NamespaceName, Selector};

/// Where a term looks for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope<'a> {
    /// In one namespace.
    Namespace(&'a NamespaceName),
    /// In namespaces by label.
    Matching(&'a Selector),
}

/// Terms by number.
#[derive(Default)]
pub(super) struct Terms<'a> {
    numbers: Numbering<(Scope<'a>, &'a Selector)>,
    selectors: Vec<&'a Selector>,
    by_scope: HashMap<Scope<'a>, SelectorIndex<usize>>,
    /// The selectors of namespaces that terms have.
    scopes: SelectorIndex<usize>,
    scope_selectors: Vec<&'a Selector>,
}

impl<'a> Terms<'a> {
    /// The number of a term.
    pub(super) fn number(&mut self, scope: Scope<'a>, pods: &'a Selector) -> usize {
        let number = self.numbers.number((scope, pods));
        if number < self.selectors.len() {
            return number;
        }
        self.selectors.push(pods);
        if let Scope::Matching(selector) = scope
            && !self.by_scope.contains_key(&scope)
        {
            self.scopes.insert(selector, &self.scope_selectors.len());
            self.scope_selectors.push(selector);
        }
        self.by_scope.entry(scope).or_default().insert(pods, &number);
        number
    }

    /// The terms that look in a namespace. `known` is `None` for one whose labels are not known: it satisfies no requirement.
    pub(super) fn looking_in(&self, name: &'a NamespaceName, known: Option<&Namespace>) -> Looking<'_> {
        let none = Labels::default();
        let labels = known.map_or(&none, |namespace| &namespace.labels);
        let matching = self
            .scopes
            .candidates(labels)
            .filter_map(|scope| self.scope_selectors.get(*scope))
            .filter(|selector| selector.is_everything() || known.is_some() && selector.matches(labels))
            .map(|selector| Scope::Matching(selector));
        let scopes = matching.chain([Scope::Namespace(name)]);
        Looking {
            selectors: &self.selectors,
            scopes: scopes.filter_map(|scope| self.by_scope.get(&scope)).collect(),
        }
    }
}

/// The terms that look in one namespace.
pub(super) struct Looking<'a> {
    selectors: &'a [&'a Selector],
    scopes: Vec<&'a SelectorIndex<usize>>,
}

impl Looking<'_> {
    /// Those that select pods with these labels, in order.
    pub(super) fn selecting(&self, labels: &Labels) -> Vec<usize> {
        let candidates = self.scopes.iter().flat_map(|index| index.candidates(labels));
        let selecting = candidates.filter(|term| {
            let selector = self.selectors.get(**term);
            selector.is_some_and(|selector| selector.matches(labels))
        });
        let mut terms: Vec<usize> = selecting.copied().collect();
        terms.sort_unstable();
        terms
    }
}

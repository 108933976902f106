//! The state of a cluster as one document.

use std::sync::Arc;

use crate::manifest::Kind;

use super::Loaded;

/// The documents as a `v1` `List` of Kubernetes objects in JSON, one a line, sorted by kind, namespace and name. Reading it
/// gives what was read to make it. There is nothing in it but what answers are made of: no environment, no arguments, no
/// annotations, no images.
///
/// The inventory must have been read for this ([`super::load_documents`]). Groups of pods are left out: they repeat the pods.
pub fn snapshot(loaded: &Loaded) -> String {
    let mut documents: Vec<_> = items(loaded).collect();
    documents.sort_unstable();
    let items: Vec<&str> = documents.iter().map(|(.., document)| document.as_str()).collect();
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{}\n]}}\n",
        items.join(",\n")
    )
}

/// The documents that are in a snapshot: kind, title and text.
pub(super) fn items(loaded: &Loaded) -> impl Iterator<Item = &(Kind, Arc<str>, String)> {
    loaded
        .documents
        .iter()
        .filter(|(kind, ..)| *kind != Kind::AddressGroup)
}

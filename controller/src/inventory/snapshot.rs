//! The state of a cluster as one document.

use super::Loaded;

/// The documents as a `v1` `List` of Kubernetes objects in JSON, one a line, sorted by kind, namespace and name. Reading it
/// gives what was read to make it. There is nothing in it but what answers are made of: no environment, no arguments, no
/// annotations, no images.
///
/// The inventory must have been read for this ([`super::load_documents`]).
pub fn snapshot(loaded: &Loaded) -> String {
    let mut documents: Vec<_> = loaded.documents.iter().collect();
    documents.sort_unstable();
    let items: Vec<&str> = documents.iter().map(|(.., document)| document.as_str()).collect();
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{}\n]}}\n",
        items.join(",\n")
    )
}

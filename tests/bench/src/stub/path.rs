//! What a request is about.

use std::collections::BTreeMap;

/// A kind of objects, or one of them: `pods`, `pods` in a namespace, `pods/web-0` in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl Target {
    /// Reads a path of the Kubernetes API; `None` where it is none.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        match parts.next()? {
            "api" => parts.next()?,
            "apis" => parts.nth(1)?,
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, resource, rest @ ..] => (Some(*namespace), (*resource, rest)),
            [resource, rest @ ..] => (None, (*resource, rest)),
            [] => return None,
        };
        Some(Self {
            resource: rest.0.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: rest.1.first().map(ToString::to_string),
        })
    }
}

/// The parameters of a request. What they say needs no decoding here.
pub(crate) fn parameters(query: &str) -> BTreeMap<&str, &str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

//! What a request is about.

use std::collections::{BTreeMap, BTreeSet};

/// A kind of objects, or one of them: `pods`, `pods` in a namespace, `pods/web-0` in a namespace, its `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) part: Option<String>,
}

/// Which objects of a kind: those with a name, those whose label has one of some values, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    All,
    Name(String),
    Label(String, BTreeSet<String>),
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
            part: rest.1.get(1).map(ToString::to_string),
        })
    }
}

impl Selector {
    /// Reads the parameters of a request: of what selectors can say, what our programs say.
    pub(crate) fn parse(parameters: &BTreeMap<&str, &str>) -> Self {
        let text = |name| parameters.get(name).map(|text| decoded(text));
        let (fields, labels) = (text("fieldSelector"), text("labelSelector"));
        let name = fields
            .as_deref()
            .and_then(|text| text.strip_prefix("metadata.name="));
        if let Some(name) = name {
            return Self::Name(name.to_owned());
        }
        let label = labels.as_deref().and_then(|text| {
            let (label, values) = text.split_once(" in (")?;
            let values = values.strip_suffix(')')?.split(',').map(str::to_owned);
            Some(Self::Label(label.to_owned(), values.collect()))
        });
        label.unwrap_or(Self::All)
    }

    /// Whether it finds an object with this name and these labels.
    pub(crate) fn finds(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => name == wanted,
            Self::Label(label, values) => labels.get(label).is_some_and(|value| values.contains(value)),
        }
    }
}

/// A value of a form (URL standard, `application/x-www-form-urlencoded`).
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut found = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        found.push(match byte {
            b'+' => b' ',
            b'%' => {
                let number = digit().zip(digit()).map_or(0, |(high, low)| high * 16 + low);
                u8::try_from(number).unwrap_or_default()
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&found).into_owned()
}

/// The parameters of a request, as they are written.
pub(crate) fn parameters(query: &str) -> BTreeMap<&str, &str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_clients_write_them() {
        let query = "labelSelector=palisade.dev%2Fgroup+in+%28a%2Cb%29&watch=true";
        let selector = Selector::parse(&parameters(query));
        let labelled = |value: &str| BTreeMap::from([("palisade.dev/group".to_owned(), value.to_owned())]);
        assert!(selector.finds("x", &labelled("b")));
        assert!(!selector.finds("x", &labelled("c")) && !selector.finds("x", &BTreeMap::new()));
        let selector = Selector::parse(&parameters("fieldSelector=metadata.name%3Dnode1"));
        assert!(selector.finds("node1", &BTreeMap::new()) && !selector.finds("node2", &BTreeMap::new()));
        assert_eq!(Selector::parse(&parameters("limit=500")), Selector::All);
    }
}

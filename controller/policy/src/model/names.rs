//! Identities: newtypes, so that a pod name is never taken for a namespace.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::shared::Share;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl Ord for $name {
            /// As texts; most that are equal are the same memory, and need not be read.
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) {
                    Ordering::Equal
                } else {
                    self.0.cmp(&other.0)
                }
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Share for $name {
            fn is_shared(&self) -> bool {
                Arc::strong_count(&self.0) > 1
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A namespace's name.
    NamespaceName
);
name!(
    /// A node's name.
    NodeName
);
name!(
    /// A pod's `metadata.uid`. A pod that is deleted and made again under its old name has another one, which is
    /// why state is keyed by it and never by name.
    PodUid
);
name!(
    /// A container port's name, as a policy may use it in place of a number.
    PortName
);

/// A namespaced object's place: `namespace/name`.
macro_rules! key {
    ($(#[$doc:meta])* $key:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $key {
            /// The namespace that holds it.
            pub namespace: NamespaceName,
            /// Its name within the namespace.
            pub name: Arc<str>,
        }

        impl $key {
            /// The key of `namespace/name`.
            pub fn new(namespace: impl Into<NamespaceName>, name: impl Into<Arc<str>>) -> Self {
                Self { namespace: namespace.into(), name: name.into() }
            }

            /// Reads `namespace/name`; `None` where there is not exactly one slash between two names.
            pub fn parse(text: &str) -> Option<Self> {
                let (namespace, name) = text.split_once('/')?;
                let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
                whole.then(|| Self::new(namespace, name))
            }
        }

        impl fmt::Display for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{self}\"")
            }
        }
    };
}

key!(
    /// How people name a pod. For identity over time see [`PodUid`].
    PodKey
);
key!(
    /// How people, and the API, name a policy.
    PolicyKey
);

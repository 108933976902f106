//! Maps that are not read in order.

/// A map whose order is none: whoever reads all of it sorts what comes out.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;

/// A set, likewise.
pub(crate) type Set<T> = std::collections::HashSet<T, ahash::RandomState>;

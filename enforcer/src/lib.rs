//! The node side.

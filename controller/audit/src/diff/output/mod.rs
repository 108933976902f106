//! The forms of a difference.

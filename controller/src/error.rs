//! Errors as one line.

use std::error::Error;
use std::fmt::Write;

/// An error with its causes, each told once: some errors repeat their cause in their own words.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    text
}

//! Errors as one line.

use std::error::Error;
use std::fmt::Write;

/// An error with its causes, each told once: some errors repeat their cause in their own words.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = plain(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = plain(error);
        if !text.contains(&words) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    text
}

/// The error in its words. The client's errors print what the API server said a second time, field by field.
fn plain(error: &dyn Error) -> String {
    let text = error.to_string();
    text.split(" (Status {").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_says_is_told_once() {
        let status = Status::failure("no such thing", "NotFound").with_code(404);
        let error = kube::Error::Api(Box::new(status));
        assert_eq!(chain(&error), "ApiError: no such thing: NotFound");
    }
}

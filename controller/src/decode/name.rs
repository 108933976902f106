//! The forms of names (`k8s.io/apimachinery/pkg/util/validation`).

/// A DNS label (RFC 1123): the name of a namespace.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// A DNS subdomain (RFC 1123): the name of most other objects. A part may be as long as the whole.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Lowercase letters, digits and hyphens, no hyphen at either end.
fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A port name (`IANA_SVC_NAME`, RFC 6335): at most 15 lowercase letters, digits and single hyphens, a letter among
/// them, no hyphen at either end.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_part(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_those_of_the_api() {
        for valid in ["http", "a", "8080-tcp", "abcdefghijklmno", "x-1-y"] {
            assert!(is_port_name(valid), "{valid}");
        }
        for invalid in [
            "",
            "80",
            "HTTP",
            "-http",
            "http-",
            "a--b",
            "a_b",
            "abcdefghijklmnop",
            "hä",
        ] {
            assert!(!is_port_name(invalid), "{invalid}");
        }
    }

    #[test]
    fn object_names_are_those_of_the_api() {
        for valid in ["a", "node-1", "0"] {
            assert!(is_label(valid) && is_subdomain(valid), "{valid}");
        }
        assert!(is_subdomain("node.example.org") && !is_label("node.example.org"));
        for invalid in ["", "-a", "a-", "A", "a_b", "../a", "a/b", "a..b"] {
            assert!(!is_label(invalid) && !is_subdomain(invalid), "{invalid}");
        }
    }
}

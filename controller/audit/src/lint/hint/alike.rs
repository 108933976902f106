//! How alike words are: a slip of the pen, another word for the same, or two of a kind.

/// How alike two words are that may be one and the same, by Jaro and Winkler: `prod` and `production`, `app` and `apps`,
/// but not `web` and `db`.
const ALIKE: f64 = 0.85;

/// Letters that a word has at the least in which one that is wrong, missing or exchanged is a slip, as in `wbe`.
const SLIP: usize = 3;

/// Letters that a word has at the least in which two that are wrong are a slip too.
const LONG: usize = 6;

/// The word that is most like the wanted one, if any is at all.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_in_small = wanted.to_lowercase();
    most_alike(known.into_iter().filter(|word| *word != wanted).map(|word| {
        let small = word.to_lowercase();
        let is_part = is_part(&wanted_in_small, &small) || is_part(&small, &wanted_in_small);
        let likeness = likeness(&wanted_in_small, &small);
        (if is_part { likeness.max(ALIKE) } else { likeness }, word)
    }))
}

/// The key of a label that is most like the wanted one. What stands before its slash is somebody's domain: keys are not alike
/// for having the same.
pub(super) fn nearest_key<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (domain, name) = parts(wanted);
    most_alike(known.into_iter().map(|key| {
        let (other_domain, other_name) = parts(key);
        let likeness = if domain == other_domain || domain.is_empty() {
            let is_end = other_name
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'));
            let likeness = likeness(name, other_name);
            if is_end { likeness.max(ALIKE) } else { likeness }
        } else if name == other_name {
            likeness(domain, other_domain)
        } else {
            0.0
        };
        (likeness, key)
    }))
}

/// Of words that are alike at all the one that is most. Of equals the first in order, whatever order they come in.
fn most_alike<'a>(words: impl Iterator<Item = (f64, &'a str)>) -> Option<&'a str> {
    let alike = words.filter(|(likeness, _)| *likeness >= ALIKE);
    alike
        .max_by(|(a, one), (b, other)| a.total_cmp(b).then_with(|| other.cmp(one)))
        .map(|(_, word)| word)
}

/// The domain of a key, which may be empty, and its name.
pub(super) fn parts(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

fn likeness(one: &str, other: &str) -> f64 {
    let slip = one.chars().count() >= SLIP && strsim::osa_distance(one, other) == 1;
    let likeness = strsim::jaro_winkler(one, other);
    if slip { likeness.max(ALIKE) } else { likeness }
}

/// Whether a word is the first or the last part of another: `api` of `api-gateway`.
fn is_part(part: &str, word: &str) -> bool {
    let first = word.strip_prefix(part).is_some_and(|rest| rest.starts_with('-'));
    let last = word.strip_suffix(part).is_some_and(|rest| rest.ends_with('-'));
    part.chars().count() >= SLIP && (first || last)
}

/// Whether one word was written for the other: a letter or two are wrong, missing or exchanged, and they are no two of a kind.
pub(super) fn is_slip(one: &str, other: &str) -> bool {
    let most = match one.chars().count() {
        LONG.. => 2,
        SLIP.. => 1,
        _ => 0,
    };
    strsim::osa_distance(one, other) <= most && !is_enumeration(one, other)
}

/// Whether two words number things of one kind, so that neither was written for the other: `team-a` and `team-b`, `eu1` and
/// `eu2`, `web` and `web-2`.
pub(super) fn is_enumeration(one: &str, other: &str) -> bool {
    let head = |word: &str| {
        let (last, _) = word.char_indices().next_back()?;
        word.get(..last).map(str::to_owned)
    };
    let same_but_last = one.len() == other.len() && head(one) == head(other);
    same_but_last || kind_of(one) == kind_of(other)
}

/// A word without what numbers it: digits, and letters that stand alone.
fn kind_of(word: &str) -> Vec<String> {
    let parts = word.split(|letter: char| !letter.is_alphanumeric());
    let parts = parts.map(|part| part.chars().filter(|letter| !letter.is_ascii_digit()).collect());
    parts.filter(|part: &String| part.chars().count() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_merely_short_are_not_alike() {
        assert_eq!(nearest("web", ["db", "api"]), None);
        assert_eq!(nearest("prod", ["production", "testing"]), Some("production"));
        assert_eq!(
            nearest("kube-sytem", ["kube-public", "kube-system"]),
            Some("kube-system")
        );
        assert_eq!(nearest("api", ["web", "api-gateway"]), Some("api-gateway"));
    }

    #[test]
    fn keys_are_not_alike_for_their_domain() {
        let known = ["app.kubernetes.io/name", "kubernetes.io/metadata.name"];
        assert_eq!(nearest_key("app.kubernetes.io/instance", known), None);
        assert_eq!(
            nearest_key("app.kubernets.io/name", known),
            Some("app.kubernetes.io/name")
        );
        assert_eq!(nearest_key("name", known), Some("app.kubernetes.io/name"));
        assert_eq!(
            nearest_key("kubernetes.io/name", known),
            Some("kubernetes.io/metadata.name")
        );
        assert_eq!(nearest_key("k8s-app", ["app"]), None);
    }

    #[test]
    fn slips_are_told_from_two_of_a_kind() {
        for (one, other, slip, enumeration) in [
            ("monitorng", "monitoring", true, false),
            ("operation", "operations", true, false),
            ("team-a", "team-b", false, true),
            ("eu1-prod", "eu2-prod", false, true),
            ("web", "web-2", false, true),
            ("preprod", "prod", false, false),
            ("dev", "web", false, false),
            ("wbe", "web", true, false),
        ] {
            assert_eq!(is_slip(one, other), slip, "{one} {other}");
            assert_eq!(is_enumeration(one, other), enumeration, "{one} {other}");
        }
    }
}

//! The names of chains and sets: a stem that a person recognises, and an identifier that makes them unique.

use palisade_policy::model::Direction;
use palisade_policy::rules::{GroupId, Profile, ProfileId};

use crate::nft::model::{Comment, InvalidName, Name};

/// Characters of a stem; the rest of a name is what makes it unique.
const STEM: usize = 24;

/// The chain of a profile: `ingress_allow_frontend_3k9…`, after the first of its policies.
pub(super) fn profile(id: &ProfileId, profile: &Profile) -> Result<Name, InvalidName> {
    let stem = profile
        .policies
        .first()
        .map(|policy| stem(&policy.name))
        .unwrap_or_default();
    Name::new(format!("{}_{stem}_{id}", profile.direction))
}

/// A set that belongs to a chain.
pub(super) fn of_chain(chain: &Name, suffix: &str) -> Result<Name, InvalidName> {
    Name::new(format!("{}_{suffix}", chain.as_str()))
}

/// The set of a group that is too large to be copied into each profile.
pub(super) fn group(id: &GroupId, family: &str) -> Result<Name, InvalidName> {
    Name::new(format!("group_{id}_{family}"))
}

/// What a profile is, for people: its direction and its policies.
pub(super) fn describe(profile: &Profile) -> Comment {
    let policies: Vec<String> = profile.policies.iter().map(ToString::to_string).collect();
    let side = match profile.direction {
        Direction::Ingress => "to pods under",
        Direction::Egress => "from pods under",
    };
    Comment::fit(format!("{side} {}", policies.join(", ")))
}

fn stem(name: &str) -> String {
    let lower = name.chars().map(|character| {
        if character.is_ascii_alphanumeric() {
            character.to_ascii_lowercase()
        } else {
            '_'
        }
    });
    lower.take(STEM).collect()
}

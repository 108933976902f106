//! The parts of the page that are plain HTML: they can be read, and printed, without the page's program.

mod findings;
mod matrix;
mod namespaces;
mod policies;
mod summary;

pub(super) use findings::findings;
pub(super) use matrix::{matrix, matrix_rows};
pub(super) use namespaces::{namespace_options, namespaces};
pub(super) use policies::policies;
pub(super) use summary::summary;

use palisade_policy::model::PolicyKey;

use super::html::Html;
use crate::inventory::ObjectRef;

/// `1 pod`, `2 pods`, `1 policy`, `2 policies`
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn policy_id(key: &PolicyKey) -> String {
    format!("policy/{key}")
}

/// The name of an object, which leads to its place on the page where it has one.
fn object(html: &mut Html, object: &ObjectRef) {
    match object {
        ObjectRef::Policy(key) => {
            html.element("a", &[("href", &format!("#{}", policy_id(key)))], object);
        }
        ObjectRef::Pod(_) | ObjectRef::Namespace(_) | ObjectRef::Service(_) | ObjectRef::Workload(_) => {
            html.element("span", &[], object);
        }
    }
}

/// A number, aligned with others.
fn number(html: &mut Html, number: impl std::fmt::Display) {
    html.element("td", &[("class", &"number")], number);
}

//! Whether assertions hold.

use palisade_policy::model::NamespaceName;

use super::{Checked, Expectation, Failure, Prepared};
use crate::explain::{Explainer, Overall};
use crate::inventory::Inventory;
use crate::question::{Question, resolve};

/// Checks assertions in their order. Names without a namespace are looked up in `home`.
pub fn check(
    inventory: &Inventory,
    home: &NamespaceName,
    assertions: impl IntoIterator<Item = Prepared>,
) -> Vec<Checked> {
    let explainer = Explainer::new(inventory);
    let assertions = assertions.into_iter().map(|assertion| {
        let questions = assertion.questions.iter();
        let failures =
            questions.filter_map(|question| failure(inventory, &explainer, home, &assertion, question));
        Checked {
            failures: failures.collect(),
            assertion,
        }
    });
    assertions.collect()
}

/// Why a question got another answer than the assertion expects; `None` if it got that one.
fn failure(
    inventory: &Inventory,
    explainer: &Explainer<'_>,
    home: &NamespaceName,
    assertion: &Prepared,
    question: &Question,
) -> Option<Failure> {
    let resolved = resolve(inventory, home, question);
    let resolved = resolved.and_then(|resolved| match assertion.family {
        Some(family) => resolved.within(family),
        None => Ok(resolved),
    });
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(why) => return Some(Failure::Nobody(why)),
    };
    let answer = match explainer.explain(&resolved) {
        Ok(answer) => answer,
        Err(why) => return Some(Failure::TooMany(why)),
    };
    let wanted = match assertion.expect {
        Expectation::Allow => Overall::Allowed,
        Expectation::Deny => Overall::Denied,
    };
    (answer.verdict != wanted).then(|| Failure::Otherwise(Box::new(answer)))
}

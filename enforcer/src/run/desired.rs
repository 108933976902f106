//! The ruleset that the kernel should have now.

use std::collections::BTreeMap;

use palisade_crds::files::RuleSet;
use thiserror::Error;

use crate::facts::Observed;
use crate::nft::model::{Chain, Comment, Hook, Inconsistent, Interface, InvalidName, Ruleset, TableKey};
use crate::plan::{self, Plan, Settings};

/// Rules for which there is no ruleset. What is enforced already stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unplannable {
    /// Something in the rules or the facts cannot be named.
    #[error("the rules cannot be planned")]
    Name(#[from] InvalidName),
    /// The plan does not fit together; a defect of this program.
    #[error("the plan is inconsistent")]
    Inconsistent(#[from] Inconsistent),
}

/// Plans the ruleset, and checks it.
pub fn desired(rules: &RuleSet, observed: &Observed, settings: &Settings) -> Result<Plan, Unplannable> {
    let mut plan = plan::plan(&rules.rules, &rules.slices, &observed.facts, settings)?;
    name_interfaces(&mut plan.ruleset, &observed.indexes);
    plan.ruleset.check()?;
    Ok(plan)
}

/// Notes with each chain of an interface which link that is.
///
/// The kernel binds such a chain to the link that has the name at that moment, and to none that gets the name later:
/// the chain stays and judges nothing (seen on Linux 6.18). With the link's number in its comment, the chain of
/// a link that was replaced differs from the wanted one and is made again.
fn name_interfaces(ruleset: &mut Ruleset, indexes: &BTreeMap<Interface, u32>) {
    let Some(table) = ruleset.tables.get_mut(&TableKey::Netdev) else {
        return;
    };
    for chain in table.chains.values_mut() {
        let Chain {
            hook: Some(Hook::Ingress { device, .. }),
            comment,
            ..
        } = chain
        else {
            continue;
        };
        if let Some(index) = indexes.get(device) {
            let pod = comment.as_ref().map_or("a pod", Comment::as_str);
            *comment = Some(Comment::fit(format!("link {index} of {pod}")));
        }
    }
}

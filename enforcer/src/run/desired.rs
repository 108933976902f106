//! The ruleset that the kernel should have now.

use palisade_crds::RuleSet;
use thiserror::Error;

use crate::facts::Observed;
use crate::nft::model::{Inconsistent, InvalidName};
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
    let facts = observed.facts(&rules.rules.pod_networks);
    let plan = plan::plan(&rules.rules, &rules.slices, &facts, settings)?;
    plan.ruleset.check()?;
    Ok(plan)
}

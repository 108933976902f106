//! The ruleset that the kernel should have now.

use palisade_crds::{RuleSet, Slices};
use thiserror::Error;

use crate::facts::Observed;
use crate::nft::Draft;
use crate::nft::model::{Inconsistent, InvalidName};
use crate::plan::{Facts, Plan, Planner, Settings};

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

/// Plans the ruleset from scratch, and checks it.
pub fn desired(rules: &RuleSet, observed: &Observed, settings: &Settings) -> Result<Plan, Unplannable> {
    let facts = observed.facts(&rules.rules.pod_networks);
    let mut desired = Desired::new(settings.clone());
    desired.plan(rules, &facts)?;
    let plan = desired.planner.into_plan();
    plan.ruleset.check()?;
    Ok(plan)
}

/// The plan, following the rules.
#[derive(Debug, Default)]
pub(super) struct Desired {
    pub(super) planner: Planner,
    /// The slices that were planned.
    slices: Slices,
}

impl Desired {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            planner: Planner::new(settings),
            slices: Slices::default(),
        }
    }

    /// Brings the plan to these rules and facts.
    pub(super) fn plan(&mut self, rules: &RuleSet, facts: &Facts) -> Result<(), InvalidName> {
        let turned = rules.slices.since(&self.slices);
        self.planner.plan(&rules.rules, turned, facts)?;
        self.slices = rules.slices.clone();
        Ok(())
    }

    /// Whether what was touched since the kernel got it fits together.
    pub(super) fn check(&self) -> Result<(), Inconsistent> {
        match self.draft().edit() {
            Some(edit) => self.draft().ruleset().check_part(&edit.before, &edit.after),
            None => self.draft().ruleset().check(),
        }
    }

    pub(super) fn draft(&self) -> &Draft {
        self.planner.draft()
    }
}

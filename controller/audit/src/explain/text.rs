//! For people: the verdict first, then for each case and each end what its policies say.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use palisade_policy::model::{PolicyKey, Verdict};
use palisade_policy::reach::Family;

use super::{
    Account, Answer, Case, Clause, Finding, Overall, Party, RuleMatch, RuleMiss, Unclear, Why, Witness, words,
};
use crate::inventory::{ObjectRef, Places};
use crate::style::Style;

/// Cases that are told of many, what is denied first.
const CASES: usize = 20;

/// Ends of one sort that are named one by one.
const ENDS: usize = 3;

/// Policies that are named of those that isolate a pod.
const POLICIES: usize = 5;

/// The answer as text. Policies and fields are followed by where they are written, if that is known.
pub fn text(answer: &Answer, places: &dyn Places, style: Style) -> String {
    let mut page = Page {
        text: String::new(),
        places,
        style,
    };
    page.answer(answer);
    page.text
}

struct Page<'a> {
    text: String,
    places: &'a dyn Places,
    style: Style,
}

impl Page<'_> {
    fn line(&mut self, indent: usize, line: impl fmt::Display) {
        // Text can always be written to.
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    fn verdict(&self, verdict: Overall) -> String {
        let style = self.style;
        match verdict {
            Overall::Allowed => style.green(verdict).to_string(),
            Overall::Partly => style.yellow(verdict).to_string(),
            Overall::Denied => style.red(verdict).to_string(),
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let Answer {
            from,
            verdict,
            cases,
            remarks,
            ..
        } = answer;
        let title = format!("{from} → {}", answer.target());
        let verdict = self.verdict(*verdict);
        self.line(0, format_args!("{verdict}: {}", self.style.bold(title)));
        match cases.as_slice() {
            // All that could be said of the only case has been said.
            [case]
                if case.by.is_none()
                    && case.from.is_one()
                    && case.to.is_one()
                    && case.verdict() != Overall::Partly =>
            {
                self.line(0, "");
                for witness in &case.witnesses {
                    self.witness(2, witness);
                }
            }
            cases => {
                let sources: BTreeSet<_> = cases.iter().flat_map(|case| &case.from.pods).collect();
                let destinations: BTreeSet<_> = cases.iter().flat_map(|case| &case.to.pods).collect();
                let pods = [sources.len(), destinations.len()];
                for case in cases.iter().take(CASES) {
                    self.case(case, pods);
                }
                if let Some(more) = cases.len().checked_sub(CASES).filter(|more| *more > 0) {
                    self.line(0, "");
                    self.line(2, format_args!("{more} more cases are in the JSON form only"));
                }
            }
        }
        self.line(0, "");
        for remark in remarks {
            let note = self.style.dim(format!("note: {remark}")).to_string();
            self.line(0, note);
        }
    }

    fn case(&mut self, case: &Case, pods: [usize; 2]) {
        self.line(0, "");
        let families = case.families.iter().map(|family| match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        });
        let families = families.collect::<Vec<_>>().join(" and ");
        let ports = match case.verdict() {
            Overall::Partly => format!("{} of {}", case.allowed, case.asked),
            Overall::Allowed | Overall::Denied if case.asked.is_all() => "all ports".to_owned(),
            Overall::Allowed | Overall::Denied => case.asked.to_string(),
        };
        let [sources, destinations] = pods;
        let (from, to) = (ends(&case.from, sources), ends(&case.to, destinations));
        let through = case.by.as_ref().map(|by| format!(", through {by}"));
        let through = through.unwrap_or_default();
        let verdict = self.verdict(case.verdict());
        self.line(
            2,
            format_args!("{verdict}: {from} → {to}, {ports} ({families}){through}"),
        );
        for witness in &case.witnesses {
            self.witness(4, witness);
        }
    }

    fn witness(&mut self, indent: usize, witness: &Witness) {
        let verdict = match witness.verdict {
            Verdict::Allow => self.verdict(Overall::Allowed),
            Verdict::Deny => self.verdict(Overall::Denied),
        };
        self.line(indent, format_args!("{}: {verdict}", witness.packet));
        let indent = indent + 2;
        match &witness.why {
            Why::OwnNode(pod) => self.line(
                indent,
                format_args!("{pod} and its own node: always allowed, whatever policies say"),
            ),
            Why::Itself(pod) => self.line(
                indent,
                format_args!("{pod} to itself: always allowed, whatever policies say"),
            ),
            Why::NoPod => self.line(indent, "neither end is a pod that policies apply to"),
            Why::Judged(accounts) => {
                for account in accounts {
                    self.account(indent, account);
                }
            }
        }
    }

    fn account(&mut self, indent: usize, account: &Account) {
        let Account {
            pod,
            direction,
            isolating,
            finding,
        } = account;
        let title = self.style.bold(format!("{direction} of {pod}")).to_string();
        let isolating = isolating.iter().map(|policy| self.placed(policy, None));
        let isolating = words::some(isolating, POLICIES, "policies").join(", ");
        match finding {
            Finding::NotIsolated => {
                let verdict = self.style.green("allowed").to_string();
                self.line(indent, format_args!("{title}: {verdict}, no policy isolates it"));
            }
            Finding::Allowed(RuleMatch {
                policy,
                field,
                peer,
                port,
            }) => {
                let verdict = self.style.green("allowed").to_string();
                self.line(
                    indent,
                    format_args!("{title}: {verdict}, isolated by {isolating}"),
                );
                let rule = self.rule(policy, field);
                self.line(indent + 2, format_args!("{rule} allows it"));
                self.clause(indent + 4, field, peer);
                self.clause(indent + 4, field, port);
            }
            Finding::Denied {
                nearest,
                others,
                unclear,
                remedies,
            } => {
                let verdict = self.style.red("denied").to_string();
                self.line(
                    indent,
                    format_args!("{title}: {verdict}, isolated by {isolating}"),
                );
                if nearest.is_empty() {
                    self.line(indent + 2, "no rule of these allows anything");
                }
                for miss in nearest {
                    self.miss(indent + 2, miss);
                }
                if *others > 0 {
                    self.line(indent + 2, format_args!("{others} more rules are further off"));
                }
                for Unclear { policy, defect } in unclear {
                    let rule = self.rule(policy, &defect.field);
                    let message = &defect.message;
                    self.line(
                        indent + 2,
                        format_args!("{rule} allows nothing, as it is not understood: {message}"),
                    );
                }
                for remedy in remedies {
                    let word = self.style.cyan("would pass").to_string();
                    self.line(indent + 2, format_args!("{word}: {remedy}"));
                }
            }
        }
    }

    fn miss(&mut self, indent: usize, miss: &RuleMiss) {
        let RuleMiss {
            policy,
            field,
            peers,
            more_peers,
            ports,
            more_ports,
        } = miss;
        let rule = self.rule(policy, field);
        let but = match (peers, ports) {
            (Some(_), None) => "matches the port, not the peer",
            (None, Some(_)) => "matches the peer, not the port",
            (Some(_), Some(_)) | (None, None) => "matches neither peer nor port",
        };
        self.line(indent, format_args!("{rule} {but}"));
        for (clauses, more) in [(peers, more_peers), (ports, more_ports)] {
            for clause in clauses.iter().flatten() {
                self.clause(indent + 2, field, clause);
            }
            if *more > 0 {
                self.line(indent + 2, format_args!("and {more} more"));
            }
        }
    }

    /// `from[1]: pods with app=web in namespace shop`
    fn clause(&mut self, indent: usize, rule: &str, clause: &Clause) {
        let short = clause.field.strip_prefix(rule).unwrap_or(&clause.field);
        let short = short.trim_start_matches('.');
        self.line(indent, format_args!("{short}: {}", clause.words));
    }

    /// `shop/web spec.ingress[0] (web.yaml:12)`
    fn rule(&self, policy: &PolicyKey, field: &str) -> String {
        format!("{policy} {field}{}", self.place(policy, Some(field)))
    }

    fn placed(&self, policy: &PolicyKey, field: Option<&str>) -> String {
        format!("{policy}{}", self.place(policy, field))
    }

    /// ` (web.yaml:12)`, or nothing.
    fn place(&self, policy: &PolicyKey, field: Option<&str>) -> String {
        let place = self.places.place(&ObjectRef::Policy(policy.clone()), field);
        place.map_or_else(String::new, |place| format!(" ({place})"))
    }
}

/// `2 of 5 pods (shop/a, shop/b), 10.0.0.0/8`, of `all` pods that are on this side.
fn ends(party: &Party, all: usize) -> String {
    let listed = |texts: &mut dyn Iterator<Item = String>, what| words::some(texts, ENDS, what);
    let pods = listed(&mut party.pods.iter().map(ToString::to_string), "pods").join(", ");
    let mut ends = match party.pods.len() {
        0 => Vec::new(),
        _ if all == 1 => vec![pods],
        count if count == all => vec![format!("{all} pods ({pods})")],
        count => vec![format!("{count} of {all} pods ({pods})")],
    };
    let addresses = party.addresses.iter();
    ends.extend(listed(&mut addresses.map(ToString::to_string), "addresses"));
    let blocks = party.blocks.iter();
    ends.extend(listed(&mut blocks.map(ToString::to_string), "blocks"));
    ends.join(", ")
}

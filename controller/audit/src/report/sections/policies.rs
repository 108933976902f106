//! What each policy does, in plain words.

use palisade_policy::model::{Direction, Policy};

use super::super::Overview;
use super::super::html::Html;
use super::{counted, findings, policy_id};
use crate::words::{self, Allowance, Sentence};

/// The most policies that are told. All have their place in the figures and in the matrix.
const MOST: usize = 1_500;

/// The most classes of pods that are named of a policy.
const MOST_SUBJECTS: usize = 12;

/// The most bytes of sentences in full. The short forms are always there.
const MOST_FULL: usize = 400_000;

pub(in crate::report) fn policies(overview: &Overview<'_>, html: &mut Html) {
    let all: Vec<&Policy> = overview.inventory.state.policies().values().collect();
    if all.is_empty() {
        html.raw("<p>There are no policies: every pod may connect to every other.</p>")
            .line();
        return;
    }
    let mut room = MOST_FULL;
    if all.len() <= MOST {
        for policy in all {
            article(overview, policy, &mut room, html);
        }
        return;
    }
    let (with, without): (Vec<&Policy>, Vec<&Policy>) = all
        .iter()
        .partition(|policy| !overview.findings_of_policy(&policy.key).is_empty());
    let mut told: Vec<&Policy> = with.into_iter().chain(without).take(MOST).collect();
    told.sort_by(|one, other| one.key.cmp(&other.key));
    html.raw("<p class=\"note\">");
    html.text(format_args!(
        "{MOST} of {} policies are told, those with findings first.",
        all.len()
    ));
    html.raw("</p>").line();
    for policy in told {
        article(overview, policy, &mut room, html);
    }
}

fn article(overview: &Overview<'_>, policy: &Policy, room: &mut usize, html: &mut Html) {
    let key = &policy.key;
    let id = policy_id(key);
    let classes: Vec<usize> = overview
        .subjects
        .get(key)
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let pods: u64 = classes.iter().map(|class| overview.names.pods(*class)).sum();
    // Where no pods were read, nothing is known of how many it selects.
    let pods = overview
        .has_pods()
        .then(|| usize::try_from(pods).unwrap_or(usize::MAX));
    let words = words::describe(policy, pods);
    let direction = |rules: &Option<_>| if rules.is_some() { "all" } else { "none" };
    html.open(
        "article",
        &[
            ("class", &"policy"),
            ("id", &id),
            ("tabindex", &"-1"),
            ("data-namespace", &key.namespace),
            ("data-findings", &overview.findings_of_policy(key).len()),
            ("data-ingress", &direction(&words.ingress)),
            ("data-egress", &direction(&words.egress)),
        ],
    );
    html.raw("<header><h3>")
        .open("a", &[("href", &format_args!("#{id}"))]);
    html.element(
        "span",
        &[("class", &"namespace")],
        format_args!("{}/", key.namespace),
    );
    html.text(&key.name).raw("</a></h3>");
    subjects(overview, &classes, html);
    html.raw("</header><div>").line();
    html.raw("<p class=\"lead\">")
        .text(&words.subject)
        .raw(" ")
        .text(&words.effect)
        .raw("</p>")
        .line();
    full(&words.subject, room, html);
    for allowance in words.allowances() {
        rules(&id, allowance, room, html);
    }
    if !words.defects.is_empty() {
        html.raw("<h4>Not understood</h4><ul class=\"notes\">");
        for defect in &words.defects {
            html.element("li", &[], defect);
        }
        html.raw("</ul>").line();
    }
    findings::of_policy(overview, key, html);
    html.raw("</div>").close("article").line();
}

/// The pods that a policy applies to, by class.
fn subjects(overview: &Overview<'_>, classes: &[usize], html: &mut Html) {
    if classes.is_empty() {
        return;
    }
    html.raw("<ul class=\"subjects\" aria-label=\"Pods\">");
    for class in classes.iter().copied().take(MOST_SUBJECTS) {
        html.raw("<li>").text(overview.names.class(class));
        let count = overview.names.pods(class);
        if count > 1 {
            html.raw(" <small>×").text(count).raw("</small>");
        }
        html.raw("</li>");
    }
    let more = classes.len().saturating_sub(MOST_SUBJECTS);
    if more > 0 {
        let more = counted(more, "more set", "more sets");
        html.element("li", &[], format_args!("and {more} of equal pods"));
    }
    html.raw("</ul>").line();
}

fn rules(id: &str, allowance: &Allowance, room: &mut usize, html: &mut Html) {
    if allowance.rules.is_empty() {
        html.element("p", &[("class", &"nothing")], allowance.heading())
            .line();
        return;
    }
    html.element("h4", &[], allowance.heading().trim_end_matches(':'));
    html.raw("<ol class=\"rules\">");
    let direction: Direction = allowance.direction;
    for (position, rule) in allowance.rules.iter().enumerate() {
        // The page's program looks a rule up by this, to say which one is responsible.
        let id = format!("{id}/{direction}/{}", position + 1);
        html.open("li", &[("id", &id)]).text(rule);
        full(rule, room, html);
        html.close("li");
    }
    html.raw("</ol>").line();
}

/// What a sentence only counts, to be unfolded.
fn full(sentence: &Sentence, room: &mut usize, html: &mut Html) {
    let Some(full) = &sentence.full else { return };
    match room.checked_sub(full.len()) {
        Some(left) => {
            *room = left;
            html.raw("<details class=\"full\"><summary>In full</summary>")
                .text(full)
                .raw("</details>");
        }
        None => {
            html.raw(" <small>(in full it is too long for this page)</small>");
        }
    }
}

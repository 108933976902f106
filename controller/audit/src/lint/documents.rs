//! The document and its fields: what cannot be understood, `policyTypes`, size.

use palisade_policy::model::{Defect, Direction, Policy};

use super::Code;
use super::finding::{Finding, Findings};
use super::scene::{Scene, Seen};

/// Half of the bytes from which on the controller tells of an object that is large.
const LARGE: usize = 50_000;

pub(super) fn check(scene: &Scene<'_>, seen: &Seen<'_>, findings: &mut Findings) {
    let policy = seen.policy;
    for defect in &policy.defects {
        let code = code_of(defect);
        let mut message = defect.message.clone();
        if code == Code::OverSizeLimit {
            message.push_str("; it is Palisade that refuses it, not the API server");
        }
        let finding = Finding::of_policy(code, policy, message);
        findings.add(match defect.field.as_str() {
            "" => finding,
            field => finding.at(field),
        });
    }
    if scene.inventory.untyped.contains(&policy.key) {
        findings.add(untyped(policy));
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        let section = (policy.key.clone(), direction);
        if scene.inventory.idle_sections.contains(&section) {
            let message = format!("is there, but policyTypes does not name {}", type_of(direction));
            let finding = Finding::of_policy(Code::NeverInForce, policy, message);
            findings.add(finding.at(format!("spec.{direction}")));
        }
    }
    let entries = policy.entries();
    if entries > Policy::MOST_ENTRIES / 2 {
        let message = format!(
            "has {entries} entries in its lists, of the {} that a policy may have",
            Policy::MOST_ENTRIES
        );
        findings.add(Finding::of_policy(Code::NearSizeLimit, policy, message).at("spec"));
    } else if policy.said() > LARGE {
        let message = format!("takes some {} KB when it is published", policy.said() / 1_000);
        findings.add(Finding::of_policy(Code::LargeWhenPublished, policy, message).at("spec"));
    }
}

/// What a defect is, by the field that it is in. (Its message is for people.)
fn code_of(defect: &Defect) -> Code {
    if defect.is_of_size() {
        Code::OverSizeLimit
    } else if defect.field.ends_with(".endPort") {
        Code::EndPort
    } else if defect.field.contains(".ipBlock.except[") {
        Code::ExceptOutside
    } else {
        Code::NotUnderstood
    }
}

fn untyped(policy: &Policy) -> Finding {
    let of = |code, message: &str| Finding::of_policy(code, policy, message).at("spec.policyTypes");
    let rules = |direction| policy.rules(direction).map(<[_]>::len);
    match (rules(Direction::Ingress), rules(Direction::Egress)) {
        (Some(0), Some(1..)) => of(
            Code::EgressIsolatesIngress,
            "is not there, so that this policy for egress closes all ingress as well",
        ),
        (_, Some(_)) => of(
            Code::PolicyTypesDefault,
            "is not there: Ingress and Egress, because there is an egress section",
        ),
        (_, None) => of(
            Code::PolicyTypesDefault,
            "is not there: Ingress alone, because there is no egress section",
        ),
    }
}

fn type_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "Ingress",
        Direction::Egress => "Egress",
    }
}

//! For programs: the whole answer. What is here stays; more may come.
//!
//! | field | says |
//! |---|---|
//! | `from`, `to`, `port` | what was asked, in words; no port: all are asked about |
//! | `verdict` | `allowed`, `partly` or `denied` |
//! | `cases[]` | connections that get the same answer; every pair and port is in exactly one |
//! | `cases[].verdict`, `.by`, `.families` | as above; the port of a Service; 4, 6 |
//! | `cases[].from`, `.to` | all of the ends: `pods`, `addresses`, `blocks` |
//! | `cases[].asked`, `.allowed` | ports: `80,8000-8999/TCP; UDP`, `all`, `none` |
//! | `cases[].witnesses[]` | packets that stand for it: `source`, `destination`, `transport`, `verdict`, and `why`: `policies`, `own node`, `itself`, `no pod`; `anotherLike`: nobody has the destination, it stands for another pod like this one |
//! | `….sides[]` | what the policies of an end say: `pod`, `direction`, `isolatedBy`, `verdict` |
//! | `….rule` | the rule that allows: `policy`, `field`, `place`, and of `peer` and `port` the `field` and what it `says` |
//! | `….nearest[]`, `.others` | rules that came near: `policy`, `field`, `place`, and what its `peers` and `ports` missed, if they did (`morePeers`, `morePorts`: how many more) |
//! | `….notUnderstood[]`, `.wouldPass[]` | parts of policies that allow nothing; changes that would help |
//! | `notes[]` | what is worth knowing besides |

use palisade_policy::model::{PolicyKey, Verdict};
use palisade_policy::reach::Family;
use serde_json::{Map, Value, json};

use super::{Account, Answer, Case, Clause, Finding, Overall, Party, RuleMiss, Why, Witness};
use crate::inventory::{ObjectRef, Places};

/// The version of the form; another where a field changes its meaning.
const VERSION: u32 = 1;

/// The answer as a JSON value.
pub fn json(answer: &Answer, places: &dyn Places) -> Value {
    let cases: Vec<Value> = answer.cases.iter().map(|one| case(one, places)).collect();
    let notes: Vec<String> = answer.remarks.iter().map(ToString::to_string).collect();
    let port = (!answer.port.is_empty()).then_some(&answer.port);
    json!({
        "version": VERSION,
        "from": answer.from,
        "to": answer.to,
        "port": port,
        "verdict": overall(answer.verdict),
        "cases": cases,
        "notes": notes,
    })
}

fn overall(verdict: Overall) -> &'static str {
    match verdict {
        Overall::Allowed => "allowed",
        Overall::Partly => "partly",
        Overall::Denied => "denied",
    }
}

fn case(case: &Case, places: &dyn Places) -> Value {
    let families = case.families.iter().map(|family| match family {
        Family::V4 => 4,
        Family::V6 => 6,
    });
    let witnesses: Vec<Value> = case.witnesses.iter().map(|one| witness(one, places)).collect();
    json!({
        "verdict": overall(case.verdict()),
        "by": case.by,
        "families": families.collect::<Vec<u8>>(),
        "from": party(&case.from),
        "to": party(&case.to),
        "asked": case.asked.to_string(),
        "allowed": case.allowed.to_string(),
        "witnesses": witnesses,
    })
}

fn party(party: &Party) -> Value {
    let texts = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
    json!({
        "pods": texts(&mut party.pods.iter().map(ToString::to_string)),
        "addresses": texts(&mut party.addresses.iter().map(ToString::to_string)),
        "blocks": texts(&mut party.blocks.iter().map(ToString::to_string)),
    })
}

fn witness(witness: &Witness, places: &dyn Places) -> Value {
    let (why, accounts) = match &witness.why {
        Why::OwnNode(_) => ("own node", [].as_slice()),
        Why::Itself(_) => ("itself", [].as_slice()),
        Why::NoPod => ("no pod", [].as_slice()),
        Why::Judged(accounts) => ("policies", accounts.as_slice()),
    };
    let sides: Vec<Value> = accounts.iter().map(|account| side(account, places)).collect();
    json!({
        "source": witness.packet.source.to_string(),
        "destination": witness.packet.destination.to_string(),
        "transport": witness.packet.transport.to_string(),
        "verdict": match witness.verdict {
            Verdict::Allow => "allowed",
            Verdict::Deny => "denied",
        },
        "why": why,
        "anotherLike": witness.twin.as_ref().map(|twin| twin.key.to_string()),
        "sides": sides,
    })
}

fn side(account: &Account, places: &dyn Places) -> Value {
    let Account {
        pod,
        direction,
        isolating,
        finding,
    } = account;
    let isolating: Vec<String> = isolating.iter().map(ToString::to_string).collect();
    let common = json!({
        "pod": pod.to_string(),
        "direction": direction.to_string(),
        "isolatedBy": isolating,
        "verdict": match finding {
            Finding::NotIsolated | Finding::Allowed(_) => "allowed",
            Finding::Denied { .. } => "denied",
        },
    });
    let own = match finding {
        Finding::NotIsolated => json!({}),
        Finding::Allowed(rule) => json!({ "rule": {
            "policy": rule.policy.to_string(),
            "field": rule.field,
            "place": place(&rule.policy, &rule.field, places),
            "peer": clause(&rule.peer),
            "port": clause(&rule.port),
        }}),
        Finding::Denied {
            nearest,
            others,
            unclear,
            remedies,
        } => {
            let nearest: Vec<Value> = nearest.iter().map(|rule| miss(rule, places)).collect();
            let unclear = unclear.iter().map(|unclear| {
                json!({
                    "policy": unclear.policy.to_string(),
                    "field": unclear.defect.field,
                    "place": place(&unclear.policy, &unclear.defect.field, places),
                    "message": unclear.defect.message,
                })
            });
            let remedies: Vec<String> = remedies.iter().map(ToString::to_string).collect();
            json!({
                "nearest": nearest,
                "others": others,
                "notUnderstood": unclear.collect::<Vec<Value>>(),
                "wouldPass": remedies,
            })
        }
    };
    let parts = [common, own].into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    });
    Value::Object(parts.flatten().collect::<Map<String, Value>>())
}

fn miss(rule: &RuleMiss, places: &dyn Places) -> Value {
    let clauses = |clauses: &Option<Vec<Clause>>| {
        let clauses = clauses.as_ref();
        clauses.map(|clauses| clauses.iter().map(clause).collect::<Vec<Value>>())
    };
    json!({
        "policy": rule.policy.to_string(),
        "field": rule.field,
        "place": place(&rule.policy, &rule.field, places),
        "peers": clauses(&rule.peers),
        "morePeers": rule.more_peers,
        "ports": clauses(&rule.ports),
        "morePorts": rule.more_ports,
    })
}

fn clause(clause: &Clause) -> Value {
    json!({ "field": clause.field, "says": clause.words })
}

fn place(policy: &PolicyKey, field: &str, places: &dyn Places) -> Value {
    let place = places.place(&ObjectRef::Policy(policy.clone()), Some(field));
    place.map_or(
        Value::Null,
        |place| json!({ "file": place.file, "line": place.line }),
    )
}

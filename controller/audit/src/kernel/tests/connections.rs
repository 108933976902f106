//! Connections that may be begun and cannot go on, and flows that were ended.

use super::*;

const LOST: &str = "the kernel lets connections begin and drops the replies: shop/front → shop/web, 80/TCP";

/// The first pod may answer nobody unless connections that are there are accepted: what it begins is dropped.
fn silent() -> (ClusterState, Document) {
    let mut state = state();
    let silent = policy("shop/silent").selecting(&[("app", "web")]).allowing_to([]);
    state.apply(Event::PolicyApplied(silent));
    let mut document = Document::new();
    document.rules.remove(0);
    document.rules.push(vec![is("ip saddr", "10.0.0.1"), drop()]);
    (state, document)
}

#[test]
fn replies_must_pass_where_connections_may_be_begun() {
    let (state, document) = silent();
    let told = text(&[report(&state, &document.json())]);
    assert!(told.contains(LOST), "{told}");
    assert!(told.contains("the reply to 10.0.0.2 → 10.0.0.1 80/TCP"), "{told}");
    assert!(told.contains("rule 3: drop"), "{told}");

    let document = document.first(established(accept()));
    let found = report(&state, &document.json());
    assert!(found.agrees(), "{}", text(&[found]));
}

#[test]
fn established_packets_are_not_dropped_either_way() {
    let state_is = |op: &str, right: Value| compare("ct state", op, right);
    let flow = |key: &[&str], flow: Value| json!({ "match": { "op": "==", "left": concat(key), "right": { "set": [{ "concat": flow }] } } });
    let full = ["ip saddr", "th sport", "ip daddr", "th dport", "l4proto"];
    check([
        (
            "all established",
            Document::new().first(established(drop())),
            &[
                LOST,
                "drops the packets that follow: shop/front → shop/web, 80/TCP",
            ][..],
        ),
        (
            "one way",
            Document::new().first(vec![
                state_is("in", json!("established")),
                is("ip saddr", "10.0.0.1"),
                drop(),
            ]),
            &[LOST],
        ),
        (
            "the other way",
            Document::new().first(vec![
                state_is("==", json!({ "set": ["established"] })),
                is("ip daddr", "10.0.0.1"),
                drop(),
            ]),
            &["drops the packets that follow: shop/front → shop/web, 80/TCP"],
        ),
        (
            "all that is not new",
            Document::new().first(vec![state_is("!=", json!({ "set": ["new"] })), drop()]),
            &[LOST],
        ),
        (
            "replies from one port",
            Document::new().first(vec![
                state_is("in", json!("established")),
                is("tcp sport", 80),
                drop(),
            ]),
            &["drops the replies: shop/front, shop/web → shop/web, 80/TCP"],
        ),
        (
            "replies to one port",
            Document::new().first(vec![
                state_is("in", json!("established")),
                is("tcp dport", 40_000),
                drop(),
            ]),
            &[
                "it cannot be said what it does with the replies",
                "the port that the connection was begun from",
            ],
        ),
        (
            "replies to high ports alone",
            Document::new()
                .first(vec![state_is("in", json!("established")), drop()])
                .first(vec![
                    state_is("in", json!("established")),
                    is("tcp dport", json!({ "range": [1024, 65535] })),
                    accept(),
                ]),
            &[LOST],
        ),
        (
            "one flow that was ended",
            Document::new().first(vec![
                flow(&full, json!(["10.0.0.1", 80, "10.0.0.2", 40_000, "tcp"])),
                drop(),
            ]),
            &[],
        ),
        (
            "compared",
            Document::new().first(vec![state_is(">", json!(8)), drop()]),
            &["ct state > 8 is not known"],
        ),
        (
            "both at once",
            Document::new().first(vec![
                state_is("==", json!({ "|": ["established", "new"] })),
                accept(),
            ]),
            &["is not known"],
        ),
    ]);
}

#[test]
fn only_single_flows_may_be_dropped_by_source_port() {
    let flows = |ports: std::ops::Range<u32>| {
        let flows: Vec<Value> = ports
            .map(|port| json!({ "concat": ["10.0.0.2", port, "10.0.0.1", 80] }))
            .collect();
        let left = concat(&["ip saddr", "tcp sport", "ip daddr", "tcp dport"]);
        vec![
            json!({ "match": { "op": "==", "left": left, "right": { "set": flows } } }),
            drop(),
        ]
    };
    let all: Vec<u32> = (0..65_536).collect();
    let depends: &[_] = &["the verdict depends on the source port"];
    check([
        (
            "a port of anybody",
            Document::new().first(vec![is("udp sport", 123), drop()]),
            depends,
        ),
        (
            "all ports",
            Document::new().first(vec![is("tcp sport", json!({ "set": all })), drop()]),
            depends,
        ),
        ("some flows", Document::new().first(flows(40_000..40_100)), &[]),
        ("all flows", Document::new().first(flows(0..65_536)), depends),
    ]);
}

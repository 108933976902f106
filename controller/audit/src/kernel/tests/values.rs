//! Sets and maps that hold more than values.

use super::*;

/// The second pod is allowed by a set.
fn by_set(set: &Value) -> Document {
    let mut document = Document::new();
    document.rules[2] = vec![
        is("ip saddr", "@s"),
        is("ip daddr", "10.0.0.1"),
        is("tcp dport", 80),
        accept(),
    ];
    let mut whole = json!({ "family": "inet", "table": "palisade", "name": "s", "type": "ipv4_addr" });
    for (key, value) in set.as_object().unwrap() {
        whole[key] = value.clone();
    }
    document.with([json!({ "set": whole })])
}

#[test]
fn what_elements_and_sets_carry_besides_values_is_not_guessed() {
    let unsaid: &[_] = &["it cannot be said what the kernel does"];
    let element = |more: &str, value: Value| {
        let mut element = json!({ "val": "10.0.0.2" });
        element[more] = value;
        by_set(&json!({ "elem": [{ "elem": element }] }))
    };
    let limit = json!({ "rate": 1, "burst": 5, "per": "second" });
    let of_set = |more: Value| {
        let mut set = json!({ "elem": ["10.0.0.2"] });
        for (key, value) in more.as_object().unwrap() {
            set[key] = value.clone();
        }
        by_set(&set)
    };
    check([
        ("nothing", of_set(json!({})), &[][..]),
        (
            "a counter",
            element("counter", json!({ "packets": 0, "bytes": 0 })),
            &[],
        ),
        ("a comment", element("comment", json!("front")), &[]),
        ("a limit", element("limit", limit.clone()), unsaid),
        (
            "a quota",
            element("quota", json!({ "val": 10, "val_unit": "bytes" })),
            unsaid,
        ),
        ("a count", element("ct count", json!({ "val": 1 })), unsaid),
        ("an end", element("expires", json!(3)), unsaid),
        (
            "counters",
            of_set(json!({ "stmt": [{ "counter": null }], "size": 9, "comment": "c" })),
            &[],
        ),
        ("limits", of_set(json!({ "stmt": [{ "limit": limit }] })), unsaid),
        ("a time", of_set(json!({ "timeout": 60 })), unsaid),
        ("something new", of_set(json!({ "frobnicates": true })), unsaid),
    ]);
}

#[test]
fn entries_of_a_map_for_the_same_packets_must_agree() {
    let map = |entries: Value| {
        let mut document = Document::new();
        let key = concat(&["ip saddr", "ip daddr"]);
        document.rules[2] = vec![
            is("ip saddr", "10.0.0.2"),
            is("tcp dport", 80),
            json!({ "vmap": { "key": key, "data": "@m" } }),
        ];
        document.with([json!({ "map": {
            "family": "inet", "table": "palisade", "name": "m", "type": ["ipv4_addr", "ipv4_addr"], "map": "verdict",
            "flags": ["interval"], "elem": entries,
        } })])
    };
    let one = json!({ "concat": ["10.0.0.2", "10.0.0.1"] });
    let network = json!({ "prefix": { "addr": "10.0.0.0", "len": 24 } });
    let wide = json!({ "concat": [network, network] });
    let (yes, no) = (accept(), drop());
    check([
        ("one", map(json!([[one, yes]])), &[][..]),
        ("both the same", map(json!([[one, yes], [wide, yes]])), &[]),
        (
            "the narrow first",
            map(json!([[one, no], [wide, yes]])),
            &["two entries for the same packets"],
        ),
        (
            "the wide first",
            map(json!([[wide, yes], [one, no]])),
            &["two entries for the same packets"],
        ),
    ]);
}

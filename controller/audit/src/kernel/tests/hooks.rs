//! Chains on every hook, interfaces that lead out of the node, and whom frames are for.

use super::*;

#[test]
fn an_interface_that_a_rule_names_may_be_the_one_that_leads_out() {
    let only = |words: &str, op: &str, name: &str, verdict: Value| {
        Document::new().first(vec![compare(words, op, name), verdict])
    };
    let map = |key: Value, entry: Value| {
        let data = json!({ "set": [[entry, { "accept": null }]] });
        Document::new().first(vec![json!({ "vmap": { "key": key, "data": data } })])
    };
    let allows: &[_] = &["the kernel allows, the API denies"];
    let denies: &[_] = &["the kernel denies, the API allows"];
    let pattern = |words: &str| vec![is(words, "cali*"), drop()];
    check([
        ("accept", only("iifname", "==", "eth0", accept()), allows),
        ("map", map(field("iifname"), json!("eth0")), allows),
        (
            "map of both",
            map(
                concat(&["iifname", "ip daddr"]),
                json!({ "concat": ["eth0", "10.0.0.1"] }),
            ),
            allows,
        ),
        ("drop in", only("iifname", "==", "eth0", drop()), denies),
        ("drop out", only("oifname", "==", "eth0", drop()), denies),
        ("pattern", only("iifname", "==", "eth*", drop()), denies),
        ("all others", only("iifname", "!=", "eth0", drop()), denies),
        // So the enforcer closes pods that it does not know.
        (
            "pods' names",
            Document::new()
                .first(pattern("iifname"))
                .first(pattern("oifname")),
            &[],
        ),
    ]);
    let closed = Document::new()
        .first(pattern("iifname"))
        .first(pattern("oifname"));
    let notes = closed.report().notes;
    assert!(
        notes.iter().any(|note| note.contains("interfaces named cali*")),
        "{notes:?}"
    );
}

#[test]
fn chains_of_every_hook_that_packets_meet_are_asked() {
    let drops = |family: &str, hook: &str, dev: Option<&str>| {
        base(family, "x", hook, &json!({ "policy": "drop", "dev": dev }))
    };
    let denies: &[_] = &["the kernel denies, the API allows"];
    let postrouting = |name: &str, op: &str| {
        Document::new().with([
            base("inet", "x", "postrouting", &json!({})),
            in_chain("inet", "x", &[compare("iifname", op, name), drop()]),
        ])
    };
    check([
        (
            "netdev egress",
            Document::new().with([drops("netdev", "egress", Some("veth1"))]),
            denies,
        ),
        (
            "netdev egress of nobody",
            Document::new().with([drops("netdev", "egress", None)]),
            &["it is not told which interfaces it is on (egress)"],
        ),
        (
            "inet ingress",
            Document::new().with([drops("inet", "ingress", Some("veth2"))]),
            denies,
        ),
        (
            "of an uplink",
            Document::new().with([drops("netdev", "ingress", Some("eth0"))]),
            &["no pod of this node has the interface eth0"],
        ),
        (
            "inet prerouting",
            Document::new().with([drops("inet", "prerouting", None)]),
            denies,
        ),
        (
            "after routing, by where it came in",
            postrouting("veth2", "=="),
            denies,
        ),
        (
            "after routing, by where it did not",
            postrouting("lo", "!="),
            denies,
        ),
        (
            "to the node itself",
            Document::new().with([drops("inet", "input", None)]),
            &[],
        ),
        (
            "bridge input",
            Document::bridged().with([drops("bridge", "input", None)]),
            denies,
        ),
        (
            "bridge output",
            Document::bridged().with([drops("bridge", "output", None)]),
            denies,
        ),
        (
            "bridge forward",
            Document::bridged().with([drops("bridge", "forward", None)]),
            denies,
        ),
    ]);
}

#[test]
fn a_frame_for_one_receiver_is_for_the_port_itself_or_for_another() {
    let unsaid: &[_] = &["whether the frame is for the interface itself"];
    let pre = |expr: &[Value]| Document::bridged().with([in_chain("bridge", "pre", expr)]);
    check([
        ("others", pre(&[is("pkttype", "other"), drop()]), unsaid),
        ("itself", pre(&[compare("pkttype", "!=", "host"), drop()]), unsaid),
        ("flooded", pre(&[is("pkttype", "multicast"), drop()]), &[]),
        (
            "not flooded",
            pre(&[compare("pkttype", "!=", "broadcast"), accept()]),
            &[],
        ),
        (
            "compared",
            pre(&[compare("pkttype", ">", "host"), drop()]),
            &["is not known"],
        ),
        (
            "kinds of frames compared",
            Document::new().first(vec![compare("protocol", ">", "arp"), accept()]),
            &["is not known"],
        ),
        (
            "kinds of frames from one to another",
            Document::new().first(vec![is("protocol", json!({ "range": ["ip", "arp"] })), accept()]),
            &["is no Frame"],
        ),
    ]);
}

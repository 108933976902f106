//! Whether assertions hold, and what the forms of their outcomes say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail like tests"
)]

mod shop;

use palisade_audit::assertions::{Assertion, Checked, check, json, junit, tap, text};
use palisade_audit::inventory::{Inventory, Place};
use palisade_audit::style::Style;
use palisade_policy::cluster::Event;
use palisade_policy::testing::builders::{pod, pods, policy, rule};
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use shop::{Somewhere, guarded, inventory, shop};

fn place(line: u64) -> Place {
    let file = "expect.yaml".to_owned();
    let line = Some(line);
    Place { file, line }
}

/// Checks assertions that are written as JSON, which is what every reader of them turns YAML into.
fn checked(inventory: &Inventory, assertions: &[serde_json::Value]) -> Vec<Checked> {
    let prepared = (1..).zip(assertions).map(|(line, assertion)| {
        let assertion: Assertion = serde_json::from_value(assertion.clone()).unwrap();
        assertion.prepare(place(line)).unwrap()
    });
    check(inventory, &"shop".into(), prepared)
}

fn holds(inventory: &Inventory, assertion: serde_json::Value) -> bool {
    checked(inventory, &[assertion]).iter().all(Checked::holds)
}

fn wrong(assertion: serde_json::Value) -> String {
    match serde_json::from_value::<Assertion>(assertion) {
        Ok(assertion) => assertion.prepare(place(7)).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

/// The shop, where web pods may be reached by clients only.
fn clients_only() -> Inventory {
    let web = policy("shop/web").selecting(&[("app", "web")]);
    guarded([web.allowing_from([rule([pods(&[("app", "client")])])])])
}

fn some_that_fail() -> Vec<Checked> {
    let assertions = [
        serde_json::json!({"from": "client", "to": "deployment/web", "port": 8080, "expect": "allow"}),
        serde_json::json!({
            "name": "probes <stay> out & #1 \\ of all\u{7}",
            "from": ["client", "lab/probe"], "to": "web-0", "ports": ["http", "53/UDP"],
            "expect": "deny", "reason": "an \"auditor\" asked for it",
        }),
        serde_json::json!({"from": "any", "to": "web-7", "expect": "deny"}),
    ];
    checked(&clients_only(), &assertions)
}

#[test]
fn allow_holds_if_every_connection_is_allowed_and_deny_if_every_one_is_denied() {
    let shop = clients_only();
    let expect = |from: serde_json::Value, expect: &str| {
        holds(
            &shop,
            serde_json::json!({"from": from, "to": "web-0", "port": 80, "expect": expect}),
        )
    };
    assert!(expect("client".into(), "allow"));
    assert!(!expect("client".into(), "deny"));
    assert!(expect("lab/probe".into(), "deny"));
    let both = serde_json::json!(["client", "lab/probe"]);
    assert!(!expect(both.clone(), "allow"));
    assert!(!expect(both, "deny"), "not every one is denied");
    assert!(!expect("any".into(), "deny"));
}

#[test]
fn every_port_of_the_list_counts() {
    let shop = guarded([policy("shop/web").allowing_from([rule([pods(&[])]).on_ports([
        palisade_policy::testing::builders::port(palisade_policy::model::Protocol::Udp, 53),
    ])])]);
    let expect = |ports: serde_json::Value, protocol: Option<&str>, expect: &str| {
        let assertion = serde_json::json!({
            "from": "client", "to": "web-0", "port": ports, "protocol": protocol, "expect": expect,
        });
        holds(&shop, assertion)
    };
    assert!(expect("53/UDP".into(), None, "allow"));
    assert!(expect(53.into(), Some("udp"), "allow"));
    assert!(expect(53.into(), None, "deny"));
    assert!(expect("53/TCP".into(), Some("UDP"), "deny"));
    assert!(expect("icmp".into(), Some("UDP"), "deny"));
    assert!(!expect(serde_json::json!([53, 54]), Some("UDP"), "allow"));
    assert!(!expect(serde_json::json!([53, 54]), Some("UDP"), "deny"));
    // A protocol without a port is all of its ports.
    assert!(expect(serde_json::json!([]), Some("TCP"), "deny"));
    assert!(!expect(serde_json::json!([]), Some("UDP"), "deny"));
    assert!(!expect(serde_json::json!([]), Some("UDP"), "allow"));
}

#[test]
fn an_end_that_leads_nowhere_is_a_failure_whatever_is_expected() {
    for expect in ["allow", "deny"] {
        let outcomes = checked(
            &shop(),
            &[serde_json::json!({"from": "client", "to": "wbe-0", "expect": expect})],
        );
        assert!(!outcomes[0].holds());
        let message = outcomes[0].failures[0].to_string();
        assert_eq!(
            message,
            "there is no pod, workload or Service shop/wbe-0; did you mean shop/web-0?"
        );
    }
}

#[test]
fn a_family_narrows_what_is_asked() {
    let both = |key: &str, number: u8| {
        let pod = pod(key).labelled(&[("app", "both")]);
        Event::PodApplied(pod.at(&format!("10.0.9.{number}")).at(&format!("fd00::{number}")))
    };
    let block = palisade_policy::testing::builders::block("10.0.0.0/8", &[]);
    let closed = policy("shop/both")
        .selecting(&[("app", "both")])
        .allowing_from([rule([block])]);
    let shop = inventory(
        [
            both("shop/one", 1),
            both("shop/two", 2),
            Event::PolicyApplied(closed),
        ],
        &shop(),
    );
    let expect = |family: Option<u8>, expect: &str| {
        let assertion = serde_json::json!({"from": "one", "to": "two", "family": family, "expect": expect});
        holds(&shop, assertion)
    };
    assert!(expect(Some(4), "allow"));
    assert!(expect(Some(6), "deny"));
    assert!(!expect(None, "allow") && !expect(None, "deny"));
    let single = serde_json::json!({"from": "client", "to": "two", "family": 6, "expect": "deny"});
    assert!(
        !holds(&shop, single),
        "a client without IPv6 is nobody to ask about"
    );
}

#[test]
fn what_makes_no_sense_is_told_with_its_place() {
    let cases = [
        serde_json::json!({"from": "a", "to": "b", "expect": "allow", "prot": "TCP"}),
        serde_json::json!({"from": "a", "to": "b", "expect": "maybe"}),
        serde_json::json!({"from": "a", "to": "b"}),
        serde_json::json!({"from": {}, "to": "b", "expect": "deny"}),
        serde_json::json!({"from": "a", "to": [["b"]], "expect": "deny"}),
        serde_json::json!({"from": "a", "to": "b", "family": 5, "expect": "deny"}),
        serde_json::json!({"from": "a", "to": "b", "protocol": "ICMP", "expect": "deny"}),
        serde_json::json!({"from": "a", "to": [], "expect": "deny"}),
        serde_json::json!({"from": "a", "to": "b:80", "port": 80, "expect": "deny"}),
        serde_json::json!({"from": "a", "to": "b", "port": "0", "expect": "deny"}),
        serde_json::json!({"name": "mine", "from": "a/b/c/d", "to": "b", "expect": "deny"}),
    ];
    insta::assert_snapshot!(cases.map(wrong).join("\n"), @r#"
        unknown field `prot`, expected one of `name`, `from`, `to`, `port`, `ports`, `protocol`, `expect`, `family`, `reason`
        unknown variant `maybe`, expected `allow` or `deny`
        missing field `expect`
        invalid type: map, expected a text, a number or a list of these
        invalid type: sequence, expected a text or a number
        5 is no address family: it should be 4 or 6
        "ICMP" is no protocol: it should be TCP, UDP or SCTP
        expect.yaml:7: assertion "deny a → ": to is an empty list
        expect.yaml:7: assertion "deny a → b:80, port 80": the destination "b:80" has a port, and there is a field port beside it
        expect.yaml:7: assertion "deny a → b, port 0": "0" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        expect.yaml:7: assertion "mine": "a/b/c/d" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        "#);
}

#[test]
fn tap_has_a_plan_a_point_for_each_and_yaml_where_one_fails() {
    insta::assert_snapshot!(tap(&some_that_fail(), &Somewhere), @r#"
        TAP version 14
        1..3
        ok 1 - allow client → deployment/web, port 8080
        not ok 2 - probes <stay> out & \#1 \\ of all
          ---
          message: "expected deny: Pod shop/client → Pod shop/web-0, http: allowed (and 1 more)"
          reason: "an \"auditor\" asked for it"
          at:
            file: "expect.yaml"
            line: 2
          explanation: |
            allowed: Pod shop/client → Pod shop/web-0, http

              10.0.1.1 → 10.0.0.1 8080/TCP: allowed
                egress of shop/client: allowed, no policy isolates it
                ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
                  shop/web spec.ingress[0] (shop.yaml:15) allows it
                    from[0]: pods with app=client in shop
                    ports: every port

            note: this is about who opens the connection; what answers it passes
          ...
        not ok 3 - deny any → web-7
          ---
          message: "expected deny: there is no pod, workload or Service shop/web-7; did you mean shop/web-0?"
          at:
            file: "expect.yaml"
            line: 3
          explanation: |
            there is no pod, workload or Service shop/web-7; did you mean shop/web-0?
          ...
        "#);
}

#[test]
fn text_explains_the_first_that_is_otherwise() {
    insta::assert_snapshot!(text(&some_that_fail(), &Somewhere, Style::PLAIN), @r#"
        holds  allow client → deployment/web, port 8080
        fails  probes <stay> out & #1 \ of all
          expect.yaml:2: expected deny: Pod shop/client → Pod shop/web-0, http: allowed (and 1 more)
          it matters because: an "auditor" asked for it
            allowed: Pod shop/client → Pod shop/web-0, http

              10.0.1.1 → 10.0.0.1 8080/TCP: allowed
                egress of shop/client: allowed, no policy isolates it
                ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)
                  shop/web spec.ingress[0] (shop.yaml:15) allows it
                    from[0]: pods with app=client in shop
                    ports: every port

            note: this is about who opens the connection; what answers it passes
        fails  deny any → web-7
          expect.yaml:3: expected deny: there is no pod, workload or Service shop/web-7; did you mean shop/web-0?
            there is no pod, workload or Service shop/web-7; did you mean shop/web-0?
        "#);
}

/// The elements of an XML document with the attributes and texts that are decoded again.
fn elements(xml: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let mut elements = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Xml::Start(element) | Xml::Empty(element) => {
                let attributes = element.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let value = attribute
                        .normalized_value(quick_xml::XmlVersion::Explicit1_0)
                        .unwrap();
                    format!(" {}={value:?}", attribute.key.as_ref())
                });
                let attributes: String = attributes.collect();
                elements.push(format!("{}{attributes}", element.name().as_ref()));
            }
            Xml::Eof => return elements,
            Xml::End(_) | Xml::Text(_) | Xml::Decl(_) | Xml::GeneralRef(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn junit_is_well_formed_and_keeps_what_it_escapes() {
    let xml = junit(&some_that_fail(), &Somewhere).unwrap();
    insta::assert_snapshot!(elements(&xml).join("\n"), @r#"
        testsuites tests="3" failures="2"
        testsuite name="expect.yaml" tests="3" failures="2"
        testcase name="allow client → deployment/web, port 8080" classname="expect.yaml" file="expect.yaml" line="1"
        testcase name="probes <stay> out & #1 \\ of all�" classname="expect.yaml" file="expect.yaml" line="2"
        failure message="expected deny: Pod shop/client → Pod shop/web-0, http: allowed (and 1 more)" type="verdict"
        testcase name="deny any → web-7" classname="expect.yaml" file="expect.yaml" line="3"
        failure message="expected deny: there is no pod, workload or Service shop/web-7; did you mean shop/web-0?" type="nobody"
        "#);
    assert!(xml.contains("ingress of shop/web-0: allowed, isolated by shop/web (shop.yaml:1)"));
}

#[test]
fn json_counts_and_has_the_answers() {
    let value = json(&some_that_fail(), &Somewhere);
    assert_eq!(
        (value["total"].as_u64(), value["failed"].as_u64()),
        (Some(3), Some(2))
    );
    let second = &value["assertions"][1];
    assert_eq!(second["holds"], false);
    assert_eq!(second["line"], 2);
    let failures = second["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "the client on two ports, the probe on none");
    assert_eq!(failures[0]["answer"]["verdict"], "allowed");
    assert_eq!(
        value["assertions"][2]["failures"][0]["answer"],
        serde_json::Value::Null
    );
}

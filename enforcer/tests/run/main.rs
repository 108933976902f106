//! The enforcer as a process, in a network namespace of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that goes wrong should stop at once"
)]

mod bed;

use std::fs;

use palisade_crds::files;
use palisade_enforcer::nft::model::TableKey;
use palisade_policy::cluster::Event;
use palisade_policy::model::NodeName;
use palisade_policy::rules::SliceId;
use palisade_policy::testing::builders::{block, rule};

use bed::{Bed, NODE, allow_frontend, backend, frontend, until};

fn reasons(status: &serde_json::Value) -> Vec<String> {
    let degraded = status["degraded"].as_array().cloned().unwrap_or_default();
    degraded
        .iter()
        .map(|condition| condition["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_fresh_node_stays_open_until_the_first_rules_and_then_enforces_them() {
    let bed = Bed::new();
    bed.attach_shop().await;
    let mut enforcer = bed.enforce(&[]);
    let status = enforcer
        .status("without rules", |status| reasons(status) == ["NoRuleSet"])
        .await;
    assert_eq!(status["ready"], false);
    assert!(bed.loaded().await.ruleset.tables.is_empty());

    bed.publish(Bed::shop());
    let status = enforcer.ready().await;
    assert_eq!(
        (&status["pods"], &status["revision"], &status["applied"]["count"]),
        (&2.into(), &1.into(), &1.into())
    );
    let loaded = bed.loaded().await;
    assert_eq!(status["generation"], loaded.generation.0);
    let tables: Vec<_> = loaded.ruleset.tables.keys().copied().collect();
    assert_eq!(tables, [TableKey::Inet, TableKey::Netdev]);
    assert!(
        bed.list(&["list", "table", "inet", "palisade"])
            .contains("shop/backend")
    );
    assert!(enforcer.terminate().await.success());
    assert_eq!(bed.loaded().await, loaded, "what was enforced stays");
}

#[tokio::test]
async fn an_address_that_joins_a_group_is_one_element_and_nothing_else() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let mut enforcer = bed.enforce(&[]);
    enforcer.ready().await;
    let mut events = Bed::shop();
    let mut second = frontend("10.2.0.10");
    second.uid = "shop/frontend-2".into();
    events.push(Event::PodApplied(second));
    bed.publish(events);
    let status = enforcer
        .status("of the change", |status| status["applied"]["count"] == 2)
        .await;
    let last = status["applied"]["last"].as_object().unwrap();
    let touched: Vec<_> = last
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|(what, count)| (what.as_str(), count.clone()))
        .collect();
    assert_eq!(touched, [("elements_added", 1.into())]);
    println!("microseconds: {}", status["applied"]["microseconds"]);
}

#[tokio::test]
async fn a_restart_with_nothing_to_change_writes_nothing_however_the_enforcer_ended() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let mut enforcer = bed.enforce(&[]);
    enforcer.ready().await;
    let loaded = bed.loaded().await;
    enforcer.kill();
    assert_eq!(bed.loaded().await, loaded);
    let mut enforcer = bed.enforce(&[]);
    let status = enforcer.ready().await;
    assert_eq!(status["applied"]["count"], 0);
    assert_eq!(bed.loaded().await, loaded);
}

#[tokio::test]
async fn an_edit_of_our_table_is_undone_and_reported() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let mut enforcer = bed.enforce(&[]);
    enforcer.ready().await;
    let before = bed.loaded().await.ruleset;
    let edits = [
        "insert rule inet palisade to_pods accept",
        "delete table inet palisade",
        "add chain netdev palisade mine",
    ];
    for (edit, count) in edits.iter().zip(1..) {
        bed.nft(edit);
        let repaired = |status: &serde_json::Value| {
            status["edits"]["count"] == count && status["applied"]["count"] == count + 1
        };
        let status = enforcer.status("of the repair", repaired).await;
        assert_eq!(status["edits"]["last"]["process"], "nft");
        let loaded = bed.loaded().await;
        assert_eq!(
            (loaded.ruleset, loaded.foreign.len()),
            (before.clone(), 0),
            "{edit}"
        );
    }
}

#[tokio::test]
async fn an_incomplete_rule_set_leaves_the_last_one_in_force_and_says_so() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let mut enforcer = bed.enforce(&[]);
    enforcer.ready().await;
    let loaded = bed.loaded().await;

    let rules = files::read(&bed.rules(), &NodeName::from(NODE)).unwrap();
    let ((group, slice), _) = rules.slices.iter().next().unwrap();
    for path in [
        files::slice_path(&bed.rules(), group, *slice),
        files::policies_path(&bed.rules(), &"shop".into(), SliceId::WHOLE),
    ] {
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let status = enforcer
            .status("of the missing slice", |status| {
                reasons(status) == ["MissingSlice"]
            })
            .await;
        assert_eq!((&status["ready"], &status["revision"]), (&true.into(), &1.into()));
        fs::write(&path, b"{").unwrap();
        enforcer
            .status("of the broken slice", |status| reasons(status) == ["Undecodable"])
            .await;
        fs::write(&path, whole).unwrap();
        let status = enforcer
            .status("whole in between", |status| reasons(status).is_empty())
            .await;
        assert_eq!(status["policies"].as_str(), Some(rules.policies.as_str()));
    }
    fs::remove_dir_all(bed.rules()).unwrap();
    enforcer
        .status("without rules", |status| reasons(status) == ["NoRuleSet"])
        .await;
    assert_eq!(bed.loaded().await, loaded);

    bed.publish(Bed::shop());
    let status = enforcer
        .status("whole again", |status| reasons(status).is_empty())
        .await;
    assert_eq!(status["applied"]["count"], 1);
    assert_eq!(bed.loaded().await, loaded);
}

#[tokio::test]
async fn cleanup_removes_our_tables_and_nothing_else() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    bed.nft("table inet other { chain c { counter; }; }; table ip palisade { set s { type ipv4_addr; }; }");
    let others = bed.list(&["list", "ruleset"]);
    let output = bed.run("run", &["--once"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_ne!(bed.list(&["list", "ruleset"]), others);
    let output = bed.run("cleanup", &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        "removed table inet palisade\nremoved table netdev palisade\n"
    );
    assert_eq!(bed.list(&["list", "ruleset"]), others);
    let output = bed.run("cleanup", &[]);
    assert!(output.status.success() && output.stdout.is_empty());
}

#[tokio::test]
async fn cleanup_that_holds_cleans_up_and_stays_until_it_is_told_to_end() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let empty = bed.list(&["list", "ruleset"]);
    assert!(bed.run("run", &["--once"]).status.success());
    let mut holding = bed.start(&["cleanup", "--hold"]);
    holding.said("removed table netdev palisade").await;
    assert_eq!(bed.list(&["list", "ruleset"]), empty);
    assert!(holding.terminate().await.success());
}

#[tokio::test]
async fn what_the_kernel_refuses_makes_the_node_not_ready_and_ends_the_enforcer() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    // A table belongs to the process that made it with this flag: nobody else may write to it.
    let mut owner = bed.nft_that_reads(&["-i"]);
    let mut input = owner.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"add table inet palisade { flags owner; }\n").unwrap();
    until("nft makes the table", || {
        bed.list(&["list", "tables"]).contains("palisade")
    })
    .await;
    let mut enforcer = bed.enforce(&[]);
    let exit = enforcer.ended().await;
    assert_eq!(exit.code(), Some(1), "{}", enforcer.log());
    let status = enforcer
        .status("refused", |status| reasons(status) == ["Refused"])
        .await;
    assert_eq!(status["ready"], false);
    let message = status["degraded"][0]["message"].as_str().unwrap();
    assert!(message.contains("inet palisade"), "{message}");
    drop(input);
    owner.wait().unwrap();
}

#[tokio::test]
async fn a_pod_is_enforced_while_its_veth_is_here_and_a_new_link_of_the_same_name_is_a_new_one() {
    let bed = Bed::new();
    bed.publish(Bed::shop());
    let mut enforcer = bed.enforce(&[]);
    let status = enforcer.ready().await;
    assert_eq!(
        (&status["pods"], &status["unplaced"]),
        (&0.into(), &serde_json::json!(["shop/backend", "shop/other"]))
    );
    bed.attach("shop/backend", "v1", "10.1.0.7/24");
    enforcer
        .status("of a result without link", |status| {
            status["ignored_results"]["elsewhere"] == 1
        })
        .await;
    bed.veth("v1").await;
    enforcer.status("of a pod", |status| status["pods"] == 1).await;
    let comment = |text: String| {
        text.lines()
            .find(|line| line.contains("comment \"link "))
            .map(str::to_owned)
    };
    let first = comment(bed.list(&["list", "table", "netdev", "palisade"])).expect("a chain of the link");
    bed.remove_link("v1").await;
    enforcer
        .status("without pods", |status| status["pods"] == 0)
        .await;
    bed.veth("v1").await;
    enforcer.status("of a pod", |status| status["pods"] == 1).await;
    enforcer.kill();
    // While nobody looks, as a pod of a stateful set that comes back.
    bed.remove_link("v1").await;
    bed.veth("v1").await;
    let mut enforcer = bed.enforce(&[]);
    let status = enforcer.ready().await;
    assert_eq!(status["applied"]["last"]["chains_created"], 1);
    let second = comment(bed.list(&["list", "table", "netdev", "palisade"])).expect("a chain of the link");
    assert_ne!(first, second);
    bed.forge("v1").await;
    let counted = || {
        let rules = bed.list(&["list", "chain", "netdev", "palisade", "own_source"]);
        let arp = rules
            .lines()
            .find(|rule| rule.contains("arp"))
            .unwrap_or_default();
        arp.contains("counter packets") && !arp.contains("packets 0 ")
    };
    until("the new link's packets are judged", counted).await;
    bed.detach("v1");
    enforcer
        .status("without pods", |status| status["pods"] == 0)
        .await;
}

#[tokio::test]
async fn bridges_of_pods_are_filtered_once_there_are_rules() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.bridge("cni0", &["v1", "v2"]).await;
    bed.bridge("other0", &[]).await;
    let mut enforcer = bed.enforce(&[]);
    enforcer
        .status("without rules", |status| reasons(status) == ["NoRuleSet"])
        .await;
    let filtered = |name: &str| {
        let data = bed.link(name)[0]["linkinfo"]["info_data"].clone();
        ["nf_call_iptables", "nf_call_ip6tables"].map(|setting| data[setting].clone())
    };
    assert_eq!(filtered("cni0"), [0, 0]);
    bed.publish(Bed::shop());
    enforcer.ready().await;
    assert_eq!(filtered("cni0"), [1, 1]);
    assert_eq!(filtered("other0"), [0, 0]);
    assert!(bed.loaded().await.ruleset.tables.contains_key(&TableKey::Bridge));
}

#[tokio::test]
async fn show_says_what_is_loaded_for_a_pod() {
    let bed = Bed::new();
    bed.attach_shop().await;
    let mut events = Bed::shop();
    let blocks = allow_frontend().allowing_from([rule([block("192.0.2.0/24", &["192.0.2.128/25"])])]);
    events.push(Event::PolicyApplied(blocks));
    events.push(Event::PodApplied(backend()));
    bed.publish(events);
    assert!(bed.run("run", &["--once"]).status.success());
    let show = |arguments: &[&str]| {
        let output = bed.run("show", arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let text = show(&["shop/backend"]);
    for expected in [
        "attached: v1, with 10.1.0.7",
        "ingress: isolated",
        "policy shop/allow-frontend",
        "10.2.0.9 (shop/frontend)",
        "192.0.2.0-192.0.2.127",
        "dropped — 0 packets, 0 bytes (no rule of these policies allows it)",
        "egress: open: no policy isolates it",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    assert!(
        show(&[]).contains("shop/other: v2, with 10.1.0.8; open for ingress, open for egress"),
        "{}",
        show(&[])
    );
    assert!(show(&["--all"]).contains("chain to_pods of table inet palisade"));
    let unknown = bed.run("show", &["shop/nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("shop/nobody is not known on node a"));
}

#[tokio::test]
async fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let bed = Bed::new();
    bed.attach_shop().await;
    bed.publish(Bed::shop());
    let output = bed.run("run", &["--dry-run"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(bed.loaded().await.ruleset.tables.is_empty());
    let mut nft = bed.nft_that_reads(&["--check", "--json", "-f", "-"]);
    std::io::Write::write_all(&mut nft.stdin.take().unwrap(), &output.stdout).unwrap();
    let checked = nft.wait_with_output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

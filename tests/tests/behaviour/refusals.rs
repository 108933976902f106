//! What the kernel refuses: said by name, nothing half applied, and over when its cause is.

use nlink::netlink::nftables::Family;
use nlink::netlink::{Connection, Nftables};
use palisade_policy::model::Verdict;
use palisade_tests::bed::Topology;
use serde_json::json;

use super::town::Town;
use super::{PATIENCE, beside_others};

/// `NFT_TABLE_F_OWNER` of `linux/netfilter/nf_tables.h`: nobody else may touch the table while its maker is there.
const OWNER: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_leaves_what_was_there_and_is_told_by_name() {
    let _machine = beside_others().await;
    let mut town = Town::shop(Topology::Routed).await;
    let some = [
        "shop/web",
        "shop/front",
        "bank/outsider",
        "shop/far-front",
        "bank/far-outsider",
        "client1",
    ];
    let probes = town.between(&some, &some);
    town.assert_agrees(&probes, "before").await;
    let list = ["inet", "netdev"].map(|family| ["-a", "-s", "list", "table", family, "palisade"]);
    let listing = async |town: &Town| [town.nft(0, &list[0]).await, town.nft(0, &list[1]).await];
    let before = (listing(&town).await, town.state.clone());

    let owner = Connection::<Nftables>::new_in(&**town.node(0).netns()).unwrap();
    owner
        .add_table_with_flags("palisade", Family::Bridge, OWNER)
        .await
        .unwrap();
    town.relabel("bank/outsider", "front");
    town.withdraw("shop/front");
    let late = town.stage.bed_mut().add_slot(0, None).await.unwrap();
    town.listen(&late);
    town.settle(&late, "shop/late", "front");
    town.publish();
    let enforcer = town.stage.node(0).unwrap().1;
    let ended = format!("{:#}", enforcer.until(PATIENCE, |_| false).await.unwrap_err());
    assert!(ended.contains("the enforcer ended: exit status: 1"), "{ended}");
    for words in ["delete table bridge palisade", "the kernel refused"] {
        assert!(ended.contains(words), "no {words:?} in {ended}");
    }
    let status = town.status(0);
    assert_eq!(
        (&status["ready"], &status["degraded"][0]["reason"]),
        (&json!(false), &json!("Refused")),
        "{status:#}"
    );
    let message = status["degraded"][0]["message"].as_str().unwrap();
    assert!(message.contains("delete table bridge palisade"), "{message}");

    assert_eq!(listing(&town).await, before.0, "half applied");
    let after = std::mem::replace(&mut town.state, before.1);
    let here = town.between(
        &["shop/web"],
        &["shop/front", "bank/outsider", "bank/far-outsider", "client1"],
    );
    town.assert_agrees(&here, "what was there goes on").await;
    let newcomer = town.between(&["shop/late"], &["shop/web", "bank/outsider", "client1"]);
    town.assert_all(&newcomer, Verdict::Deny, "a pod that is not known yet")
        .await;

    // The table goes with its owner.
    drop(owner);
    town.stage.node(0).unwrap().1.stop().await.unwrap();
    let (node, enforcer) = town.stage.node(0).unwrap();
    enforcer.restart(node).unwrap();
    town.state = after;
    town.enact().await;
    town.assert_agrees(&probes, "the cause is gone").await;
    town.assert_agrees(&newcomer, "the cause is gone").await;
    town.stop().await;
}

//! Who is selected: by the labels of pods and of namespaces, as they are at the moment.

use anyhow::Result;
use futures::try_join;
use palisade_tests::live::PodEnd;
use palisade_tests::probe::Host;
use serde_json::json;

use super::scene::{Played, Scene, beside_others, everybody};

async fn town(scene: &Scene) -> Result<(String, String, Vec<PodEnd>)> {
    let shop = scene.namespace("shop", &[("team", "shop")]).await?;
    let bank = scene.namespace("bank", &[("team", "bank")]).await?;
    let shops = [
        ("web", 0, "web"),
        ("far-web", 1, "web"),
        ("front", 0, "front"),
        ("far-front", 1, "front"),
    ];
    let banks = [("front", 0, "front"), ("far-clerk", 1, "clerk")];
    let (shops, banks) = try_join!(scene.pods(&shop, shops), scene.pods(&bank, banks))?;
    let pods = shops.into_iter().chain(banks).collect();
    Ok((shop, bank, pods))
}

#[test]
fn pods_reach_whom_labels_allow_as_labels_and_policies_change() -> Played {
    beside_others(async |scene| {
        let (shop, bank, pods) = town(scene).await?;
        let hosts: Vec<&Host> = pods.iter().map(|pod| &pod.host).collect();
        let probes = everybody(&hosts);
        assert_eq!(scene.converge(&probes, "no policy").await?, 0);

        scene
            .policy(
                &shop,
                "default-deny",
                json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
            )
            .await?;
        scene.converge_mixed(&probes, "default deny").await?;

        let web = json!({"matchLabels": {"role": "web"}});
        let front = json!({"matchLabels": {"role": "front"}});
        let ingress = json!({
            "podSelector": web,
            "ingress": [
                {"from": [{"podSelector": front}], "ports": [{"protocol": "TCP", "port": 8080}]},
                {"from": [{"podSelector": front, "namespaceSelector": {"matchLabels": {"team": "bank"}}}]},
            ],
        });
        scene.policy(&shop, "web", ingress).await?;
        let egress = json!({
            "podSelector": front, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": web}]}],
        });
        scene.policy(&shop, "front", egress).await?;
        scene.converge_mixed(&probes, "front may ask web").await?;
        let before = scene.city.expected(&probes).await?;

        for pod in &pods {
            if pod.name == "far-clerk" {
                scene.label(pod, &[("role", "front")]).await?;
            }
            if pod.name == "far-front" {
                scene.label(pod, &[("role", "visitor")]).await?;
            }
        }
        scene
            .converge_mixed(&probes, "two pods have other labels")
            .await?;
        assert_ne!(scene.city.expected(&probes).await?, before);

        let before = scene.city.expected(&probes).await?;
        scene.objects().namespace(&bank, &[("team", "other")]).await?;
        scene
            .converge_mixed(&probes, "a namespace has another label")
            .await?;
        assert_ne!(scene.city.expected(&probes).await?, before);
        scene.objects().namespace(&bank, &[("team", "bank")]).await?;
        scene.converge_mixed(&probes, "and its old one again").await?;
        assert_eq!(scene.city.expected(&probes).await?, before);

        for name in ["web", "front", "default-deny"] {
            scene.withdraw(&shop, name).await?;
            scene.converge(&probes, &format!("without {name}")).await?;
        }
        assert_eq!(scene.converge(&probes, "no policy again").await?, 0);
        Ok(())
    })
}

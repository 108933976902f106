//! Ports by name, and addresses that are no pod's by rule.

use palisade_tests::cluster::Families;
use palisade_tests::cluster::PAUSE;
use palisade_tests::probe::Host;
use serde_json::{Value, json};

use super::scene::{Played, Scene, beside_others, everybody, template};
use super::{OTHER_PORT, PORT};

fn named(port: u16) -> Value {
    let ports = json!([{"name": "api", "containerPort": port}, {"name": "stats", "containerPort": port, "protocol": "UDP"}]);
    template(
        &[("role", "web")],
        &json!({"name": "idle", "image": PAUSE, "ports": ports}),
    )
}

async fn start_named(
    scene: &Scene,
    space: &str,
    name: &str,
    node: usize,
    port: u16,
) -> anyhow::Result<palisade_tests::live::PodEnd> {
    let mut manifest = named(port);
    scene.place(&mut manifest, name, node)?;
    scene.start(space, manifest).await
}

#[test]
fn a_name_of_a_port_is_another_number_on_another_pod() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("named", &[]).await?;
        let near = start_named(scene, &space, "near", 0, PORT).await?;
        let far = start_named(scene, &space, "far", 1, OTHER_PORT).await?;
        let [none, front] = scene
            .pods(&space, [("none", 0, "web"), ("front", 1, "front")])
            .await?;
        let hosts: Vec<&Host> = [&near, &far, &none, &front].map(|pod| &pod.host).into();
        let probes = everybody(&hosts);
        let from = json!([{"podSelector": {"matchLabels": {"role": "front"}}}]);
        let ports = json!([{"port": "api"}, {"port": "stats", "protocol": "UDP"}]);
        let web = json!({"matchLabels": {"role": "web"}});
        let ingress = json!({"podSelector": web, "ingress": [{"from": from, "ports": ports}]});
        scene.policy(&space, "ingress", ingress).await?;
        scene.converge_mixed(&probes, "named ports of subjects").await?;
        scene.withdraw(&space, "ingress").await?;
        let egress = json!({
            "podSelector": {"matchLabels": {"role": "front"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": web}], "ports": ports}],
        });
        scene.policy(&space, "egress", egress).await?;
        scene.converge_mixed(&probes, "named ports of peers").await
    })
}

#[test]
fn a_block_has_holes() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("blocks", &[]).await?;
        let [web, far_web, near, far] = scene
            .pods(
                &space,
                [
                    ("web", 0, "web"),
                    ("far-web", 1, "web"),
                    ("near", 0, "front"),
                    ("far", 1, "front"),
                ],
            )
            .await?;
        let mut hosts: Vec<&Host> = [&web, &far_web, &near, &far].map(|pod| &pod.host).into();
        hosts.extend(scene.outside());
        let mut probes = everybody(&hosts);
        probes.retain(|probe| !scene.city.outside().addresses().contains(&probe.to));
        let except: Vec<String> = far
            .host
            .addresses()
            .iter()
            .map(|address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
            .collect();
        let blocks = [("10.244.0.0/16", true), ("fd00:244::/48", false)].map(|(cidr, is_four)| {
            let holes: Vec<_> = except
                .iter()
                .filter(|hole| hole.contains('.') == is_four)
                .collect();
            json!({"ipBlock": {"cidr": cidr, "except": holes}})
        });
        let spec = json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"from": blocks}]});
        scene.policy(&space, "blocks", spec).await?;
        scene.converge_mixed(&probes, "a block with a hole").await
    })
}

#[test]
fn both_families_are_judged_where_there_are_two() -> Played {
    beside_others(async |scene| {
        if scene.cluster.plan().families == Families::Single {
            println!("skipped: this cluster has IPv4 alone (`make e2e DUAL=1`)");
            return Ok(());
        }
        let space = scene.namespace("dual", &[]).await?;
        let [web, far_web, front, far_front] = scene
            .pods(
                &space,
                [
                    ("web", 0, "web"),
                    ("far-web", 1, "web"),
                    ("front", 0, "front"),
                    ("far-front", 1, "front"),
                ],
            )
            .await?;
        let hosts: Vec<&Host> = [&web, &far_web, &front, &far_front].map(|pod| &pod.host).into();
        anyhow::ensure!(
            hosts.iter().all(|host| host.addresses().len() == 2),
            "a pod has one address"
        );
        let probes = everybody(&hosts);
        for cidr in ["fd00:244::/48", "10.244.0.0/16"] {
            let spec = json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
            scene.policy(&space, "one-family", spec).await?;
            scene.converge_mixed(&probes, &format!("{cidr} alone")).await?;
        }
        Ok(())
    })
}

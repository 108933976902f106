//! Policies on pods that are called by addresses of services.
//!
//! What the oracle says of a call to a service is what it says of the packet that arrives at the pod's node: to the pod
//! behind the service, from the caller or from another node that stands in for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::try_join;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::cluster::succeed;
use palisade_tests::live::{ask, until};
use palisade_tests::probe::{Host, Probe};
use serde_json::{Value, json};
use tokio::process::Command;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, beside_others, everybody};

/// The port that services are called at.
pub(crate) const FRONT_PORT: u16 = 80;

/// From a network for documentation; somebody outside of the cluster routes it to a node.
const LOAD_BALANCER: &str = "203.0.113.80";

/// A call to a service, and the packet that comes out of it. None when nothing may.
struct Call {
    probe: Probe,
    becomes: Option<Probe>,
}

/// Calls by TCP and UDP to an address and port; `becomes` are the ends of what comes out of them.
fn calls(from: &Host, to: IpAddr, port: u16, becomes: Option<(&Host, &Host)>) -> Vec<Call> {
    let call = |protocol| {
        let out = |(from, to): (&Host, &Host)| {
            let address = to.addresses().first().copied()?;
            Some(ask(from, address, Transport::Port(protocol, PORT)))
        };
        Call {
            probe: ask(from, to, Transport::Port(protocol, port)),
            becomes: becomes.and_then(out),
        }
    };
    [Protocol::Tcp, Protocol::Udp].map(call).into()
}

/// Waits until all calls are what the oracle says of what they become. Says how many are denied.
async fn converge(scene: &Scene, calls: &[Call], when: &str) -> Result<usize> {
    let mut expected = Vec::new();
    for call in calls {
        expected.push(match &call.becomes {
            // A pod reaches itself, with its node standing in.
            Some(probe) if probe.from.host().addresses().contains(&probe.to) => Verdict::Allow,
            Some(probe) => scene.city.expected(std::slice::from_ref(probe)).await?.remove(0),
            None => Verdict::Deny,
        });
    }
    let probes: Vec<_> = calls.iter().map(|call| call.probe.clone()).collect();
    scene.converge_to(&probes, &expected, when).await
}

/// Applies a service of pods with `role: web`, at [`FRONT_PORT`] for [`PORT`], with more fields of its specification.
pub(crate) async fn serve(scene: &Scene, space: &str, name: &str, more: Value) -> Result<Service> {
    let mut spec = json!({
        "selector": {"role": "web"},
        "ports": [
            {"name": "tcp", "protocol": "TCP", "port": FRONT_PORT, "targetPort": PORT},
            {"name": "udp", "protocol": "UDP", "port": FRONT_PORT, "targetPort": PORT},
        ],
    });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    scene
        .objects()
        .apply(space, json!({"metadata": {"name": name}, "spec": spec}))
        .await
}

/// The address of a service within the cluster.
pub(crate) fn cluster_ip(service: &Service) -> Result<IpAddr> {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    Ok(address.context("a service without an address")?.parse()?)
}

/// The port of nodes for a service, which both protocols share here.
fn node_port(service: &Service) -> Result<u16> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    let port = ports.and_then(|ports| ports.first()?.node_port);
    Ok(port.context("a service without a port of nodes")?.try_into()?)
}

/// Ports of nodes: the same for both protocols.
fn of_nodes(port: u16) -> Value {
    json!([
        {"name": "tcp", "protocol": "TCP", "port": FRONT_PORT, "targetPort": PORT, "nodePort": port},
        {"name": "udp", "protocol": "UDP", "port": FRONT_PORT, "targetPort": PORT, "nodePort": port},
    ])
}

/// What lets only `role: front` talk to `role: web`.
fn front_only() -> Value {
    json!({
        "podSelector": {"matchLabels": {"role": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "front"}}}], "ports": [
            {"protocol": "TCP", "port": PORT}, {"protocol": "UDP", "port": PORT},
        ]}],
    })
}

#[test]
fn calls_by_a_cluster_address_are_judged_by_their_ends() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("service", &[]).await?;
        let [web, front, far_front, other, far_other] = scene
            .pods(
                &space,
                [
                    ("web", 0, "web"),
                    ("front", 0, "front"),
                    ("far-front", 1, "front"),
                    ("other", 0, "other"),
                    ("far-other", 1, "other"),
                ],
            )
            .await?;
        let service = serve(scene, &space, "web", json!({})).await?;
        let address = cluster_ip(&service)?;
        let callers = [&web, &front, &far_front, &other, &far_other];
        let calls: Vec<Call> = callers
            .iter()
            .flat_map(|pod| calls(&pod.host, address, FRONT_PORT, Some((&pod.host, &web.host))))
            .collect();
        ensure!(converge(scene, &calls, "a cluster address, no policy").await? == 0);
        scene.policy(&space, "front-only", front_only()).await?;
        ensure!(converge(scene, &calls, "a cluster address, only front").await? == 4);
        // Ports of rules are those of pods: the port of the service opens nothing.
        let egress = json!({
            "podSelector": {"matchLabels": {"role": "front"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"role": "web"}}}], "ports": [{"port": FRONT_PORT}]}],
        });
        scene.policy(&space, "egress", egress).await?;
        ensure!(converge(scene, &calls, "a cluster address, egress to its port").await? == 8);
        let egress = json!({
            "podSelector": {"matchLabels": {"role": "front"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"role": "web"}}}], "ports": [{"port": PORT}]}],
        });
        scene.policy(&space, "egress", egress).await?;
        ensure!(converge(scene, &calls, "a cluster address, egress to the pod's port").await? == 6);
        scene.withdraw(&space, "egress").await?;
        scene.withdraw(&space, "front-only").await?;
        ensure!(converge(scene, &calls, "a cluster address, no policy again").await? == 0);
        Ok(())
    })
}

#[test]
fn calls_from_outside_are_judged_by_the_address_that_arrives() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("outside", &[]).await?;
        let [web] = scene.pods(&space, [("web", 0, "web")]).await?;
        let cluster =
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "ports": of_nodes(30_881)});
        let local = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": of_nodes(30_882)});
        let (cluster, local) = try_join!(
            serve(scene, &space, "cluster", cluster),
            serve(scene, &space, "local", local)
        )?;
        balance(scene, &space).await?;
        let outside = scene.city.outside();
        let (own, far) = (scene.node(0)?, scene.node(1)?);
        let at = |node: &Host| {
            node.addresses()
                .first()
                .copied()
                .context("a node without an address")
        };
        let (cluster, local) = (node_port(&cluster)?, node_port(&local)?);
        let mut all = Vec::new();
        // The pod's own node judges the caller before it stands in for it; another has done so by then.
        all.extend(calls(outside, at(own)?, cluster, Some((outside, &web.host))));
        all.extend(calls(
            outside,
            LOAD_BALANCER.parse()?,
            FRONT_PORT,
            Some((outside, &web.host)),
        ));
        all.extend(calls(outside, at(far)?, cluster, Some((far, &web.host))));
        // The caller's address stays, and only nodes with a pod answer.
        all.extend(calls(outside, at(own)?, local, Some((outside, &web.host))));
        all.extend(calls(outside, at(far)?, local, None));
        ensure!(converge(scene, &all, "from outside, no policy").await? == 2);
        scene.policy(&space, "front-only", front_only()).await?;
        ensure!(converge(scene, &all, "from outside, only front").await? == 10);
        let block = |address: IpAddr| json!({"ipBlock": {"cidr": format!("{address}/32")}});
        let allow = |peer: Value| json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"from": [peer]}]});
        scene.policy(&space, "caller", allow(block(at(outside)?))).await?;
        ensure!(converge(scene, &all, "from outside, the caller's address").await? == 4);
        scene.policy(&space, "caller", allow(block(at(far)?))).await?;
        ensure!(converge(scene, &all, "from outside, the other node's address").await? == 8);
        Ok(())
    })
}

/// Gives the service `cluster` an address of a load balancer, as somebody outside of the cluster would.
async fn balance(scene: &Scene, space: &str) -> Result<()> {
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": LOAD_BALANCER}]}}});
    Api::<Service>::namespaced(scene.objects().client().clone(), space)
        .patch_status("cluster", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let node = scene
        .node(0)?
        .addresses()
        .first()
        .context("a node without an address")?
        .to_string();
    let mut command = Command::new("ip");
    // This process is in the network of a machine of the cluster.
    command.args(["route", "replace", LOAD_BALANCER, "via", &node]);
    succeed(command, "", Duration::from_secs(5)).await.map(drop)
}

#[test]
fn a_caller_stays_with_its_pod_by_session_affinity_under_policy() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("affinity", &[]).await?;
        let [web, far_web, front, other] = scene
            .pods(
                &space,
                [
                    ("web", 0, "web"),
                    ("far-web", 1, "web"),
                    ("front", 0, "front"),
                    ("other", 1, "other"),
                ],
            )
            .await?;
        scene.policy(&space, "front-only", front_only()).await?;
        // A service that no node knows yet looks like one that is denied.
        let hosts = [&web, &far_web, &front, &other].map(|pod| &pod.host);
        scene
            .converge_mixed(&everybody(&hosts), "by their own addresses")
            .await?;
        let service = serve(scene, &space, "web", json!({"sessionAffinity": "ClientIP"})).await?;
        let address = cluster_ip(&service)?;
        let tcp = Transport::Port(Protocol::Tcp, FRONT_PORT);
        let allowed = [ask(&front.host, address, tcp)];
        let denied = [ask(&other.host, address, tcp)];
        scene
            .city
            .converge_to(&allowed, &[Verdict::Allow], "front calls")
            .await?;
        scene
            .city
            .converge_to(&denied, &[Verdict::Deny], "other calls")
            .await?;
        let mut reached = BTreeSet::new();
        for _ in 0..10 {
            for seen in scene.city.prober().observe(&allowed, &[Verdict::Allow]).await? {
                ensure!(seen.passed(), "an allowed call was lost: {seen}");
                reached.extend(seen.who().map(str::to_owned));
            }
        }
        ensure!(reached.len() == 1, "one caller, two pods: {reached:?}");
        scene
            .city
            .check(&denied, &[Verdict::Deny], "other calls again")
            .await
    })
}

#[test]
fn pods_of_a_headless_service_are_reached_as_policies_say() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("headless", &[]).await?;
        let [web, far_web, front, other] = scene
            .pods(
                &space,
                [
                    ("web", 0, "web"),
                    ("far-web", 1, "web"),
                    ("front", 0, "front"),
                    ("other", 1, "other"),
                ],
            )
            .await?;
        scene.policy(&space, "front-only", front_only()).await?;
        serve(scene, &space, "web", json!({"clusterIP": "None"})).await?;
        let own: BTreeSet<String> = [&web, &far_web]
            .iter()
            .filter_map(|pod| pod.host.addresses().first())
            .map(ToString::to_string)
            .collect();
        let listed = until(PATIENCE, "the addresses of the service", async || {
            let slices = scene
                .objects()
                .list::<EndpointSlice>(&space, "kubernetes.io/service-name=web")
                .await?;
            let endpoints = slices
                .into_iter()
                .filter(|slice| slice.address_type == "IPv4")
                .flat_map(|slice| slice.endpoints);
            let addresses: BTreeSet<String> = endpoints.flat_map(|endpoint| endpoint.addresses).collect();
            Ok((addresses == own).then_some(addresses))
        })
        .await?;
        let mut probes = Vec::new();
        for address in listed {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for from in [&front, &other] {
                    probes.push(ask(&from.host, address.parse()?, Transport::Port(protocol, PORT)));
                }
            }
        }
        scene.converge_mixed(&probes, "a headless service").await
    })
}

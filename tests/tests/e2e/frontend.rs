//! The policy that everybody begins with, and a web server behind a service.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_tests::cluster::AGNHOST;
use palisade_tests::live::until;
use palisade_tests::probe::Host;
use serde_json::{Value, json};

use super::scene::{PATIENCE, Played, beside_others, set, template};
use super::services::{FRONT_PORT, cluster_ip, serve};

const POLICY: &str = include_str!("../../../config/samples/01-allow-frontend.yaml");

/// Where the web server listens.
const WEB: u16 = 7000;

/// How long a page may take, and how long nothing has to come of a request.
const WAIT: Duration = Duration::from_secs(1);

#[test]
fn allow_frontend_opens_a_web_server_behind_its_service_to_the_frontend_alone() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("shop", &[]).await?;
        let container = json!({"name": "web", "image": AGNHOST, "args": ["netexec", format!("--http-port={WEB}"), "--udp-port=-1"]});
        let mut manifest = template(&[("role", "backend")], &container);
        scene.place(&mut manifest, "backend", 0)?;
        scene.start(&space, manifest).await?;
        let [frontend, far_frontend, outsider] = scene
            .pods(
                &space,
                [
                    ("frontend", 0, "frontend"),
                    ("far-frontend", 1, "frontend"),
                    ("outsider", 1, "outsider"),
                ],
            )
            .await?;
        let ports = json!([{"protocol": "TCP", "port": FRONT_PORT, "targetPort": WEB}]);
        let service = serve(
            scene,
            &space,
            "backend",
            json!({"selector": {"role": "backend"}, "ports": ports}),
        )
        .await?;
        let address = cluster_ip(&service)?;
        for pod in [&frontend, &far_frontend, &outsider] {
            let page = until(PATIENCE, "a page without a policy", async || {
                Ok(fetch(&pod.host, address).await)
            })
            .await?;
            ensure!(page.contains("backend"), "{page}");
        }
        let mut policy: Value = serde_saphyr::from_str(POLICY)?;
        set(&mut policy, "/metadata/namespace", space.clone().into())?;
        scene.objects().apply::<NetworkPolicy>(&space, policy).await?;
        until(PATIENCE, "the end of the outsider's pages", async || {
            Ok(fetch(&outsider.host, address).await.is_none().then_some(()))
        })
        .await?;
        for _ in 0..5 {
            for pod in [&frontend, &far_frontend] {
                let page = fetch(&pod.host, address)
                    .await
                    .context("no page for a frontend")?;
                ensure!(page.contains("backend"), "{page}");
            }
            ensure!(
                fetch(&outsider.host, address).await.is_none(),
                "a page for the outsider"
            );
        }
        Ok(())
    })
}

/// The page with the server's name, if it comes.
async fn fetch(from: &Host, to: IpAddr) -> Option<String> {
    let netns = from.netns().clone();
    let get = move || netns.run(|| get(SocketAddr::new(to, FRONT_PORT))).ok()?.ok();
    tokio::task::spawn_blocking(get).await.ok()?
}

fn get(at: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect_timeout(&at, WAIT)?;
    connection.set_read_timeout(Some(WAIT))?;
    write!(
        connection,
        "GET /hostname HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    connection.read_to_string(&mut page)?;
    Ok(page)
}

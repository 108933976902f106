//! The whole answer, as JSON, in colours, and where it is long.

use palisade_audit::explain::{json, text};
use palisade_audit::style::Style;
use palisade_policy::cluster::Event;
use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{block, pod, pods, pods_in, policy, port, ports, rule};

use super::shop::{Somewhere, guarded, inventory, shop};
use super::{answer, explained};

#[test]
fn of_very_many_cases_the_first_are_told() {
    let pods = (0..40_u16).map(|number| {
        let pod = pod(&format!("lab/many-{number}")).at(&format!("10.0.5.{number}"));
        Event::PodApplied(pod.declaring("http", Protocol::Tcp, 8000 + number))
    });
    let open = rule([block("10.0.0.0/8", &[])]).on_ports([ports(Protocol::Tcp, 8000, 9000)]);
    let closed = policy("lab/all").allowing_from([open]);
    let shop = inventory(pods.chain([Event::PolicyApplied(closed)]), &shop());
    let text = explained(&shop, "client", "ns/lab");
    assert!(
        text.lines().count() < 60,
        "one case of pods that differ in nothing that matters"
    );
    let many = (0..40_u16).map(|number| {
        let (app, name) = (number.to_string(), format!("lab/one-{number}"));
        let own = policy(&name).selecting(&[("nth", &app)]);
        Event::PolicyApplied(
            own.allowing_from([rule([pods_in(&[], &[])]).on_ports([port(Protocol::Tcp, 100 + number)])]),
        )
    });
    let labelled = (0..40_u16).map(|number| {
        let nth = number.to_string();
        let pod = pod(&format!("lab/many-{number}")).labelled(&[("nth", &nth)]);
        Event::PodApplied(pod.at(&format!("10.0.5.{number}")))
    });
    let shop = inventory(
        labelled
            .chain(many)
            .chain([Event::PolicyDeleted(policy("lab/all").key)]),
        &shop,
    );
    let text = explained(&shop, "client", "ns/lab");
    assert!(
        text.contains("\n  21 more cases are in the JSON form only"),
        "{text}"
    );
}

#[test]
fn json_has_the_whole_answer() {
    let web = policy("shop/web").allowing_from([rule([pods(&[("app", "clients")])])]);
    let answer = answer(&guarded([web]), "client", "web-0:80");
    insta::assert_snapshot!(format!("{:#}", json(&answer, &Somewhere)), @r#"
        {
          "cases": [
            {
              "allowed": "none",
              "asked": "80/TCP",
              "by": null,
              "families": [
                4
              ],
              "from": {
                "addresses": [],
                "blocks": [],
                "pods": [
                  "shop/client"
                ]
              },
              "to": {
                "addresses": [],
                "blocks": [],
                "pods": [
                  "shop/web-0"
                ]
              },
              "verdict": "denied",
              "witnesses": [
                {
                  "anotherLike": null,
                  "destination": "10.0.0.1",
                  "sides": [
                    {
                      "direction": "egress",
                      "isolatedBy": [],
                      "pod": "shop/client",
                      "verdict": "allowed"
                    },
                    {
                      "direction": "ingress",
                      "isolatedBy": [
                        "shop/web"
                      ],
                      "nearest": [
                        {
                          "field": "spec.ingress[0]",
                          "morePeers": 0,
                          "morePorts": 0,
                          "peers": [
                            {
                              "field": "spec.ingress[0].from[0]",
                              "says": "the peer wants a pod with app=clients, and shop/client has app=client"
                            }
                          ],
                          "place": {
                            "file": "shop.yaml",
                            "line": 15
                          },
                          "policy": "shop/web",
                          "ports": null
                        }
                      ],
                      "notUnderstood": [],
                      "others": 0,
                      "pod": "shop/web-0",
                      "verdict": "denied",
                      "wouldPass": [
                        "Pod shop/client with the label app=clients",
                        "shop/web with one more entry in spec.ingress[0].from: podSelector app=client",
                        "shop/web with one more rule in spec.ingress: from podSelector app=client, port 80/TCP"
                      ]
                    }
                  ],
                  "source": "10.0.1.1",
                  "transport": "80/TCP",
                  "verdict": "denied",
                  "why": "policies"
                }
              ]
            }
          ],
          "from": "Pod shop/client",
          "notes": [
            "this is about who opens the connection; what answers it passes",
            "Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on"
          ],
          "port": "80/TCP",
          "to": "Pod shop/web-0",
          "verdict": "denied",
          "version": 1
        }
        "#);
}

#[test]
fn colours_are_for_words_that_stand_without_them() {
    let colour = Style {
        colour: true,
        width: None,
    };
    let web = policy("shop/web").allowing_from([]);
    let answer = answer(&guarded([web]), "client", "web-0:80");
    let plain = text(&answer, &Somewhere, Style::PLAIN);
    let coloured = text(&answer, &Somewhere, colour);
    assert!(coloured.contains("\u{1b}[31mdenied"));
    let mut stripped = String::new();
    for (number, part) in coloured.split('\u{1b}').enumerate() {
        let part = if number == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
        stripped.push_str(part);
    }
    assert_eq!(stripped, plain);
}

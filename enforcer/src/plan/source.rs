//! The netdev table: a pod sends from its own addresses only.
//!
//! A packet is checked where it enters the node, before anything has looked at it. A pod that sends from another's
//! address would otherwise be judged by that pod's policies. ARP is checked as well: on a bridge a pod that answers for
//! another's address would get its packets.
//!
//! ```text
//!   from_veth1 ── its IPv4 addresses ─► accept
//!       │ ── IPv6 ─► no_router ── router advertisement, redirect ─► drop
//!       │ ── its IPv6 addresses ─► accept
//!       └──► own_source ── link-local IPv6, neighbour discovery ─► accept; ARP for another, any other source ─► drop
//! ```
//!
//! Every packet of every pod comes through here, so what nearly all of them have stands first and is compared in place: that
//! takes a quarter of what it takes to look interface and address up in a set (docs/performance.md).

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};

use super::Subject;
use super::family::{Family, neighbour_discovery};
use super::forward::closed;
use crate::nft::model::{
    Chain, Comment, Element, Field, Hook, InvalidName, KeyType, Match, Name, Part, Rule, Ruleset, Set,
    TableKey, Verdict,
};

/// Router advertisement and redirect (RFC 4861): who sends them takes over the IPv6 traffic of its neighbours.
const FROM_ROUTERS: [u8; 2] = [134, 137];

/// Before everything else at this hook.
const PRIORITY: i32 = -500;

pub(super) fn plan(ruleset: &mut Ruleset, subjects: &[Subject<'_>]) -> Result<(), InvalidName> {
    if subjects.is_empty() {
        return Ok(());
    }
    let table = ruleset.tables.entry(TableKey::Netdev).or_default();
    table.comment = Some(Comment::fit(
        "pods send from their own addresses, kept by palisade-enforcer",
    ));
    let (own_source, no_router) = (Name::new("own_source")?, Name::new("no_router")?);
    let mut check = Vec::new();
    for family in Family::both() {
        let name = Name::new(format!("sources{}", family.digit))?;
        let mut set = Set::hash([KeyType::InterfaceName, family.key]);
        set.comment = Some(Comment::fit("the addresses of the pod behind each interface"));
        for subject in subjects {
            for address in subject.addresses_of(&family) {
                set.elements.insert(Element::new(&[
                    Part::interface(&subject.place.interface),
                    Part::address(address),
                ]));
            }
        }
        if !family.v4 {
            check.push(Rule::new([Match::SourceIn(family.link_local)], Verdict::Accept));
            let unspecified: IpNet = Ipv6Net::from(Ipv6Addr::UNSPECIFIED).into();
            for discovery in neighbour_discovery() {
                check.push(Rule::new(
                    [Match::SourceIn(unspecified), discovery],
                    Verdict::Accept,
                ));
            }
        }
        let foreign = |field| Match::InSet {
            key: vec![Field::InputInterface, field],
            set: name.clone(),
            negated: true,
        };
        check.push(closed(
            [foreign(family.source)],
            Comment::fit("not the pod's own source address"),
        ));
        if family.v4 {
            check.push(closed(
                [foreign(Field::ArpSenderV4)],
                Comment::fit("ARP for another's address"),
            ));
        }
        table.sets.insert(name, set.into());
    }
    let routers = FROM_ROUTERS.map(|kind| {
        let matches = [Match::IcmpV6Types {
            first: kind,
            last: kind,
        }];
        closed(matches, Comment::fit("a pod is no router"))
    });
    let chain = |comment, rules| Chain {
        hook: None,
        comment: Some(Comment::fit(comment)),
        rules,
    };
    let comment = "what a pod sends from another address than one of those that it nearly always sends from";
    table.chains.insert(own_source.clone(), chain(comment, check));
    let comment = "what would take over the IPv6 traffic of neighbours";
    table
        .chains
        .insert(no_router.clone(), chain(comment, routers.into()));
    for subject in subjects {
        let device = &subject.place.interface;
        let mut rules = Vec::new();
        for family in Family::both() {
            if !family.v4 {
                rules.push(Rule::new([], Verdict::Jump(no_router.clone())));
            }
            let own = subject.addresses_of(&family);
            rules.extend(own.map(|own| Rule::new([Match::SourceIn(own.into())], Verdict::Accept)));
        }
        rules.push(Rule::new([], Verdict::Jump(own_source.clone())));
        let chain = Chain {
            hook: Some(Hook::Ingress {
                device: device.clone(),
                priority: PRIORITY,
            }),
            // The kernel binds the chain to the link that has the name at this moment, and to none that gets it later:
            // the chain stays and judges nothing (seen on Linux 6.18). With the link's number in it, the chain of a link
            // that was replaced differs from the wanted one and is made again.
            comment: Some(Comment::fit(format!(
                "link {} of {}",
                subject.place.index, subject.pod.key
            ))),
            rules,
        };
        table.chains.insert(chain_name(device.as_str())?, chain);
    }
    Ok(())
}

/// A chain name for an interface, whose own name may hold characters that a chain's may not: those are written as
/// their number, so that two interfaces never share a chain.
fn chain_name(interface: &str) -> Result<Name, InvalidName> {
    let escaped: String = interface
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        })
        .collect();
    Name::new(format!("from_{escaped}"))
}

//! From texts to questions.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{End, InvalidQuestion, Kind, Port, labels, port};
use crate::inventory::WorkloadKind;
use crate::lint::hint::nearest;

/// The words for each kind, those of `kubectl`: the one that we write first.
const KINDS: [(Kind, &[&str]); 10] = [
    (Kind::Pod, &["pod", "po", "pods"]),
    (
        Kind::Workload(WorkloadKind::Deployment),
        &["deployment", "deploy", "deployments"],
    ),
    (
        Kind::Workload(WorkloadKind::StatefulSet),
        &["statefulset", "sts", "statefulsets"],
    ),
    (
        Kind::Workload(WorkloadKind::DaemonSet),
        &["daemonset", "ds", "daemonsets"],
    ),
    (
        Kind::Workload(WorkloadKind::ReplicaSet),
        &["replicaset", "rs", "replicasets"],
    ),
    (Kind::Workload(WorkloadKind::Job), &["job", "jobs"]),
    (
        Kind::Workload(WorkloadKind::CronJob),
        &["cronjob", "cj", "cronjobs"],
    ),
    (Kind::Service, &["service", "svc", "services"]),
    (Kind::Namespace, &["namespace", "ns", "namespaces"]),
    (Kind::Node, &["node", "no", "nodes"]),
];

impl Kind {
    /// The kind that a word stands for, in capitals or not.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        KINDS
            .iter()
            .find_map(|(kind, words)| words.contains(&word.as_str()).then_some(*kind))
    }

    /// The word for it in a question.
    pub fn word(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .and_then(|(_, words)| words.first())
            .copied()
            .unwrap_or_default()
    }

    /// Whether objects of the kind are in a namespace.
    pub fn is_namespaced(self) -> bool {
        match self {
            Self::Pod | Self::Workload(_) | Self::Service => true,
            Self::Namespace | Self::Node => false,
        }
    }
}

impl fmt::Display for Kind {
    /// As the API writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod => f.write_str("Pod"),
            Self::Workload(kind) => kind.fmt(f),
            Self::Service => f.write_str("Service"),
            Self::Namespace => f.write_str("Namespace"),
            Self::Node => f.write_str("Node"),
        }
    }
}

/// Reads an end without a port.
pub(super) fn source(text: &str) -> Result<End, InvalidQuestion> {
    let text = text.trim();
    match plain(text) {
        Some(end) => Ok(end),
        None if has_port(text) => Err(InvalidQuestion::SourcePort(text.to_owned())),
        None => end(text),
    }
}

fn has_port(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, rest)| !rest.contains(':')) || text.contains("]:")
}

/// Reads an end with a port, or without.
pub(super) fn destination(text: &str) -> Result<(End, Port), InvalidQuestion> {
    let text = text.trim();
    if let Some(end) = plain(text) {
        return Ok((end, Port::Every));
    }
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let end = address(inside).ok_or_else(|| InvalidQuestion::NoAddress(inside.to_owned()))?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port::parse(port)?,
            None => return Err(InvalidQuestion::NoEnd(text.to_owned())),
        };
        return Ok((end, port));
    }
    match text.rsplit_once(':') {
        None => Ok((end(text)?, Port::Every)),
        Some((before, _)) if before.contains(':') => Err(if address(before).is_some() {
            InvalidQuestion::Brackets(text.to_owned())
        } else {
            InvalidQuestion::NoAddress(text.to_owned())
        }),
        Some((before, port)) => {
            let end = plain(before).map_or_else(|| end(before), Ok)?;
            Ok((end, port::parse(port)?))
        }
    }
}

/// What is an end as it stands: `any`, an address or a block, in brackets or not.
fn plain(text: &str) -> Option<End> {
    if text.eq_ignore_ascii_case("any") {
        return Some(End::Anybody);
    }
    let inside = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    address(inside)
}

fn address(text: &str) -> Option<End> {
    // Many programs log IPv4 addresses as they come in by a socket for both families: `::ffff:10.0.0.1`.
    let address = text.parse::<IpAddr>().ok();
    let address = address.map(|address| End::Address(address.to_canonical()));
    address.or_else(|| text.parse::<IpNet>().ok().map(|block| End::Block(block.trunc())))
}

/// Labels, or a name in one, two or three parts.
fn end(text: &str) -> Result<End, InvalidQuestion> {
    if let Some(end) = labels::parse(text)? {
        return Ok(end);
    }
    let parts: Vec<&str> = text.split('/').collect();
    let kind_of = |word: &str| {
        Kind::parse(word).ok_or_else(|| {
            let known = KINDS.iter().flat_map(|(_, words)| words.iter().copied());
            InvalidQuestion::UnknownKind {
                text: text.to_owned(),
                kind: word.to_owned(),
                hint: nearest(&word.to_lowercase(), known).map(str::to_owned),
            }
        })
    };
    let (namespace, kind, name) = match parts.as_slice() {
        [""] => return Err(InvalidQuestion::Empty),
        [name] => (None, None, *name),
        [first, name] => match Kind::parse(first) {
            Some(kind) => (None, Some(kind), *name),
            None => (Some(*first), None, *name),
        },
        [namespace, kind, name] => (Some(*namespace), Some(kind_of(kind)?), *name),
        _ => return Err(InvalidQuestion::NoEnd(text.to_owned())),
    };
    if let Some(kind) = kind.filter(|kind| namespace.is_some() && !kind.is_namespaced()) {
        return Err(InvalidQuestion::Namespaced(text.to_owned(), kind));
    }
    for part in namespace.into_iter().chain([name]) {
        check_name(part, text)?;
    }
    Ok(End::Named {
        namespace: namespace.map(Into::into),
        kind,
        name: name.into(),
    })
}

/// Whether a part of an end can be the name of something.
pub(super) fn check_name(part: &str, text: &str) -> Result<(), InvalidQuestion> {
    if part.is_empty() {
        return Err(InvalidQuestion::NoEnd(text.to_owned()));
    }
    let numeric = |letter: char| letter.is_ascii_digit() || letter == '.';
    if part.contains('.') && part.chars().all(numeric) {
        return Err(InvalidQuestion::NoAddress(text.to_owned()));
    }
    let known = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    if !part.chars().all(known) {
        return Err(InvalidQuestion::NoName(part.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::question::Question;

    /// How a question was understood, or why not.
    fn read(from: &str, to: &str) -> String {
        match Question::parse(from, to) {
            Ok(question) => format!("{} → {} on {}", question.from, question.to, question.port),
            Err(error) => format!("error: {error}"),
        }
    }

    fn destinations(texts: &[&str]) -> String {
        let lines = texts
            .iter()
            .map(|text| format!("{text:28} {}", read("a", text).replace("a → ", "")));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn ends_are_read_as_people_name_them() {
        insta::assert_snapshot!(destinations(&[
            "web",
            "shop/web",
            "deploy/web",
            "Deployment/web",
            "shop/svc/web",
            "job/pod/web",
            "ns/shop",
            "no/a",
            "10.0.0.1",
            "10.0.0.9/8",
            "fd00::1",
            "fd00::1/64",
            "any",
            "pod/any",
            "shop/*",
            "app=web",
            "shop/app=web",
            "tier=front, app == web",
            "a.io/name=web",
            "shop/a.io/name=web,slot=",
        ]), @r"
        web                          web on every port
        shop/web                     shop/web on every port
        deploy/web                   deployment/web on every port
        Deployment/web               deployment/web on every port
        shop/svc/web                 shop/service/web on every port
        job/pod/web                  job/pod/web on every port
        ns/shop                      namespace/shop on every port
        no/a                         node/a on every port
        10.0.0.1                     10.0.0.1 on every port
        10.0.0.9/8                   10.0.0.0/8 on every port
        fd00::1                      fd00::1 on every port
        fd00::1/64                   fd00::/64 on every port
        any                          any on every port
        pod/any                      pod/any on every port
        shop/*                       shop/* on every port
        app=web                      app=web on every port
        shop/app=web                 shop/app=web on every port
        tier=front, app == web       app=web,tier=front on every port
        a.io/name=web                a.io/name=web on every port
        shop/a.io/name=web,slot=     shop/a.io/name=web,slot= on every port
        ");
    }

    #[test]
    fn ports_are_read_with_their_protocol() {
        insta::assert_snapshot!(destinations(&[
            "shop/web:80",
            "shop/web:80/UDP",
            "shop/web:53/udp",
            "shop/web:http",
            "shop/web:http/tcp",
            "shop/web:8000-8999",
            "svc/web:https",
            "[fd00::1]:443",
            "[fd00::/8]:443/sctp",
            "10.0.0.0/8:80",
            "10.0.0.1:icmp",
            "any:53/UDP",
            "any:ICMP",
            "shop/*:80",
            "shop/app=web:80/TCP",
            "a.io/name=web:http",
        ]), @r"
        shop/web:80                  shop/web on 80/TCP
        shop/web:80/UDP              shop/web on 80/UDP
        shop/web:53/udp              shop/web on 53/UDP
        shop/web:http                shop/web on http
        shop/web:http/tcp            shop/web on http/TCP
        shop/web:8000-8999           shop/web on 8000-8999/TCP
        svc/web:https                service/web on https
        [fd00::1]:443                fd00::1 on 443/TCP
        [fd00::/8]:443/sctp          fd00::/8 on 443/SCTP
        10.0.0.0/8:80                10.0.0.0/8 on 80/TCP
        10.0.0.1:icmp                10.0.0.1 on ICMP
        any:53/UDP                   any on 53/UDP
        any:ICMP                     any on ICMP
        shop/*:80                    shop/* on 80/TCP
        shop/app=web:80/TCP          shop/app=web on 80/TCP
        a.io/name=web:http           a.io/name=web on http
        ");
    }

    #[test]
    fn what_is_no_end_is_told_with_what_it_should_be() {
        insta::assert_snapshot!(destinations(&[
            "",
            "a/b/c/d",
            "shop/",
            "/web",
            "shop/deployemnt/web",
            "shop/ns/web",
            "10.0.0.300",
            "10.0.0.0/33",
            "shop/we b",
            "fd00::1:443/TCP",
            "fd00::zz",
            "shop/web:",
            "shop/web:0",
            "shop/web:65536",
            "shop/web:9-1",
            "shop/web:80/ICMP",
            "shop/web:a_b",
            "[shop/web]:80",
            "[fd00::1]443",
            "/*",
            "shop/deployment/*",
            "10.0.0.*",
            "=web",
            "/app=web",
            "shop/app=a,b",
            "app=we b",
            "app!=web",
            "app=a/b",
        ]), @r#"
                                     error: an end is missing: it should be NAMESPACE/POD, KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        a/b/c/d                      error: "a/b/c/d" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        shop/                        error: "shop/" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        /web                         error: "/web" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        shop/deployemnt/web          error: "shop/deployemnt/web": "deployemnt" is no kind of object that can be asked about; did you mean deployment?
        shop/ns/web                  error: "shop/ns/web": a Namespace is in no namespace
        10.0.0.300                   error: "10.0.0.300" looks like an address and is none
        10.0.0.0/33                  error: "10.0.0.0/33" looks like an address and is none
        shop/we b                    error: "we b" is no name: it should have letters, digits, dashes and dots only
        fd00::1:443/TCP              error: "fd00::1:443/TCP": an IPv6 address with a port is written in brackets, as in [fd00::1]:443
        fd00::zz                     error: "fd00::zz" looks like an address and is none
        shop/web:                    error: "" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        shop/web:0                   error: "0" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        shop/web:65536               error: "65536" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        shop/web:9-1                 error: "9-1" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        shop/web:80/ICMP             error: "ICMP" is no protocol: it should be TCP, UDP or SCTP
        shop/web:a_b                 error: "a_b" is no port: it should be a number from 1 to 65535, a range, a name of a port, or icmp
        [shop/web]:80                error: "shop/web" looks like an address and is none
        [fd00::1]443                 error: "[fd00::1]443" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        /*                           error: "/*" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        shop/deployment/*            error: "shop/deployment" is no name: it should have letters, digits, dashes and dots only
        10.0.0.*                     error: "10.0.0.*" is no name: it should have letters, digits, dashes and dots only
        =web                         error: "=web" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]
        /app=web                     error: "/app=web" is no end: it should be NAMESPACE/POD, KIND/NAME, NAMESPACE/KIND/NAME, LABEL=VALUE, an address, a CIDR or any
        shop/app=a,b                 error: "shop/app=a,b" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]
        app=we b                     error: "app=we b" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]
        app!=web                     error: "app!=web" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]
        app=a/b                      error: "app=a/b" should have labels: LABEL=VALUE[,LABEL=VALUE…] or NAMESPACE/LABEL=VALUE[,LABEL=VALUE…]
        "#);
        assert_eq!(
            read("shop/web:80", "any"),
            "error: \"shop/web:80\": a source has no port; only the destination has"
        );
        assert_eq!(
            read("app=web:80", "any"),
            "error: \"app=web:80\": a source has no port; only the destination has"
        );
    }
}

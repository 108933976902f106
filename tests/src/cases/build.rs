//! From the YAML of a case to steps with probes, and from a probe to the packets that are judged.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Packet, PodKey, Transport};

use super::addresses::{Addresses, Family};
use super::coverage::{PITFALLS, ROWS};
use super::document::{CaseDocument, ServicePortDocument, StepDocument};
use super::error::Problem;
use super::probe::{self, Destination, Name, ProbeLine};
use super::world::World;
use super::{Case, CaseProbe, ExternalTraffic, Place, Service, ServicePort, Slot, Step, Target};

/// Builds the case with this number in the table for these addresses.
pub(super) fn case(
    file: &'static str,
    number: usize,
    document: CaseDocument,
    addresses: &Addresses,
) -> Result<Case, Problem> {
    let (rows, pitfalls) = subjects(&document)?;
    let CaseDocument {
        case: name,
        why,
        namespaces,
        pods,
        services,
        policies,
        probes,
        then,
        ..
    } = document;
    let kebab = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    if !name.chars().all(kebab) || name.split('-').any(str::is_empty) {
        return Err(Problem::Name);
    }
    let mut world = World::new(addresses, number);
    let first = StepDocument {
        why: None,
        namespaces,
        pods,
        policies,
        probes,
    };
    let mut case = Case {
        file,
        name,
        rows,
        pitfalls,
        why,
        services: BTreeMap::new(),
        steps: Vec::new(),
    };
    for (position, document) in std::iter::once(&first).chain(&then).enumerate() {
        let events = world.change(document)?;
        if position == 0 {
            case.services = services
                .iter()
                .map(|(name, ports)| service(name, ports, &world))
                .collect::<Result<_, _>>()?;
        }
        if document.probes.is_empty() {
            return Err(Problem::NoProbes(position));
        }
        let mut probes = Vec::new();
        for line in &document.probes {
            expand(line, &world, &case.services, &mut probes)?;
        }
        case.steps.push(Step {
            why: document.why.clone(),
            events,
            state: world.state().clone(),
            occupants: world.occupants(),
            probes,
        });
    }
    Ok(case)
}

/// What a case is a case of.
fn subjects(document: &CaseDocument) -> Result<(BTreeSet<u8>, BTreeSet<&'static str>), Problem> {
    let rows: BTreeSet<u8> = document.row.iter().copied().collect();
    if let Some(row) = rows.iter().find(|row| !ROWS.contains(row)) {
        return Err(Problem::Row(*row));
    }
    let phrases = document
        .pitfall
        .as_ref()
        .map_or(&[][..], |pitfalls| pitfalls.phrases());
    let known = |phrase: &String| PITFALLS.into_iter().find(|known| known == phrase);
    let pitfalls = phrases
        .iter()
        .map(|phrase| known(phrase).ok_or_else(|| Problem::Pitfall(phrase.clone())));
    let pitfalls: BTreeSet<&'static str> = pitfalls.collect::<Result<_, _>>()?;
    if rows.is_empty() && pitfalls.is_empty() {
        Err(Problem::Unrelated)
    } else {
        Ok((rows, pitfalls))
    }
}

fn service(
    name: &str,
    ports: &BTreeMap<String, ServicePortDocument>,
    world: &World<'_>,
) -> Result<(PodKey, Service), Problem> {
    let key = PodKey::parse(name).ok_or_else(|| Problem::Key(name.to_owned()))?;
    let mut service = Service {
        ports: BTreeMap::new(),
    };
    for (text, port) in ports {
        let (number, protocol) = probe::port(text).ok_or_else(|| Problem::Port(text.clone()))?;
        let endpoints = port.endpoints.iter().map(|pod| {
            let key = PodKey::parse(pod).ok_or_else(|| Problem::Key(pod.clone()))?;
            world.slot(&key).ok_or_else(|| Problem::Unknown {
                kind: "pod with a slot",
                name: pod.clone(),
            })
        });
        let endpoints = endpoints.collect::<Result<Vec<Slot>, _>>()?;
        let (target, node_port, external) = (port.target, port.node_port, port.external);
        service.ports.insert(
            (protocol, number),
            ServicePort {
                target,
                endpoints,
                node_port,
                external,
            },
        );
    }
    Ok((key, service))
}

/// Writes one line out: every source, transport and family.
fn expand(
    text: &str,
    world: &World<'_>,
    services: &BTreeMap<PodKey, Service>,
    probes: &mut Vec<CaseProbe>,
) -> Result<(), Problem> {
    let line = ProbeLine::parse(text)?;
    for source in &line.sources {
        let from = world.place(source)?;
        for (transport, family) in line
            .transports
            .iter()
            .flat_map(|it| line.families.iter().map(move |of| (it, *of)))
        {
            let transport = transport.of(family);
            let (to, packets) = match &line.destination {
                Destination::Name(name) => direct(text, &from, name, transport, family, world)?,
                Destination::Service { service, at } => {
                    let call = Call {
                        text,
                        from: &from,
                        service,
                        at: at.as_deref(),
                        transport,
                        family,
                    };
                    call.resolve(world, services)?
                }
            };
            let (text, from) = (text.to_owned(), from.clone());
            probes.push(CaseProbe {
                line: text,
                from,
                to,
                transport,
                family,
                packets,
                expect: line.expect,
            });
        }
    }
    Ok(())
}

/// A probe to somebody's own address.
fn direct(
    text: &str,
    from: &Place,
    to: &Name,
    transport: Transport,
    family: Family,
    world: &World<'_>,
) -> Result<(Target, Vec<Packet>), Problem> {
    let to = world.place(to)?;
    if !matches!((from, &to), (Place::Pod(_), _) | (_, Place::Pod(_))) {
        return Err(Problem::Probe {
            line: text.to_owned(),
            what: "neither end is a pod with a network of its own",
        });
    }
    let (source, destination) = (world.address(from, family)?, world.address(&to, family)?);
    Ok((
        Target::Place(to),
        vec![Packet {
            source,
            destination,
            transport,
        }],
    ))
}

/// A probe to a service.
struct Call<'a> {
    text: &'a str,
    from: &'a Place,
    service: &'a str,
    /// The node whose port is called; the service's own address where there is none.
    at: Option<&'a str>,
    transport: Transport,
    family: Family,
}

impl Call<'_> {
    /// The packets that the forward hook of the endpoint's node sees, for each endpoint that may be chosen.
    fn resolve(
        &self,
        world: &World<'_>,
        services: &BTreeMap<PodKey, Service>,
    ) -> Result<(Target, Vec<Packet>), Problem> {
        let unknown = || Problem::Unknown {
            kind: "service",
            name: format!("{} {}", self.service, self.transport),
        };
        let key = PodKey::parse(self.service).ok_or_else(|| Problem::Key(self.service.to_owned()))?;
        let Transport::Port(protocol, number) = self.transport else {
            return Err(unknown());
        };
        let port = services
            .get(&key)
            .and_then(|service| service.ports.get(&(protocol, number)))
            .ok_or_else(unknown)?;
        let transport = Transport::Port(protocol, port.target);
        let mut packets = Vec::new();
        let Some(at) = self.at else {
            if !matches!(self.from, Place::Pod(_)) {
                return Err(self.wrong("only pods use a service by its own address"));
            }
            for endpoint in &port.endpoints {
                let source = world.address(self.from, self.family)?;
                packets.push(Packet {
                    source,
                    destination: world.slot_address(endpoint, self.family)?,
                    transport,
                });
            }
            return Ok((Target::Service(key), packets));
        };
        let Place::Client(_) = self.from else {
            return Err(self.wrong("only external clients use a service at a node"));
        };
        let entered = Place::Node(world.node_name(at)?);
        let node_port = port
            .node_port
            .ok_or_else(|| self.wrong("the service has no nodePort"))?;
        for endpoint in &port.endpoints {
            let local = entered == Place::Node(endpoint.node.clone());
            if !local && port.external == ExternalTraffic::Local {
                continue;
            }
            let seen = if local { self.from } else { &entered };
            let (source, destination) = (
                world.address(seen, self.family)?,
                world.slot_address(endpoint, self.family)?,
            );
            packets.push(Packet {
                source,
                destination,
                transport,
            });
        }
        if packets.is_empty() {
            return Err(self.wrong("the node has no endpoint of its own"));
        }
        Ok((
            Target::NodePort {
                service: key,
                node: world.node_name(at)?,
                port: node_port,
            },
            packets,
        ))
    }

    fn wrong(&self, what: &'static str) -> Problem {
        Problem::Probe {
            line: self.text.to_owned(),
            what,
        }
    }
}

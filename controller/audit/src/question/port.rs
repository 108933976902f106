//! Ports as people name them, and what they stand for at a destination.

use palisade_policy::model::{Pod, PortRange, Protocol};
use palisade_policy::reach::PortSet;

use super::{InvalidQuestion, Port};

impl Port {
    /// Reads what stands after the colon of a destination: `80`, `80/UDP`, `8000-8999`, `http`, `icmp`.
    pub fn parse(text: &str) -> Result<Self, InvalidQuestion> {
        parse(text)
    }

    /// The port of `text` with a protocol, if one is given, where the text says none.
    #[must_use]
    pub fn or_protocol(self, text: &str, protocol: Option<Protocol>) -> Self {
        let said = text.rsplit_once(':').map_or(text, |(_, port)| port).contains('/');
        match (self, protocol) {
            (Self::Numbers(_, range), Some(protocol)) if !said => Self::Numbers(protocol, range),
            (Self::Named(name, None), Some(protocol)) => Self::Named(name, Some(protocol)),
            (Self::Every, Some(protocol)) => match PortRange::new(1, u16::MAX) {
                Ok(range) => Self::Numbers(protocol, range),
                Err(_) => Self::Every,
            },
            (port, _) => port,
        }
    }

    /// The ports that it stands for at an address, which may be a pod's.
    pub(super) fn at(&self, pod: Option<&Pod>) -> PortSet {
        match self {
            Self::Every => PortSet::all(),
            Self::Numbers(protocol, range) => PortSet::range(*protocol, *range),
            Self::Icmp => PortSet::without_ports(),
            Self::Named(name, protocol) => {
                let declared = pod.into_iter().flat_map(|pod| &pod.ports);
                let meant = declared
                    .filter(|port| port.name == *name && protocol.is_none_or(|one| one == port.protocol));
                meant.fold(PortSet::none(), |ports, port| {
                    ports.union(&PortSet::numbers(port.protocol, [port.number]))
                })
            }
        }
    }
}

/// Reads a protocol, in capitals or not.
pub(crate) fn protocol(text: &str) -> Option<Protocol> {
    Protocol::parse(&text.to_ascii_uppercase())
}

pub(super) fn parse(port: &str) -> Result<Port, InvalidQuestion> {
    let no_port = || InvalidQuestion::NoPort(port.to_owned());
    if port.eq_ignore_ascii_case("icmp") {
        return Ok(Port::Icmp);
    }
    let (number, of) = match port.split_once('/') {
        None => (port, None),
        Some((number, word)) => {
            let protocol = protocol(word).ok_or_else(|| InvalidQuestion::NoProtocol(word.to_owned()))?;
            (number, Some(protocol))
        }
    };
    let (first, last) = number.split_once('-').unwrap_or((number, number));
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if numeric(first) && numeric(last) {
        let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
            return Err(no_port());
        };
        let range = PortRange::new(first, last).map_err(|_| no_port())?;
        return Ok(Port::Numbers(of.unwrap_or(Protocol::Tcp), range));
    }
    // As the API has them (`IsValidPortName`): letters, digits and dashes, at least one letter.
    let known = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if number.chars().all(known) && number.chars().any(|letter| letter.is_ascii_alphabetic()) {
        return Ok(Port::Named(number.to_ascii_lowercase().into(), of));
    }
    Err(no_port())
}

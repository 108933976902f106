//! Entries of `ports`, and the numbers and protocols in them.

use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use palisade_policy::model::{Defect, PolicyPort, PortMatch, PortName, PortRange, Protocol};

use super::field::{Field, quoted};
use super::name::is_port_name;

/// A port entry.
pub(super) fn port(entry: &NetworkPolicyPort, field: &Field<'_>) -> Result<PolicyPort, Defect> {
    let protocol = protocol(entry.protocol.as_deref(), &field.name("protocol"))?;
    let end = field.name("endPort");
    let port = match (&entry.port, entry.end_port) {
        (None, None) => PortMatch::Any,
        (None, Some(_)) => return Err(end.defect("needs a port to begin at")),
        (Some(IntOrString::Int(first)), last) => {
            let first = number(*first, &field.name("port"))?;
            let last = last.map_or(Ok(first), |last| number(last, &end))?;
            PortMatch::Range(
                PortRange::new(first, last)
                    .map_err(|_| end.defect(format!("{last} is below port {first}")))?,
            )
        }
        (Some(IntOrString::String(_)), Some(_)) => return Err(end.defect("needs a port that is a number")),
        (Some(IntOrString::String(name)), None) => PortMatch::Named(port_name(name, &field.name("port"))?),
    };
    Ok(PolicyPort { protocol, port })
}

/// A protocol; absent it is TCP.
pub(super) fn protocol(text: Option<&str>, field: &Field<'_>) -> Result<Protocol, Defect> {
    let Some(text) = text else {
        return Ok(Protocol::Tcp);
    };
    Protocol::parse(text).ok_or_else(|| {
        field.defect(format!(
            "{} is no protocol: it should be TCP, UDP or SCTP",
            quoted(text)
        ))
    })
}

/// A port number.
pub(super) fn number(number: i32, field: &Field<'_>) -> Result<u16, Defect> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| field.defect(format!("{number} is no port: it should be 1 to 65535")))
}

/// The name of a port.
pub(super) fn port_name(text: &str, field: &Field<'_>) -> Result<PortName, Defect> {
    if is_port_name(text) {
        return Ok(text.into());
    }
    let rule =
        "it should be a number, or at most 15 lowercase letters, digits and hyphens with a letter among them";
    Err(field.defect(format!("{} is no port: {rule}", quoted(text))))
}

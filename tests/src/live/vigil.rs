//! Requests to a pod from before it exists.
//!
//! Nobody knows a pod's address before it has one. But host-local, which the networks of the test clusters use, gives the
//! next pod of a node the address after the last one's, or one soon after: a vigil asks them all.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result};

use super::city::{City, PodEnd, ask};
use crate::probe::{Flow, Host, Stream, StreamReport};
use palisade_policy::model::{Protocol, Transport};

/// Between two requests.
const INTERVAL: Duration = Duration::from_millis(1);

/// How many addresses after the last are watched.
const AHEAD: u8 = 6;

/// Requests each millisecond to addresses that no pod has yet.
pub struct Vigil {
    streams: Vec<(Ipv4Addr, Stream)>,
}

impl Vigil {
    /// Begins to ask, from `from`, what comes after `last` on its node.
    pub fn keep(city: &City, from: &Host, last: &PodEnd, port: u16) -> Result<Self> {
        let watch = |step| {
            let address = after(last, step)?;
            let probe = ask(from, address.into(), Transport::Port(Protocol::Udp, port));
            let stream = city.prober().stream(&probe, INTERVAL, Flow::Fresh)?;
            anyhow::Ok((address, stream))
        };
        let streams = (1..=AHEAD).map(watch).collect::<Result<_>>()?;
        Ok(Self { streams })
    }

    /// How many requests to one address have been answered.
    pub fn answered(&self) -> u64 {
        let all = self.streams.iter().map(|(_, stream)| stream.answered());
        all.max().unwrap_or_default()
    }

    /// Ends it, and tells what became of the requests to a pod; `None` if that has an address which nobody watched. Blocks
    /// for a moment.
    pub fn end(self, pod: &PodEnd) -> Result<Option<StreamReport>> {
        let mut found = None;
        for (address, stream) in self.streams {
            let report = stream.stop()?;
            if pod.host.addresses().contains(&address.into()) {
                found = Some(report);
            }
        }
        Ok(found)
    }
}

fn after(last: &PodEnd, step: u8) -> Result<Ipv4Addr> {
    let last = last.host.addresses().iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let [a, b, c, d] = last.context("a pod without an IPv4 address")?.octets();
    let next = d.checked_add(step).context("the last address of a node")?;
    Ok([a, b, c, next].into())
}

//! Bytes that say what an identifier stands for.
//!
//! Two things have the same bytes only if they are equal: every text and every list stands behind its length, every choice
//! behind its number. A cluster of 100,000 customers makes 100,000 identifiers at once; as text, which `Debug` would give as
//! canonically, that took a quarter of its compilation.

use super::{GroupSpec, NamedPort, Profile, Scope};
use crate::model::{Direction, Operator, Selector};

/// Bytes, one thing after the other.
#[derive(Default)]
pub(super) struct Canonical(Vec<u8>);

impl Canonical {
    pub(super) fn of_group(spec: &GroupSpec) -> Vec<u8> {
        let GroupSpec {
            scope,
            pods,
            port,
            within,
        } = spec;
        let mut bytes = Self::default();
        match scope {
            Scope::Namespace(name) => {
                bytes.choice(0);
                bytes.text(name.as_str());
            }
            Scope::Cluster(namespaces) => {
                bytes.choice(1);
                bytes.selector(namespaces);
            }
        }
        bytes.selector(pods);
        bytes.list(port.iter(), Self::named_port);
        bytes.list(within.iter(), |bytes, block| {
            bytes.text(&block.cidr().to_string());
            bytes.list(block.except().iter(), |bytes, net| bytes.text(&net.to_string()));
        });
        bytes.0
    }

    pub(super) fn of_profile(profile: &Profile) -> Vec<u8> {
        let Profile {
            direction,
            policies,
            named_ports,
        } = profile;
        let mut bytes = Self::default();
        bytes.choice(match direction {
            Direction::Ingress => 0,
            Direction::Egress => 1,
        });
        bytes.list(policies.iter(), |bytes, key| {
            bytes.text(key.namespace.as_str());
            bytes.text(&key.name);
        });
        bytes.list(named_ports.iter(), |bytes, (name, numbers)| {
            bytes.named_port(name);
            bytes.list(numbers.iter(), |bytes, number| {
                bytes.0.extend(number.to_be_bytes());
            });
        });
        bytes.0
    }

    fn choice(&mut self, number: u8) {
        self.0.push(number);
    }

    fn length(&mut self, length: usize) {
        self.0.extend((length as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, things: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.length(things.len());
        for thing in things {
            write(self, thing);
        }
    }

    fn named_port(&mut self, port: &NamedPort) {
        self.text(port.name.as_str());
        self.choice(port.protocol.number());
    }

    fn selector(&mut self, selector: &Selector) {
        self.list(selector.requirements(), |bytes, requirement| {
            bytes.text(&requirement.key);
            let (number, values) = match &requirement.operator {
                Operator::In(values) => (0, Some(values)),
                Operator::NotIn(values) => (1, Some(values)),
                Operator::Exists => (2, None),
                Operator::DoesNotExist => (3, None),
            };
            bytes.choice(number);
            if let Some(values) = values {
                bytes.list(values.iter(), |bytes, value| bytes.text(value));
            }
        });
    }
}

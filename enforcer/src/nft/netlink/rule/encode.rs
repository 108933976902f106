//! A rule of the model as expressions.

use ipnet::IpNet;
use nlink::netlink::nftables::{
    ChainName, CmpOp, CtKey, Expr, LookupExpr, MetaKey, Register, Verdict as Kernel,
};

use super::{ESTABLISHED_OR_RELATED, FIRST, compare, family_check, load, meta, network_bytes, transport};
use crate::nft::model::{
    EtherType, Field, ICMP_V6, InterfacePattern, Match, Name, PacketType, Rule, TableKey, Verdict,
};

/// The expressions of a rule in a table, or why there are none.
pub(in crate::nft::netlink) fn encode(table: TableKey, rule: &Rule) -> Result<Vec<Expr>, String> {
    let mut encoder = Encoder {
        table,
        checked: None,
        expressions: Vec::new(),
    };
    for condition in &rule.matches {
        encoder.condition(condition)?;
    }
    if rule.counter {
        encoder.expressions.push(Expr::Counter);
    }
    encoder.verdict(&rule.verdict)?;
    Ok(encoder.expressions)
}

/// A verdict as the kernel takes it; `None` where the rule or entry has none of its own.
pub(in crate::nft::netlink) fn plain_verdict(verdict: &Verdict) -> Result<Option<Kernel>, String> {
    let chain = |name: &Name| ChainName::new(name.as_str()).map_err(|error| error.to_string());
    Ok(match verdict {
        Verdict::Accept => Some(Kernel::Accept),
        Verdict::Drop => Some(Kernel::Drop),
        Verdict::Jump(name) => Some(Kernel::JumpTo(chain(name)?)),
        Verdict::Goto(name) => Some(Kernel::GotoTo(chain(name)?)),
        Verdict::Continue | Verdict::Map { .. } => None,
    })
}

struct Encoder {
    table: TableKey,
    checked: Option<EtherType>,
    expressions: Vec<Expr>,
}

impl Encoder {
    fn condition(&mut self, condition: &Match) -> Result<(), String> {
        match condition {
            Match::CtEstablishedOrRelated => {
                let mask = ESTABLISHED_OR_RELATED.to_ne_bytes();
                self.expressions.push(Expr::Ct {
                    dreg: FIRST,
                    key: CtKey::State,
                });
                self.masked(mask.to_vec());
                self.expressions.push(compare(CmpOp::Neq, &[0; 4]));
            }
            Match::EtherType(kind) => self.family(*kind),
            Match::Protocol(protocol) => {
                self.expressions
                    .extend([meta(MetaKey::L4Proto), compare(CmpOp::Eq, &[*protocol])]);
            }
            Match::IcmpV6Types { first, last } => {
                self.family(EtherType::Ipv6);
                self.expressions
                    .extend([meta(MetaKey::L4Proto), compare(CmpOp::Eq, &[ICMP_V6])]);
                self.expressions.push(transport(0, 1));
                self.range(&[*first], &[*last]);
            }
            Match::DestinationPorts(range) => {
                self.expressions.push(transport(2, 2));
                self.range(&range.first().to_be_bytes(), &range.last().to_be_bytes());
            }
            Match::SourceIn(net) => self.network(*net, Field::SourceV4, Field::SourceV6),
            Match::DestinationIn(net) => self.network(*net, Field::DestinationV4, Field::DestinationV6),
            Match::InSet { key, set, negated } => {
                self.load(key)?;
                let lookup = LookupExpr::new(set.as_str(), FIRST);
                self.expressions
                    .push(if *negated { lookup.invert() } else { lookup }.into());
            }
            Match::InputInterface(pattern) => self.interface(MetaKey::IifName, pattern),
            Match::OutputInterface(pattern) => self.interface(MetaKey::OifName, pattern),
            Match::PacketType { kind, negated } => {
                // PACKET_HOST … PACKET_OTHERHOST of linux/if_packet.h.
                let kind = match kind {
                    PacketType::Host => 0,
                    PacketType::Broadcast => 1,
                    PacketType::Multicast => 2,
                    PacketType::Other => 3,
                };
                let op = if *negated { CmpOp::Neq } else { CmpOp::Eq };
                self.expressions
                    .extend([meta(MetaKey::PktType), compare(op, &[kind])]);
            }
        }
        Ok(())
    }

    fn verdict(&mut self, verdict: &Verdict) -> Result<(), String> {
        if let Verdict::Map { key, map } = verdict {
            self.load(key)?;
            self.expressions.push(
                LookupExpr::new(map.as_str(), FIRST)
                    .dreg(Register::Verdict)
                    .into(),
            );
        } else if let Some(verdict) = plain_verdict(verdict)? {
            self.expressions.push(Expr::Verdict(verdict));
        }
        Ok(())
    }

    fn family(&mut self, kind: EtherType) {
        if self.checked != Some(kind) {
            self.checked = Some(kind);
            self.expressions.extend(family_check(self.table, kind));
        }
    }

    fn load(&mut self, key: &[Field]) -> Result<(), String> {
        for kind in key.iter().filter_map(|field| field.ether_type()) {
            self.family(kind);
        }
        let mut word = 0;
        for field in key {
            let register =
                Register::word(word).ok_or_else(|| "a key that needs more than 16 registers".to_owned())?;
            self.expressions.push(load(*field, register));
            word += field.key_type().padded_width() / 4;
        }
        Ok(())
    }

    fn network(&mut self, net: IpNet, v4: Field, v6: Field) {
        let field = if matches!(net, IpNet::V4(_)) { v4 } else { v6 };
        self.family(EtherType::of(net));
        self.expressions.push(load(field, FIRST));
        let (address, mask) = network_bytes(net);
        if net.prefix_len() < net.max_prefix_len() {
            self.masked(mask);
        }
        self.expressions.push(compare(CmpOp::Eq, &address));
    }

    fn interface(&mut self, key: MetaKey, pattern: &InterfacePattern) {
        let name = match pattern {
            InterfacePattern::Is(name) => {
                let mut padded = name.as_str().as_bytes().to_vec();
                padded.resize(16, 0);
                padded
            }
            InterfacePattern::Begins(stem) => stem.as_str().as_bytes().to_vec(),
        };
        self.expressions.extend([meta(key), compare(CmpOp::Eq, &name)]);
    }

    /// Keeps the bits of the first register that the mask has.
    fn masked(&mut self, mask: Vec<u8>) {
        let (len, xor) = (u32::try_from(mask.len()).unwrap_or(u32::MAX), vec![0; mask.len()]);
        self.expressions.push(Expr::Bitwise {
            sreg: FIRST,
            dreg: FIRST,
            len,
            mask,
            xor,
        });
    }

    fn range(&mut self, first: &[u8], last: &[u8]) {
        if first == last {
            self.expressions.push(compare(CmpOp::Eq, first));
        } else {
            self.expressions
                .extend([compare(CmpOp::Gte, first), compare(CmpOp::Lte, last)]);
        }
    }
}

//! Expressions as a rule of the model, if they are one.
//!
//! Whoever may have written a rule, it is ours only if encoding what was understood gives the same expressions again.
//! So reading may be lenient: a wrong guess is found out, and never taken for a rule.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nlink::netlink::nftables::Expr::{self, Bitwise, Cmp, Ct, Meta, Payload};
use nlink::netlink::nftables::{CmpOp, CtKey, LookupExpr, MetaKey, Register, RuleExpr, Verdict as Kernel};
use palisade_policy::model::PortRange;

use super::{encode, family_check, load, transport};
use crate::nft::model::{
    Comment, EtherType, Field, ICMP_V6, Interface, InterfacePattern, Match, Name, PacketType, Rule, TableKey,
    Verdict, implied_ether_types,
};

/// The rule that a chain of a table holds as these expressions; `None` if the model has no such rule.
pub(in crate::nft::netlink) fn decode(
    table: TableKey,
    found: &[RuleExpr],
    comment: Option<Comment>,
) -> Option<Rule> {
    let expressions: Vec<Expr> = found.iter().map(plain).collect::<Option<_>>()?;
    let mut decoder = Decoder {
        table,
        rest: &expressions,
        matches: Vec::new(),
        family: None,
    };
    let (counter, verdict) = decoder.rule()?;
    let Decoder {
        mut matches, family, ..
    } = decoder;
    if let Some((position, kind)) = family
        && implied_ether_types(&matches, &verdict).next().is_none()
    {
        matches.insert(position, Match::EtherType(kind));
    }
    let rule = Rule {
        matches,
        counter,
        verdict,
        comment,
    };
    (encode(table, &rule).ok()? == expressions).then_some(rule)
}

/// A verdict that a map or a rule holds.
pub(in crate::nft::netlink) fn plain_verdict(verdict: &Kernel) -> Option<Verdict> {
    Some(match verdict {
        Kernel::Accept => Verdict::Accept,
        Kernel::Drop => Verdict::Drop,
        Kernel::JumpTo(chain) => Verdict::Jump(Name::new(chain.as_str()).ok()?),
        Kernel::GotoTo(chain) => Verdict::Goto(Name::new(chain.as_str()).ok()?),
        _ => return None,
    })
}

/// An expression as it would be written, without what it counted; `None` for a kind that no rule of ours has.
fn plain(expression: &RuleExpr) -> Option<Expr> {
    Some(match expression.clone() {
        RuleExpr::Counter { .. } => Expr::Counter,
        RuleExpr::Verdict(verdict) => Expr::Verdict(verdict),
        RuleExpr::Meta { dreg, key, .. } => Meta {
            dreg: dreg.canonical(),
            key,
        },
        RuleExpr::Ct { dreg, key, .. } => Ct {
            dreg: dreg.canonical(),
            key,
        },
        RuleExpr::Cmp { sreg, op, data, .. } => Cmp {
            sreg: sreg.canonical(),
            op,
            data,
        },
        RuleExpr::Payload {
            dreg,
            base,
            offset,
            len,
            ..
        } => {
            let dreg = dreg.canonical();
            Payload {
                dreg,
                base,
                offset,
                len,
            }
        }
        RuleExpr::Bitwise {
            sreg,
            dreg,
            len,
            mask,
            xor,
            ..
        } => {
            let (sreg, dreg) = (sreg.canonical(), dreg.canonical());
            Bitwise {
                sreg,
                dreg,
                len,
                mask,
                xor,
            }
        }
        RuleExpr::Lookup {
            set,
            sreg,
            dreg,
            invert,
            ..
        } => {
            let mut lookup = LookupExpr::new(set, sreg.canonical());
            if let Some(dreg) = dreg {
                lookup = lookup.dreg(dreg);
            }
            if invert { lookup.invert() } else { lookup }.into()
        }
        _ => return None,
    })
}

struct Decoder<'a> {
    table: TableKey,
    rest: &'a [Expr],
    matches: Vec<Match>,
    /// The family that was checked, and how many conditions came before.
    family: Option<(usize, EtherType)>,
}

impl Decoder<'_> {
    fn rule(&mut self) -> Option<(bool, Verdict)> {
        let mut counter = false;
        loop {
            match self.rest {
                [] => return Some((counter, Verdict::Continue)),
                [Expr::Verdict(verdict)] => return Some((counter, plain_verdict(verdict)?)),
                [Expr::Counter, rest @ ..] => {
                    counter = true;
                    self.rest = rest;
                }
                expressions => {
                    if let Some((kind, rest)) = self.checked_family(expressions) {
                        self.family = Some((self.matches.len(), kind));
                        self.rest = rest;
                    } else if let Some((condition, rest)) = comparison(expressions) {
                        self.matches.push(condition);
                        self.rest = rest;
                    } else {
                        let (key, lookup, rest) = self.lookup(expressions)?;
                        let name = Name::new(&lookup.set).ok()?;
                        if lookup.dreg == Some(Register::Verdict) {
                            return rest
                                .is_empty()
                                .then_some((counter, Verdict::Map { key, map: name }));
                        }
                        self.matches.push(Match::InSet {
                            key,
                            set: name,
                            negated: lookup.invert,
                        });
                        self.rest = rest;
                    }
                }
            }
        }
    }

    fn checked_family<'b>(&self, expressions: &'b [Expr]) -> Option<(EtherType, &'b [Expr])> {
        let kinds = [EtherType::Ipv4, EtherType::Ipv6, EtherType::Arp];
        let (head, rest) = expressions.split_at_checked(2)?;
        let kind = kinds
            .into_iter()
            .find(|kind| family_check(self.table, *kind) == head)?;
        Some((kind, rest))
    }

    /// What is loaded, and where it is looked up. A key that lacks something, or has too much, shows when the rule is
    /// encoded again.
    fn lookup<'b>(&self, mut expressions: &'b [Expr]) -> Option<(Vec<Field>, &'b LookupExpr, &'b [Expr])> {
        let mut key = Vec::new();
        let mut word = 0;
        loop {
            let (head, rest) = expressions.split_first()?;
            if let Expr::Lookup(lookup) = head {
                return Some((key, lookup, rest));
            }
            let field = self.field(head, Register::word(word)?)?;
            word += field.key_type().padded_width() / 4;
            key.push(field);
            expressions = rest;
        }
    }

    /// The field that an expression loads. Which protocol the bytes belong to is what the family check said.
    fn field(&self, expression: &Expr, register: Register) -> Option<Field> {
        const FIELDS: [Field; 10] = [
            Field::InputInterface,
            Field::OutputInterface,
            Field::SourceV4,
            Field::SourceV6,
            Field::DestinationV4,
            Field::DestinationV6,
            Field::L4Protocol,
            Field::SourcePort,
            Field::DestinationPort,
            Field::ArpSenderV4,
        ];
        let family = self.family.map(|(_, kind)| kind);
        FIELDS
            .into_iter()
            .filter(|field| field.ether_type().is_none() || field.ether_type() == family)
            .find(|field| load(*field, register) == *expression)
    }
}

/// A condition that compares what it loads.
fn comparison(expressions: &[Expr]) -> Option<(Match, &[Expr])> {
    match expressions {
        [
            Ct {
                key: CtKey::State, ..
            },
            Bitwise { .. },
            Cmp { .. },
            rest @ ..,
        ] => Some((Match::CtEstablishedOrRelated, rest)),
        [
            Meta {
                key: MetaKey::L4Proto,
                ..
            },
            Cmp { data, .. },
            kind,
            rest @ ..,
        ] if data.as_slice() == [ICMP_V6] && *kind == transport(0, 1) => {
            let (first, last, rest) = range(rest)?;
            let (first, last) = (*first.first()?, *last.first()?);
            Some((Match::IcmpV6Types { first, last }, rest))
        }
        [Meta { key, .. }, Cmp { data, op, .. }, rest @ ..] => Some((of_meta(*key, *op, data)?, rest)),
        [port, rest @ ..] if *port == transport(2, 2) => {
            let (first, last, rest) = range(rest)?;
            let number = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.try_into().ok()?));
            let ports = PortRange::new(number(first)?, number(last)?).ok()?;
            Some((Match::DestinationPorts(ports), rest))
        }
        [address, Bitwise { mask, .. }, Cmp { data, .. }, rest @ ..] => {
            let ones = mask.iter().map(|byte| byte.count_ones()).sum::<u32>();
            Some((network(address, data, u8::try_from(ones).ok()?)?, rest))
        }
        [address, Cmp { data, .. }, rest @ ..] => {
            Some((network(address, data, u8::try_from(data.len() * 8).ok()?)?, rest))
        }
        _ => None,
    }
}

fn of_meta(key: MetaKey, op: CmpOp, data: &[u8]) -> Option<Match> {
    Some(match key {
        MetaKey::L4Proto => Match::Protocol(*data.first()?),
        MetaKey::IifName => Match::InputInterface(pattern(data)?),
        MetaKey::OifName => Match::OutputInterface(pattern(data)?),
        MetaKey::PktType => {
            let kind = match data {
                [0] => PacketType::Host,
                [1] => PacketType::Broadcast,
                [2] => PacketType::Multicast,
                [3] => PacketType::Other,
                _ => return None,
            };
            Match::PacketType {
                kind,
                negated: op == CmpOp::Neq,
            }
        }
        _ => return None,
    })
}

fn range(expressions: &[Expr]) -> Option<(&[u8], &[u8], &[Expr])> {
    match expressions {
        [
            Cmp {
                op: CmpOp::Eq, data, ..
            },
            rest @ ..,
        ] => Some((data, data, rest)),
        [
            Cmp {
                op: CmpOp::Gte,
                data: first,
                ..
            },
            Cmp { data: last, .. },
            rest @ ..,
        ] => Some((first, last, rest)),
        _ => None,
    }
}

fn pattern(bytes: &[u8]) -> Option<InterfacePattern> {
    let text = |bytes: &[u8]| Interface::new(std::str::from_utf8(bytes).ok()?).ok();
    if bytes.len() < 16 {
        return text(bytes).map(InterfacePattern::Begins);
    }
    let end = bytes.iter().position(|&byte| byte == 0)?;
    text(bytes.get(..end)?).map(InterfacePattern::Is)
}

/// Addresses in a network, by where in the packet they were loaded from.
fn network(load: &Expr, address: &[u8], prefix: u8) -> Option<Match> {
    let net: IpNet = if let Ok(octets) = <[u8; 4]>::try_from(address) {
        Ipv4Net::new(octets.into(), prefix).ok()?.into()
    } else {
        Ipv6Net::new(<[u8; 16]>::try_from(address).ok()?.into(), prefix)
            .ok()?
            .into()
    };
    match load {
        Payload {
            offset: 12, len: 4, ..
        }
        | Payload {
            offset: 8, len: 16, ..
        } => Some(Match::SourceIn(net)),
        Payload {
            offset: 16, len: 4, ..
        }
        | Payload {
            offset: 24, len: 16, ..
        } => Some(Match::DestinationIn(net)),
        _ => None,
    }
}

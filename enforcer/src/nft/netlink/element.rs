//! Elements as attributes of messages, and back.
//!
//! ```text
//!   hash set               one message element a key
//!   interval set, one part two: the first key, and the key after the last, marked as an end; the top has no end
//!   interval set, several  one with its first and its last key
//! ```
//! An attribute holds 64 KiB, so many elements become several messages of the same transaction.

use nlink::netlink::nftables::{
    Family, NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM, NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_LIST_ELEM,
    NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_USERDATA,
    NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE, RawMessage,
};
use nlink::netlink::{AttrIter, MessageBuilder, message};

use crate::nft::model::{Comment, Element, MapEntry, Name, Set, TableKey, Verdict};

/// Where a message is closed; an element with a long chain name and comment takes less than the 5 KiB that remain.
const FULL: usize = 60 * 1024;

/// `NFT_SET_ELEM_INTERVAL_END`
const INTERVAL_END: u32 = 1;

/// `NFTNL_UDATA_SET_ELEM_COMMENT` of libnftnl.
const COMMENT: u8 = 0;

/// Verdict codes of `linux/netfilter.h` and `enum nft_verdicts`.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;

/// How a set keeps its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Keys.
    Hash,
    /// First keys, and ends.
    Ends,
    /// First and last keys.
    Ranges,
}

impl Layout {
    pub(super) fn of(set: &Set) -> Self {
        match (set.interval, set.key.len()) {
            (false, _) => Self::Hash,
            (true, 1) => Self::Ends,
            (true, _) => Self::Ranges,
        }
    }
}

/// Messages that add or delete elements of one set or map.
pub(super) struct Elements<'a> {
    family: Family,
    set: &'a Name,
    message: u8,
    flags: u16,
    attributes: MessageBuilder,
    list: Option<nlink::netlink::NestToken>,
    finished: Vec<RawMessage>,
}

impl<'a> Elements<'a> {
    /// Messages that add elements, and fail if one is there.
    pub(super) fn adding(family: Family, set: &'a Name) -> Self {
        Self::new(
            family,
            set,
            NFT_MSG_NEWSETELEM,
            message::NLM_F_CREATE | message::NLM_F_EXCL,
        )
    }

    /// Messages that delete elements, and fail if one is missing.
    pub(super) fn deleting(family: Family, set: &'a Name) -> Self {
        Self::new(family, set, NFT_MSG_DELSETELEM, 0)
    }

    fn new(family: Family, set: &'a Name, message: u8, flags: u16) -> Self {
        let attributes = MessageBuilder::new(0, 0);
        Self {
            family,
            set,
            message,
            flags,
            attributes,
            list: None,
            finished: Vec::new(),
        }
    }

    /// Puts in a set's element.
    pub(super) fn element(&mut self, layout: Layout, element: &Element) {
        match layout {
            Layout::Hash => self.put(element.first(), |_| {}),
            // The last key even where it is the first: nft 1.0.6 misreads a listing that lacks one.
            Layout::Ranges => self.put(element.first(), |attributes| {
                value(
                    attributes,
                    NFTA_SET_ELEM_KEY_END,
                    element.last().unwrap_or(element.first()),
                );
            }),
            Layout::Ends => {
                self.put(element.first(), |_| {});
                if let Some(end) = after(element.last().unwrap_or(element.first())) {
                    self.put(&end, |attributes| {
                        attributes.append_attr_u32_be(NFTA_SET_ELEM_FLAGS, INTERVAL_END);
                    });
                }
            }
        }
    }

    /// Puts in a map's entry.
    pub(super) fn entry(&mut self, key: &Element, entry: &MapEntry) {
        self.put(key.first(), |attributes| {
            let data = attributes.nest_start(NFTA_SET_ELEM_DATA);
            let verdict = attributes.nest_start(NFTA_DATA_VERDICT);
            let (code, chain) = match &entry.verdict {
                Verdict::Accept => (ACCEPT, None),
                Verdict::Jump(chain) => (JUMP, Some(chain)),
                Verdict::Goto(chain) => (GOTO, Some(chain)),
                // What a map cannot hold is refused by the check of the ruleset; should it come here, it denies.
                Verdict::Drop | Verdict::Continue | Verdict::Map { .. } => (DROP, None),
            };
            attributes.append_attr_u32_be(NFTA_VERDICT_CODE, code.cast_unsigned());
            if let Some(chain) = chain {
                attributes.append_attr_str(NFTA_VERDICT_CHAIN, chain.as_str());
            }
            attributes.nest_end(verdict);
            attributes.nest_end(data);
            if let Some(comment) = &entry.comment {
                attributes.append_attr(NFTA_SET_ELEM_USERDATA, &userdata(comment));
            }
        });
    }

    /// The messages.
    pub(super) fn finish(mut self) -> Vec<RawMessage> {
        self.close();
        self.finished
    }

    fn put(&mut self, key: &[u8], more: impl FnOnce(&mut MessageBuilder)) {
        if self.attributes.len() > FULL {
            self.close();
        }
        if self.list.is_none() {
            self.attributes
                .append_attr_str(NFTA_SET_ELEM_LIST_TABLE, TableKey::NAME);
            self.attributes
                .append_attr_str(NFTA_SET_ELEM_LIST_SET, self.set.as_str());
            self.list = Some(self.attributes.nest_start(NFTA_SET_ELEM_LIST_ELEMENTS));
        }
        let element = self.attributes.nest_start(NFTA_LIST_ELEM);
        value(&mut self.attributes, NFTA_SET_ELEM_KEY, key);
        more(&mut self.attributes);
        self.attributes.nest_end(element);
    }

    fn close(&mut self) {
        let Some(list) = self.list.take() else { return };
        let mut attributes = std::mem::replace(&mut self.attributes, MessageBuilder::new(0, 0));
        attributes.nest_end(list);
        let bytes = attributes
            .as_bytes()
            .get(nlink::netlink::NLMSG_HDRLEN..)
            .unwrap_or_default()
            .to_vec();
        self.finished.push(
            RawMessage::new(self.message, self.family)
                .flags(self.flags)
                .attrs(bytes),
        );
    }
}

fn value(attributes: &mut MessageBuilder, kind: u16, bytes: &[u8]) {
    let nest = attributes.nest_start(kind);
    attributes.append_attr(NFTA_DATA_VALUE, bytes);
    attributes.nest_end(nest);
}

/// The key after a key; `None` after the last one.
fn after(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// The key before a key; `None` before the first one.
fn before(key: &[u8]) -> Option<Vec<u8>> {
    let mut previous = key.to_vec();
    for byte in previous.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != u8::MAX {
            return Some(previous);
        }
    }
    None
}

/// A comment as libnftnl stores it with an element: type, length, text, zero.
fn userdata(comment: &Comment) -> Vec<u8> {
    let text = comment.as_str().as_bytes();
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[COMMENT, length], text, &[0]].concat()
}

/// An element as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    key: Vec<u8>,
    last: Option<Vec<u8>>,
    is_end: bool,
    verdict: Option<Verdict>,
    comment: Option<Comment>,
    /// Something that no element of ours has: a timeout, a counter, an unknown verdict.
    foreign: bool,
}

/// The elements in the attributes of one listing message.
pub(super) fn listed(attributes: &[u8]) -> impl Iterator<Item = Listed> {
    AttrIter::new(attributes)
        .filter(|(kind, _)| *kind == NFTA_SET_ELEM_LIST_ELEMENTS)
        .flat_map(|(_, list)| AttrIter::new(list).map(|(_, element)| Listed::parse(element)))
}

impl Listed {
    fn parse(element: &[u8]) -> Self {
        let mut listed = Self::default();
        let mut has_key = false;
        for (kind, payload) in AttrIter::new(element) {
            match kind {
                NFTA_SET_ELEM_KEY => {
                    has_key = true;
                    listed.key = nested(payload, NFTA_DATA_VALUE).unwrap_or_default().to_vec();
                }
                NFTA_SET_ELEM_KEY_END => listed.last = nested(payload, NFTA_DATA_VALUE).map(<[u8]>::to_vec),
                NFTA_SET_ELEM_FLAGS => {
                    listed.is_end = payload == INTERVAL_END.to_be_bytes();
                    listed.foreign |= !listed.is_end && payload != [0; 4];
                }
                NFTA_SET_ELEM_DATA => {
                    listed.verdict = nested(payload, NFTA_DATA_VERDICT).and_then(parse_verdict);
                    listed.foreign |= listed.verdict.is_none();
                }
                NFTA_SET_ELEM_USERDATA => listed.comment = parse_comment(payload),
                _ => listed.foreign = true,
            }
        }
        listed.foreign |= !has_key;
        listed
    }

    /// The entry of a map; `None` if no map of ours has such a one.
    pub(super) fn into_entry(self) -> Option<(Element, MapEntry)> {
        let verdict = self
            .verdict
            .filter(|_| !self.foreign && !self.is_end && self.last.is_none())?;
        Some((
            Element::from_bytes(&self.key, None),
            MapEntry {
                verdict,
                comment: self.comment,
            },
        ))
    }
}

/// What a set holds that was listed so; `None` if no set of ours holds such elements.
pub(super) fn into_elements(layout: Layout, listed: Vec<Listed>) -> Option<Vec<Element>> {
    if listed
        .iter()
        .any(|element| element.foreign || element.verdict.is_some())
    {
        return None;
    }
    match layout {
        Layout::Hash => listed
            .into_iter()
            .map(|element| {
                let plain = !element.is_end && element.last.is_none();
                plain.then(|| Element::from_bytes(&element.key, None))
            })
            .collect(),
        Layout::Ranges => listed
            .into_iter()
            .map(|element| {
                (!element.is_end).then(|| Element::from_bytes(&element.key, element.last.as_deref()))
            })
            .collect(),
        Layout::Ends => Some(paired(listed)),
    }
}

/// Puts first keys and ends together. An end without a first key stands before the first range where `nft` wrote the
/// set, and means nothing.
fn paired(mut listed: Vec<Listed>) -> Vec<Element> {
    // Where one range touches the next, the end of the one is the first key of the other: the end comes first.
    listed.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.is_end.cmp(&a.is_end)));
    let mut elements = Vec::with_capacity(listed.len() / 2 + 1);
    let mut open: Option<Vec<u8>> = None;
    for element in listed {
        if let Some(first) = open.take() {
            let last = before(&element.key);
            elements.push(Element::from_bytes(&first, last.as_deref()));
        }
        if !element.is_end {
            open = Some(element.key);
        }
    }
    if let Some(first) = open {
        let top = vec![u8::MAX; first.len()];
        elements.push(Element::from_bytes(&first, Some(&top)));
    }
    elements
}

fn nested(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    AttrIter::new(attributes)
        .find(|(found, _)| *found == kind)
        .map(|(_, payload)| payload)
}

fn parse_verdict(attributes: &[u8]) -> Option<Verdict> {
    let code = nested(attributes, NFTA_VERDICT_CODE)?;
    let chain = || {
        let text = nested(attributes, NFTA_VERDICT_CHAIN)?;
        Name::new(std::str::from_utf8(text).ok()?.trim_end_matches('\0')).ok()
    };
    Some(match i32::from_be_bytes(code.try_into().ok()?) {
        ACCEPT => Verdict::Accept,
        DROP => Verdict::Drop,
        JUMP => Verdict::Jump(chain()?),
        GOTO => Verdict::Goto(chain()?),
        _ => return None,
    })
}

fn parse_comment(userdata: &[u8]) -> Option<Comment> {
    match userdata {
        [COMMENT, length, text @ ..] => {
            let text = text.get(..usize::from(*length))?;
            Some(Comment::fit(
                std::str::from_utf8(text).ok()?.trim_end_matches('\0'),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_next_to_a_key_carry_over_bytes_and_stop_at_the_ends() {
        assert_eq!(after(&[1, 0xff]), Some(vec![2, 0]));
        assert_eq!(after(&[0xff, 0xff]), None);
        assert_eq!(before(&[2, 0]), Some(vec![1, 0xff]));
        assert_eq!(before(&[0, 0]), None);
    }

    #[test]
    fn ranges_that_touch_stay_apart_and_the_top_needs_no_end() {
        let first = |key: u8| Listed {
            key: vec![key],
            ..Listed::default()
        };
        let end = |key: u8| Listed {
            is_end: true,
            ..first(key)
        };
        let listed = vec![end(0), first(5), end(10), first(10), end(11), first(0xf0)];
        let ranges = into_elements(Layout::Ends, listed).expect("elements of ours");
        let expected = [
            Element::from_bytes(&[5], Some(&[9])),
            Element::from_bytes(&[10], None),
            Element::from_bytes(&[0xf0], Some(&[0xff])),
        ];
        assert_eq!(ranges, expected);
    }
}

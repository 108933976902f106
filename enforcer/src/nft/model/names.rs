//! Names, comments and interface names: text that the kernel and `nft` both take as it is.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest name that is used, in bytes. The kernel takes 255 (`NFT_NAME_MAXLEN`); shorter names leave room for
/// more elements in a netlink message.
const NAME_MAX: usize = 120;

/// The longest comment, in bytes: libnftnl keeps 128 with the closing zero (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_MAX: usize = 127;

/// The longest interface name: `IFNAMSIZ` less the closing zero.
const INTERFACE_MAX: usize = 15;

/// What is put where a comment was cut.
const ELLIPSIS: &str = "…";

/// The name of a chain, a set or a map: lowercase letters, digits and `_`, a letter first, no word of the nft language.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Empty, too long, or with a character that is not allowed.
    #[error(
        "{0:?} is no name: a lowercase letter, then lowercase letters, digits or underscores, {NAME_MAX} at most"
    )]
    Form(String),
    /// A word that `nft` would read as part of its language.
    #[error("{0:?} is a word of the nft language and cannot be a name")]
    Keyword(String),
    /// No name that the kernel gives to an interface.
    #[error(
        "{0:?} is no interface name: 1 to {INTERFACE_MAX} bytes without blanks, slashes, quotes or stars"
    )]
    Interface(String),
}

impl Name {
    /// Takes `text` as a name.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let form = text.len() <= NAME_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !form {
            return Err(InvalidName::Form(text.into()));
        }
        if KEYWORDS.binary_search(&text).is_ok() {
            return Err(InvalidName::Keyword(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A note for people on a table, chain, rule, set, map or element: at most 127 bytes on one line, without quotes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Arc<str>);

impl Comment {
    /// Makes `text` fit: quotes and control characters are replaced, a tail that is too long gives way to an ellipsis.
    pub fn fit(text: impl AsRef<str>) -> Self {
        let mut clean = String::with_capacity(text.as_ref().len());
        clean.extend(text.as_ref().chars().map(|character| match character {
            '"' => '\'',
            '\\' => '/',
            other if other.is_control() => ' ',
            other => other,
        }));
        if clean.len() > COMMENT_MAX {
            clean.truncate(clean.floor_char_boundary(COMMENT_MAX - ELLIPSIS.len()));
            clean.push_str(ELLIPSIS);
        }
        Self(clean.into())
    }

    /// The comment as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a network interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(Arc<str>);

impl Interface {
    /// Takes `text` as an interface name (`dev_valid_name` of the kernel, without what `nft` gives a meaning to).
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let valid = !matches!(text, "" | "." | "..")
            && text.len() <= INTERFACE_MAX
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'"' | b'\\' | b'*'));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::Interface(text.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One interface, or all whose names begin alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InterfacePattern {
    /// Exactly this one.
    Is(Interface),
    /// Every interface whose name begins so.
    Begins(Interface),
}

impl InterfacePattern {
    /// Reads `name` or `begin*`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match text.strip_suffix('*') {
            Some(stem) => Interface::new(stem).map(Self::Begins),
            None => Interface::new(text).map(Self::Is),
        }
    }
}

impl From<Interface> for InterfacePattern {
    fn from(interface: Interface) -> Self {
        Self::Is(interface)
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(interface) => write!(f, "{interface}"),
            Self::Begins(stem) => write!(f, "{stem}*"),
        }
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

shown_as_text!(Name, Comment, Interface);

/// The words that `nft` 1.0.6 was found to refuse as the name of a chain, set or map where it reads its own listing, and
/// the tokens that later versions added; sorted.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "accept", "add", "ah", "all", "and", "arp", "bridge", "cgroup", "chain", "chains", "comment", "comp",
    "constant", "continue", "counter", "counters", "cpu", "create", "ct", "day", "dccp", "define", "delete",
    "describe", "destroy", "device", "devices", "dnat", "drop", "dst", "dup", "dynamic", "ecn", "element",
    "elements", "esp", "ether", "exists", "expires", "export", "exthdr", "fib", "flags", "flow", "flowtable",
    "flowtables", "flush", "frag", "fwd", "geneve", "get", "goto", "gre", "gretap", "handle", "hbh", "hook",
    "hooks", "hour", "ibriport", "ibrname", "icmp", "icmpv6", "igmp", "iif", "iifgroup", "iifname", "iiftype",
    "import", "include", "index", "inet", "insert", "interval", "ip", "ip6", "ipsec", "jhash", "jump", "last",
    "limit", "limits", "list", "ll", "log", "lshift", "map", "maps", "mark", "masquerade", "meta", "meter",
    "meters", "mh", "missing", "monitor", "netdev", "nftrace", "nh", "not", "notrack", "numgen", "obriport",
    "obrname", "offload", "oif", "oifgroup", "oifname", "oiftype", "or", "osf", "pkttype", "policy",
    "position", "priority", "queue", "quota", "quotas", "random", "redirect", "reject", "rename", "replace",
    "reset", "return", "rshift", "rt", "rt0", "rt2", "rtclassid", "rule", "rules", "ruleset", "sctp",
    "secmark", "secmarks", "set", "sets", "size", "skgid", "skuid", "snat", "socket", "srh", "symhash",
    "synproxy", "synproxys", "table", "tables", "tcp", "th", "time", "timeout", "tproxy", "tunnel", "tunnels",
    "type", "typeof", "udp", "udplite", "undefine", "update", "vlan", "vmap", "vxlan", "xor", "xt",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keywords_are_sorted_so_that_they_can_be_searched() {
        assert!(
            KEYWORDS.is_sorted(),
            "{:?}",
            KEYWORDS.windows(2).find(|pair| pair[0] > pair[1])
        );
    }

    #[test]
    fn a_name_is_no_keyword_and_holds_nothing_that_needs_quotes() {
        for good in ["a", "ingress4", "palisade_x_0", "p_0123456789abcdef"] {
            assert_eq!(
                Name::new(good).map(|name| name.as_str().to_owned()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "1a", "_a", "A", "a-b", "a b", "ä", &"a".repeat(121)] {
            assert_eq!(Name::new(bad), Err(InvalidName::Form(bad.into())), "{bad}");
        }
        for keyword in ["fwd", "dst", "ip", "last", "chain"] {
            assert_eq!(Name::new(keyword), Err(InvalidName::Keyword(keyword.into())));
        }
    }

    #[test]
    fn a_comment_that_is_too_long_is_cut_between_characters() {
        assert_eq!(Comment::fit("ns/pod").as_str(), "ns/pod");
        assert_eq!(Comment::fit("say \"hi\"\nthere\\").as_str(), "say 'hi' there/");
        assert_eq!(Comment::fit("x".repeat(127)).as_str(), "x".repeat(127));
        for text in ["x".repeat(128), "ä".repeat(100), "€".repeat(100), "🦀".repeat(40)] {
            let comment = Comment::fit(&text);
            assert!(comment.as_str().len() <= COMMENT_MAX);
            assert!(comment.as_str().len() > COMMENT_MAX - 4);
            assert!(text.starts_with(comment.as_str().trim_end_matches('…')));
            assert!(comment.as_str().ends_with('…'));
        }
    }

    #[test]
    fn an_interface_name_is_what_the_kernel_takes() {
        assert!(Interface::new("veth0123456789a").is_ok());
        for bad in [
            "",
            ".",
            "..",
            "veth0123456789ab",
            "a b",
            "a/b",
            "a:b",
            "eth*",
            "a\"b",
        ] {
            assert!(Interface::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            InterfacePattern::parse("cali*").map(|pattern| pattern.to_string()),
            Ok("cali*".into())
        );
        assert!(InterfacePattern::parse("*").is_err());
    }
}

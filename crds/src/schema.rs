//! Schemas of the fields that are text in the document and a validated type in the core.
//!
//! The API server refuses a document whose schema nests without bounds, or whose CEL rules might cost too much. So
//! every list on the way to a CEL rule has a longest length, and places that are nested too deeply for that (the
//! blocks of the rules of policies) have a pattern instead; the reader checks them whole.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The longest IPv6 address as text (`INET6_ADDRSTRLEN` without its zero byte).
const ADDRESS_LENGTH: u32 = 45;
/// An address, a slash and up to three digits.
const CIDR_LENGTH: u32 = ADDRESS_LENGTH + 4;
/// `namespace/name`: a label and a subdomain of DNS (RFC 1123).
const KEY_LENGTH: u32 = 63 + 1 + 253;

pub(crate) fn revision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn optional_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0, "nullable": true })
}

pub(crate) fn hash(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
}

/// What [`palisade_policy::rules::GroupId`] looks like.
pub(crate) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 20, "pattern": "^[0-9a-z]{20}$" })
}

pub(crate) fn ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "pattern": "^[0-9a-z]{20}$" } })
}

pub(crate) fn slice(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 33, "pattern": "^s[01]{0,32}$" })
}

/// A label of DNS (RFC 1123), which the name of a namespace is.
pub(crate) fn namespace(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 63 })
}

pub(crate) fn namespaces(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 4096,
        "items": { "type": "string", "minLength": 1, "maxLength": 63 },
    })
}

/// A UID, or what stands for it in files: namespace and name.
pub(crate) fn uid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": KEY_LENGTH })
}

pub(crate) fn node(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 253 })
}

pub(crate) fn key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": KEY_LENGTH, "pattern": "^[^/]+/[^/]+$" })
}

pub(crate) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "string",
            "maxLength": ADDRESS_LENGTH,
            "x-kubernetes-validations": [{ "rule": "isIP(self)", "message": "must be an IP address" }],
        },
    })
}

/// As [`addresses`], and not without any.
pub(crate) fn some_addresses(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = addresses(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema
}

pub(crate) fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "string",
            "maxLength": CIDR_LENGTH,
            "x-kubernetes-validations": [{ "rule": "isCIDR(self)", "message": "must be a CIDR" }],
        },
    })
}

pub(crate) fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": CIDR_LENGTH, "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$" })
}

pub(crate) fn cidrs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "maxLength": CIDR_LENGTH, "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$" },
    })
}

pub(crate) fn protocol(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["TCP", "UDP", "SCTP"] })
}

pub(crate) fn optional_protocol(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["TCP", "UDP", "SCTP"] })
}

pub(crate) fn optional_port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "nullable": true })
}

pub(crate) fn ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 },
    })
}

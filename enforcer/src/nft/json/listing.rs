//! What makes two listings of the same ruleset equal.

use serde_json::Value;

/// A listing without what differs from one loading to the next (handles, counts, the version of `nft`), without what
/// `nft` 1.0.6 does not list (comments of tables and chains, devices of netdev chains), and in one order: tables, chains,
/// sets and maps by name, rules as they stand in their chains.
///
/// Takes what `nft -j list` printed and what [`render`](super::render) returned.
pub fn normalise(mut listing: Value) -> Value {
    let Some(objects) = listing.get_mut("nftables").and_then(Value::as_array_mut) else {
        return listing;
    };
    objects.retain(|object| object.get("metainfo").is_none());
    for object in objects.iter_mut() {
        let Some((kind, fields)) = object.as_object_mut().and_then(|object| object.iter_mut().next()) else {
            continue;
        };
        let Some(fields) = fields.as_object_mut() else {
            continue;
        };
        fields.remove("handle");
        match kind.as_str() {
            "table" | "chain" => {
                fields.remove("comment");
                fields.remove("dev");
            }
            "set" | "map" => {
                if let Some(elements) = fields.get_mut("elem").and_then(Value::as_array_mut) {
                    elements.sort_by_cached_key(ToString::to_string);
                }
            }
            "rule" => {
                let statements = fields
                    .get_mut("expr")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten();
                for counter in statements.filter_map(|statement| statement.get_mut("counter")) {
                    *counter = Value::Null;
                }
            }
            _ => {}
        }
    }
    // The sort is stable, and rules compare equal within a chain: they keep their order.
    objects.sort_by_cached_key(place);
    listing
}

/// Where an object stands in a normal listing.
fn place(object: &Value) -> (String, usize, String) {
    let Some((kind, fields)) = object.as_object().and_then(|object| object.iter().next()) else {
        return Default::default();
    };
    let text = |field: &str| {
        fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let rank = ["table", "chain", "set", "map", "rule"]
        .iter()
        .position(|known| known == kind)
        .unwrap_or(usize::MAX);
    let table = if kind == "table" {
        text("name")
    } else {
        text("table")
    };
    let name = if kind == "rule" {
        text("chain")
    } else {
        text("name")
    };
    (format!("{} {table}", text("family")), rank, name)
}

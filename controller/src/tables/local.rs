//! The tables of the machine that this runs on, as its own `nft` lists them.

use std::process::Command;

use palisade_audit::kernel::{InvalidDocument, NodeTables, Unreadable};
use palisade_policy::model::NodeName;
use serde_json::{Value, json};

use super::{Read, TablesError, parse};

/// How often tables are listed whose sets grow meanwhile.
const ATTEMPTS: usize = 5;

/// Lists the tables named `palisade`, and no other.
pub(crate) fn from_this_machine(node: &NodeName) -> Read {
    let mut tables = list();
    for _ in 1..ATTEMPTS {
        match tables {
            Err(TablesError::Invalid(InvalidDocument::Tables(Unreadable::Torn { .. }))) => tables = list(),
            Ok(_) | Err(_) => break,
        }
    }
    Read {
        of: "this machine".to_owned(),
        node: Some(node.clone()),
        tables,
    }
}

fn list() -> Result<NodeTables, TablesError> {
    let mut objects = Vec::new();
    let found = nft(&["list", "tables"])?;
    for object in found
        .into_iter()
        .filter_map(|object| object.get("table").cloned())
    {
        let text = |field: &str| {
            object
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let family = text("family");
        if text("name") == "palisade" && matches!(family.as_str(), "inet" | "netdev" | "bridge") {
            objects.extend(nft(&["-a", "list", "table", &family, "palisade"])?);
        }
    }
    parse(json!({ "nftables": objects }).to_string().as_bytes())
}

/// The objects that a listing prints.
fn nft(arguments: &[&str]) -> Result<Vec<Value>, TablesError> {
    let command = format!("nft -j {}", arguments.join(" "));
    let failed = |problem: String| TablesError::Command {
        command: command.clone(),
        problem,
    };
    let output = Command::new("nft").arg("-j").args(arguments).output();
    let output = output.map_err(|error| failed(format!("{error} (is nftables installed?)")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(format!("{}: {said}", output.status)));
    }
    let mut listing: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    match listing.get_mut("nftables").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        Some(_) | None => Err(failed("it printed no list of objects".to_owned())),
    }
}

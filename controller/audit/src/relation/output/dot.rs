//! A graph for Graphviz: `palisade policy-audit reach -o dot | dot -Tsvg`.

use std::io::{self, Write};

use super::graph::Graph;
use crate::relation::{Relation, Selection};

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    let graph = Graph::of(relation, selection);
    writeln!(to, "digraph reach {{")?;
    writeln!(to, "  rankdir=LR;")?;
    writeln!(to, "  node [shape=box, style=rounded, fontname=\"sans-serif\"];")?;
    writeln!(to, "  edge [fontname=\"sans-serif\", fontsize=10];")?;
    for (number, (namespace, nodes)) in graph.namespaces.iter().enumerate() {
        writeln!(to, "  subgraph cluster_{number} {{")?;
        writeln!(to, "    label={};", quoted(namespace))?;
        for (node, label) in nodes {
            writeln!(to, "    n{node} [label={}];", quoted(label))?;
        }
        writeln!(to, "  }}")?;
    }
    for (node, label) in &graph.others {
        writeln!(to, "  n{node} [shape=ellipse, label={}];", quoted(label))?;
    }
    for (from, target, ports) in &graph.edges {
        writeln!(to, "  n{from} -> n{target} [label={}];", quoted(ports))?;
    }
    writeln!(to, "}}")
}

/// A string of the DOT language. In a label a backslash begins an escape, so it is escaped itself.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push(' '),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_where_it_should() {
        assert_eq!(quoted("a\"; b -> c \\\n"), "\"a\\\"; b -> c \\\\\\n\"");
    }
}

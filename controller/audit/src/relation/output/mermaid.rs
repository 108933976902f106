//! A flowchart that Markdown pages can show.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::graph::Graph;
use crate::relation::{Relation, Selection};

/// How many edges a graph may have that Mermaid draws, unless it is told otherwise (`maxEdges`).
const EDGES: usize = 500;

/// How many edges there are, if these are too many to be drawn.
pub(super) fn excess(relation: &Relation<'_>, selection: &Selection) -> Option<usize> {
    let edges = Graph::of(relation, selection).edges.len();
    (edges > EDGES).then_some(edges)
}

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    let graph = Graph::of(relation, selection);
    writeln!(to, "flowchart LR")?;
    for (number, (namespace, nodes)) in graph.namespaces.iter().enumerate() {
        writeln!(to, "  subgraph s{number}[{}]", quoted(namespace))?;
        for (node, label) in nodes {
            writeln!(to, "    n{node}[{}]", quoted(label))?;
        }
        writeln!(to, "  end")?;
    }
    for (node, label) in &graph.others {
        writeln!(to, "  n{node}([{}])", quoted(label))?;
    }
    for (from, target, ports) in &graph.edges {
        writeln!(to, "  n{from} -->|{}| n{target}", quoted(ports))?;
    }
    Ok(())
}

/// A label. Mermaid writes special letters as `#` and their number; what it takes for markup or for Markdown is special.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        if letter.is_alphanumeric() || " -./:,()=+;".contains(letter) {
            quoted.push(letter);
        } else if letter.is_control() {
            quoted.push(' ');
        } else {
            // Writing into a String cannot fail.
            let _ = write!(quoted, "#{};", u32::from(letter));
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_mean_something_are_numbers() {
        assert_eq!(quoted("a/b \"|<"), "\"a/b #34;#124;#60;\"");
    }
}

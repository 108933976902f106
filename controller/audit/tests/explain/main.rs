//! What explanations say of each kind of hit and miss, and of many ends at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod ends;
mod forms;
mod likes;
mod misses;
#[path = "../shop/mod.rs"]
mod shop;

use palisade_audit::explain::{explain, text};
use palisade_audit::inventory::Inventory;
use palisade_audit::question::{Question, resolve};
use palisade_audit::style::Style;

use shop::Somewhere;

fn answer(inventory: &Inventory, from: &str, to: &str) -> palisade_audit::explain::Answer {
    let question = Question::parse(from, to).unwrap();
    let resolved = resolve(inventory, &"shop".into(), &question).unwrap();
    explain(inventory, &resolved).unwrap()
}

/// The explanation without the notes that are the same for all.
fn explained(inventory: &Inventory, from: &str, to: &str) -> String {
    let text = text(&answer(inventory, from, to), &Somewhere, Style::PLAIN);
    let lines = text.lines().filter(|line| {
        !line.starts_with("note: this is about who opens") && !line.starts_with("note: Palisade ends")
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

//! The demo as a newcomer runs it.

use std::process::Command;

#[test]
fn the_demo_ends_without_a_mismatch() {
    let output = Command::new(env!("CARGO_BIN_EXE_palisade-demo"))
        .output()
        .unwrap();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    let closing = text.lines().any(|line| line.trim() == "mismatches = 0");
    assert!(closing, "{text}");
    let wide = text.lines().find(|line| line.chars().count() > 110);
    assert_eq!(wide, None, "a line is wider than a page");
    assert!(!text.contains('\x1b'), "colours outside a terminal");
}

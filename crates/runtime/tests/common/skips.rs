//! Parts of tests that this machine cannot do. A test that passes prints to nobody, so they are
//! told in a file too, which `scripts/test` names and counts up at its end.

use std::fs::OpenOptions;
use std::io::Write;

/// Tells that a part of a test was left out, and why.
pub(crate) fn skip_in_part(what: &str) {
    println!("skipped in part: {what}");
    let Some(path) = std::env::var_os("TAUTLINE_SKIPS") else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the list");
    // In one call: tests are many at a time.
    file.write_all(format!("{}\n", what.replace('\n', " ")).as_bytes()).expect("the list");
}

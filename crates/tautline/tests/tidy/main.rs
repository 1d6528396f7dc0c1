//! The house rules that no compiler knows, as a test. A failing rule names file, line and mend.
//!
//! - `source`: a file as lines of text and lines of code, with its tests told apart.
//! - `tree`: every file of the repository that the rules read.
//! - `rules`: rules over one file. `layout`: rules over the whole tree. `exceptions`: what they
//!   let pass, and why.

mod canary;
mod exceptions;
mod layout;
mod rules;
mod source;
mod tree;

use std::fmt;

use tree::Tree;

/// One violation.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong, and what to do instead.
    mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.mend)
    }
}

fn all_findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = rules::check(tree);
    findings.extend(layout::check(tree));
    exceptions::apply(findings)
}

/// Proves that the repository keeps its own rules.
#[test]
fn the_house_is_tidy() {
    let findings = all_findings(&Tree::of_repository());
    let list: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} findings:\n{}\n", list.len(), list.join("\n"));
}

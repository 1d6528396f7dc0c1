//! Rules over the tree: floors, safe rooms, links.

use crate::Finding;
use crate::rules::finding;
use crate::source::Source;
use crate::tree::Tree;

/// Each room and its floor. Imports only ever point down.
const FLOORS: [(&str, u32); 13] = [
    ("tautline-buffer", 0),
    ("tautline-bus-derive", 0),
    ("tautline-log-macros", 0),
    ("tautline-bus", 1),
    ("tautline-feed", 1),
    ("tautline-runtime", 2),
    ("tautline-net", 3),
    ("tautline-log", 3),
    ("tautline-websocket", 4),
    ("tautline-http", 5),
    ("tautline-relay", 6),
    ("tautline-market", 7),
    ("tautline", 8),
];

/// Crate roots that promise to hold no unsafe code.
const SAFE_ROOTS: [&str; 10] = [
    "crates/bus-derive/src/lib.rs",
    "crates/feed/src/lib.rs",
    "crates/http/src/lib.rs",
    "crates/log/src/lib.rs",
    "crates/log-macros/src/lib.rs",
    "crates/market/src/lib.rs",
    "crates/relay/src/lib.rs",
    "crates/tautline/src/lib.rs",
    "crates/tautline/src/main.rs",
    "crates/websocket/src/lib.rs",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        if source.path.starts_with("crates/") && source.path.ends_with("/Cargo.toml") {
            findings.extend(floors(source));
        }
        if source.path.ends_with(".md") {
            findings.extend(links(tree, source));
            findings.extend(examples_compiled(tree, source));
            findings.extend(clauses_tested(tree, source));
        }
    }
    findings.extend(safe_roots(tree));
    findings.extend(lints_taken_over(tree));
    findings.extend(pages_listed(tree));
    findings
}

fn floor(name: &str) -> Option<u32> {
    FLOORS.iter().find(|(room, _)| *room == name).map(|&(_, floor)| floor)
}

fn floors(source: &Source) -> Vec<Finding> {
    let name = source.text.iter().find_map(|line| line.strip_prefix("name = "));
    let name = name.unwrap_or_default().trim_matches('"');
    let Some(own) = floor(name) else {
        let mend = format!("{name} has no floor: give it one in the tidy test and the house plan");
        return vec![finding("floor", source, 1, mend)];
    };
    let mut findings = Vec::new();
    for (line, text) in source.numbered() {
        let dependency = text.split(['.', ' ', '=']).next().unwrap_or_default();
        if dependency == name || text.starts_with("name") {
            continue;
        }
        if floor(dependency).is_some_and(|other| other >= own) {
            let mend = format!(
                "{name} (floor {own}) must not import {dependency}: move what it needs down"
            );
            findings.push(finding("floor", source, line, mend));
        }
    }
    findings
}

fn safe_roots(tree: &Tree) -> Vec<Finding> {
    let roots = SAFE_ROOTS.iter().filter_map(|path| tree.get(path));
    let promise = "#![forbid(unsafe_code)]";
    let broken = roots.filter(|root| !root.text.iter().any(|line| line.starts_with(promise)));
    broken.map(|root| finding("safe-root", root, 1, format!("write {promise}"))).collect()
}

/// Every member takes the workspace's lints.
fn lints_taken_over(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    let bare = manifests.filter(|manifest| {
        !manifest.text.windows(2).any(|two| two[0] == "[lints]" && two[1] == "workspace = true")
    });
    bare.map(|manifest| finding("lints", manifest, 1, "write [lints] workspace = true")).collect()
}

/// Relative links lead somewhere.
fn links(tree: &Tree, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (line, text) in source.numbered() {
        fenced ^= text.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for target in targets(text) {
            let path = resolve(&source.path, target);
            if !tree.paths.contains(&path) {
                let mend = format!("the link to {target} leads nowhere: there is no {path}");
                findings.push(finding("link", source, line, mend));
            }
        }
    }
    findings
}

/// Where the pages stand whose examples are doc-tests.
const PAGES: &str = "crates/tautline/src/lib.rs";

/// A page with Rust in it is one of those whose examples are compiled and run.
fn examples_compiled(tree: &Tree, page: &Source) -> Option<Finding> {
    let (line, _) = page.numbered().find(|(_, text)| text.trim_start().starts_with("```rust"))?;
    let named = format!("\"{}\"", page.path);
    let pages = tree.get(PAGES)?;
    let compiled = pages.text.iter().any(|text| text.contains(&named));
    let mend = format!("name this page in {PAGES}, so that its examples are compiled");
    (!compiled).then(|| finding("example", page, line, mend))
}

/// What stands in `](..)`, less anchors and addresses of the web.
/// Each clause of a page on conformance names tests, and all of them exist.
fn clauses_tested(tree: &Tree, page: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if page.path != "docs/conformance.md" {
        return findings;
    }
    let is_clause = |text: &str| {
        text.strip_prefix("| §").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    for (line, text) in page.numbered().filter(|(_, text)| is_clause(text)) {
        let tests = text.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        let is_there = |name: &&str| {
            let head = format!("fn {name}(");
            tree.sources.iter().any(|source| source.text.iter().any(|text| text.contains(&head)))
        };
        let lost: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
        if names.is_empty() || !lost.is_empty() {
            let mend =
                format!("this clause has no test {lost:?}: name the one that holds us to it");
            findings.push(finding("clause", page, line, mend));
        }
    }
    findings
}

fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#', ' ']).next()?;
        (!target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
            .then_some(target)
    })
}

/// `target` as seen from the file `from`, as a path from the root.
fn resolve(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// A page that the book's table of contents does not name is never read.
fn pages_listed(tree: &Tree) -> Vec<Finding> {
    let Some(summary) = tree.get("docs/SUMMARY.md") else { return Vec::new() };
    let listed: Vec<String> = summary
        .text
        .iter()
        .flat_map(|line| targets(line).map(|target| resolve(&summary.path, target)))
        .collect();
    let pages = tree.sources.iter().filter(|source| {
        source.path.starts_with("docs/")
            && source.path.ends_with(".md")
            && source.path != summary.path
    });
    let missing = pages.filter(|page| !listed.contains(&page.path));
    missing.map(|page| finding("page", page, 1, "name this page in docs/SUMMARY.md")).collect()
}

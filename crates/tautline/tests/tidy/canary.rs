//! Seeded violations: a rule that finds nothing would not be noticed otherwise.

use crate::source::Source;
use crate::tree::{Tree, is_made};
use crate::{layout, rules};

/// The rules that speak up about these files, with the line each names.
fn found(files: &[(&str, &str)]) -> Vec<(&'static str, usize)> {
    let tree = Tree::of_files(files);
    let findings = rules::check(&tree).into_iter().chain(layout::check(&tree));
    findings.map(|finding| (finding.rule, finding.line)).collect()
}

fn found_in(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    found(&[(path, text)])
}

/// Proves that each rule over one file finds its violation, at its line.
#[test]
fn every_rule_finds_its_seeded_violation() {
    let relay = "crates/relay/src/a.rs";
    let long_function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(70));
    let cases: [(&str, String, (&str, usize)); 15] = [
        (relay, "// a line\n".repeat(801), ("file-length", 801)),
        (relay, long_function, ("function-length", 1)),
        (relay, format!("fn f() {{\n    g(){}\n}}\n", concat!(".unw", "rap()")), ("unwrap", 2)),
        (relay, format!("fn f() {{ {}) }}\n", concat!("to", "do!(")), ("unfinished", 1)),
        (relay, format!("fn f() {{ {}1) }}\n", concat!("db", "g!(")), ("unfinished", 1)),
        (relay, format!("// {}: later\n", concat!("TO", "DO")), ("unfinished", 1)),
        (relay, "#[ignore]\nfn f() {}\n".into(), ("reason", 1)),
        (relay, "\n#![allow(dead_code)]\n".into(), ("reason", 2)),
        (relay, "#[expect(\n    dead_code,\n)]\nfn f() {}\n".into(), ("reason", 1)),
        ("docs/a.md", format!("see {}x\n", concat!("/ho", "me/")), ("machine-path", 1)),
        (relay, "fn f() { unsafe { g() } }\n".into(), ("unsafe-room", 1)),
        ("crates/runtime/src/a.rs", "use std::sync::atomic::fence;\n".into(), ("atomics", 1)),
        (relay, format!("fn f() {{ {}); }}\n", concat!("Inst", "ant::now(")), ("clock", 1)),
        ("docs/a.md", "\n[a page](none.md)\n".into(), ("link", 2)),
        ("crates/relay/src/lib.rs", "//! No promise.\n".into(), ("safe-root", 1)),
    ];
    for (path, text, wanted) in cases {
        assert_eq!(found_in(path, &text), [wanted], "{path}: {text}");
    }
}

/// Proves that an import that points up, or to the same floor, is found.
#[test]
fn imports_that_point_up_are_found() {
    let manifest = |name: &str, dependency: &str| {
        format!(
            "[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n\
             [dependencies]\n{dependency}.workspace = true\n"
        )
    };
    let check = |name, dependency| found_in("crates/a/Cargo.toml", &manifest(name, dependency));
    assert_eq!(check("tautline-runtime", "tautline-relay"), [("floor", 6)]);
    assert_eq!(check("tautline-runtime", "tautline-buffer"), []);
    assert_eq!(check("tautline-attic", "tautline-buffer"), [("floor", 1)]);
}

/// Proves that only what tools have made is passed over, and no source for the name of its folder.
#[test]
fn folders_of_sources_are_walked() {
    assert!(["target", "crates/bus/target", "docs/book"].into_iter().all(is_made));
    assert!(!["docs", "crates/market/src/book", "targets"].into_iter().any(is_made));
}

/// Proves that a manifest without the workspace's lints, and a page that the book does not list,
/// are found.
#[test]
fn bare_manifests_and_lost_pages_are_found() {
    let bare = "[package]\nname = \"tautline-net\"\n";
    assert_eq!(found_in("crates/net/Cargo.toml", bare), [("lints", 1)]);
    let book = [("docs/SUMMARY.md", "[b](b.md)\n"), ("docs/a.md", "\n"), ("docs/b.md", "\n")];
    assert_eq!(found(&book), [("page", 1)]);
}

/// Proves that a clause without a test, or with one that is gone, is found.
#[test]
fn clauses_without_a_test_are_found() {
    let page = "| § | demand | test |\n| §1 | one | `there` |\n| §2 | two | none |\n\
                | §3 | three | `there`, `gone` |\n";
    let book = [
        ("docs/SUMMARY.md", "[c](conformance.md)\n"),
        ("docs/conformance.md", page),
        ("crates/relay/src/a.rs", "fn there() {}\n"),
    ];
    assert_eq!(found(&book), [("clause", 3), ("clause", 4)]);
}

/// Proves that a page whose examples nobody compiles is found.
#[test]
fn pages_with_examples_that_nobody_compiles_are_found() {
    let root = "#![forbid(unsafe_code)]\n    named: \"docs/a.md\",\n";
    let check = |page| found(&[("crates/tautline/src/lib.rs", root), (page, "\n```rust\n```\n")]);
    assert_eq!(check("docs/a.md"), []);
    assert_eq!(check("docs/b.md"), [("example", 2)]);
}

/// Proves that comments, literals and test code do not set off the rules for shipped code, and
/// that what follows them is still seen.
#[test]
fn comments_literals_and_tests_are_told_apart() {
    let unwrap = concat!(".unw", "rap()");
    let text = format!(
        "// x{unwrap}\n/* /* x{unwrap} */ */\nconst A: &str = \"x{unwrap} \\\" }}\";\n\
         const B: &str = r#\"x{unwrap} \"\" {{\"#;\nfn c<'a>(_: &'a u8) -> char {{ '{{' }}\n\
         #[cfg(test)]\nmod tests {{\n    fn f() {{ x{unwrap} }}\n}}\nfn g() {{ x{unwrap} }}\n"
    );
    assert_eq!(found_in("crates/relay/src/a.rs", &text), [("unwrap", 10)]);
}

/// Proves that a module in a file of its own counts as test code when its declaration does.
#[test]
fn files_of_test_modules_are_test_code() {
    let body = format!("fn f() {{ x{} }}\n", concat!(".unw", "rap()"));
    let declared = |line: &str| {
        found(&[("crates/relay/src/a.rs", line), ("crates/relay/src/a/tests.rs", &body)])
    };
    assert_eq!(declared("#[cfg(all(test, loom))]\nmod tests;\n"), []);
    assert_eq!(declared("#[cfg(not(test))]\nmod tests;\n"), [("unwrap", 1)]);
}

/// Proves that an item's end is found where braces lie on several lines.
#[test]
fn items_end_at_their_brace() {
    let source =
        Source::new("a.rs", "fn f(a: [u8; 4])\nwhere\n    u8: Copy,\n{\n    g();\n}\nfn h();\n");
    assert_eq!(source.item(0), 0..=5);
    assert_eq!(source.item(6), 6..=6);
}

//! Rules over one file at a time. Needles are put together here, so that they are not found here.

use crate::Finding;
use crate::source::{Source, has_word};
use crate::tree::Tree;

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// Crates in which `unsafe` may stand; `bus-derive` only writes it into others, the bench binds the bare loops that it measures against,
/// and one example a foreign interface.
const UNSAFE_ROOMS: [&str; 7] = [
    "crates/buffer/",
    "crates/bus/",
    "crates/bus-derive/",
    "crates/runtime/",
    "crates/net/",
    "bench/",
    "crates/tautline/examples/vulkan_commands/gpu.rs",
];

type Rule = fn(&Source) -> Vec<Finding>;

const RULES: [Rule; 9] = [
    file_length,
    function_length,
    unwraps,
    unfinished,
    reasons,
    machine_paths,
    unsafe_rooms,
    atomics,
    clocks,
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(|source| RULES.iter().flat_map(move |rule| rule(source))).collect()
}

pub(crate) fn finding(
    rule: &'static str,
    source: &Source,
    line: usize,
    mend: impl Into<String>,
) -> Finding {
    Finding { rule, path: source.path.clone(), line, mend: mend.into() }
}

fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.text.len() - 1;
    if lines <= FILE_LINES || source.path.ends_with(".md") {
        return Vec::new();
    }
    let mend = format!("{lines} lines, the limit is {FILE_LINES}: divide the file by what it does");
    vec![finding("file-length", source, FILE_LINES + 1, mend)]
}

fn function_length(source: &Source) -> Vec<Finding> {
    let starts = source.shipped().filter(|(_, code)| has_word(code, "fn") && names_function(code));
    let long = starts.filter_map(|(line, _)| {
        let item = source.item(line - 1);
        let lines = item.end() - item.start() + 1;
        let mend = format!(
            "a function of {lines} lines, the limit is {FUNCTION_LINES}: give a part of it a name"
        );
        (lines > FUNCTION_LINES).then(|| finding("function-length", source, line, mend))
    });
    long.collect()
}

/// `fn name`, not the type `fn(..)`.
fn names_function(code: &str) -> bool {
    code.split("fn ").skip(1).any(|rest| rest.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

fn unwraps(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("crates/") {
        return Vec::new();
    }
    let mend = "use `?`, or `expect` with the reason why it cannot fail";
    lines_with(source, "unwrap", &[concat!(".unw", "rap()")], mend)
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!(")];
    let mut findings = lines_with(source, "unfinished", &macros, "finish it, or leave it out");
    for (line, text) in source.numbered() {
        let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
        if words.iter().any(|word| has_word(text, word)) {
            let mend = "do it now, or open an issue: the source holds no wishes";
            findings.push(finding("unfinished", source, line, mend));
        }
    }
    findings
}

/// `#[ignore]`, `allow` and `expect` say why.
fn reasons(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, code) in source.code.iter().enumerate() {
        let attribute = code.trim_start().trim_start_matches("#!").trim_start_matches('#');
        if attribute.trim() == "[ignore]" {
            findings.push(finding("reason", source, at + 1, "write #[ignore = \"why\"]"));
        }
        let levels = ["[allow(", "[expect("];
        if levels.iter().any(|level| attribute.starts_with(level))
            && !attribute_text(source, at).contains("reason")
        {
            findings.push(finding("reason", source, at + 1, "add reason = \"why\""));
        }
    }
    findings
}

/// The attribute that begins at index `at`, over all its lines.
fn attribute_text(source: &Source, at: usize) -> String {
    let mut text = String::new();
    for line in &source.code[at..] {
        text.push_str(line);
        if line.trim_end().ends_with(']') {
            break;
        }
    }
    text
}

fn machine_paths(source: &Source) -> Vec<Finding> {
    let needles = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let found = source.numbered().filter(|(_, text)| needles.iter().any(|n| text.contains(n)));
    let mend = "a path of one machine: use a relative path or a temporary folder";
    found.map(|(line, _)| finding("machine-path", source, line, mend)).collect()
}

fn unsafe_rooms(source: &Source) -> Vec<Finding> {
    let allowed = UNSAFE_ROOMS.iter().any(|room| source.path.starts_with(room))
        || source.path.starts_with("scripts/canaries/");
    if allowed {
        return Vec::new();
    }
    let lines = source.code.iter().enumerate().filter(|(_, code)| has_word(code, "unsafe"));
    let mend = "unsafe lives in buffer, bus, runtime and net: build a safe function there";
    lines.map(|(at, _)| finding("unsafe-room", source, at + 1, mend)).collect()
}

fn atomics(source: &Source) -> Vec<Finding> {
    let rooms = ["crates/bus/src/", "crates/runtime/src/"];
    let watched = rooms.iter().any(|room| source.path.starts_with(room));
    if !watched || source.path.ends_with("src/sync.rs") {
        return Vec::new();
    }
    let mend = "take atomics from crate::sync, so that loom can check their model";
    lines_with(source, "atomics", &["std::sync::atomic", "core::sync::atomic"], mend)
}

/// Time is an argument: above the loop nobody asks what time it is.
fn clocks(source: &Source) -> Vec<Finding> {
    let rooms = [
        "crates/buffer/src/",
        "crates/net/src/",
        "crates/relay/src/",
        "crates/market/src/",
        "crates/tautline/src/",
    ];
    if !rooms.iter().any(|room| source.path.starts_with(room)) {
        return Vec::new();
    }
    let calls = [concat!("Inst", "ant::now("), concat!("System", "Time::now(")];
    lines_with(source, "clock", &calls, "take the time as an argument, or from the runtime")
}

/// Findings for shipped lines whose code holds one of `needles`.
fn lines_with(source: &Source, rule: &'static str, needles: &[&str], mend: &str) -> Vec<Finding> {
    let found = source.shipped().filter(|(_, code)| needles.iter().any(|n| code.contains(n)));
    found.map(|(line, _)| finding(rule, source, line, mend)).collect()
}

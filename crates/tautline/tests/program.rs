//! The program as a user meets it: exit codes and what stands on which stream.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tautline"))
        .args(arguments)
        .output()
        .expect("the program was built")
}

/// Proves that the doctor looks at everything that the manual names and succeeds.
#[test]
fn doctor_examines_this_machine() {
    let output = run(&["doctor"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("the report is text");
    for item in [
        "release",
        "ring set-up",
        "isolcpus",
        "affinity mask",
        "cgroup quota",
        "priority",
        "locked memory",
        "huge pages",
        "map count",
        "source",
        "open files",
        "receive buffer",
        "accept queue",
        "guard pages",
    ] {
        assert!(text.contains(item), "{item} is not in\n{text}");
    }
}

/// Proves that the doctor's JSON is one object whose counts agree with its findings, and that
/// whatever is not ok has a remedy.
#[test]
fn doctor_speaks_json() {
    let output = run(&["doctor", "--json"]);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object");
    let findings = report["findings"].as_array().expect("a list of findings");
    let ok = findings.iter().filter(|finding| finding["status"] == "ok").count();
    assert_eq!(report["ok"], ok);
    assert!(findings.iter().all(|f| f["status"] == "ok" || f["remedy"].is_string()));
}

/// Proves that bad input gives one line on standard error, nothing on standard output, and code 2.
#[test]
fn bad_input_is_one_line_and_code_2() {
    for arguments in [
        &["relay", "--from", "udp://nowhere", "--to", "stdout:"][..],
        &["relay", "--from", "stdin:"],
        &["demo", "--subscribers", "many"],
        &["sing"],
        &["--loud"],
    ] {
        let output = run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!((error.lines().count(), output.stdout.len()), (1, 0), "{arguments:?}: {error}");
        assert!(error.starts_with("tautline: "), "{error}");
    }
}

/// Proves that help is on standard output and no failure.
#[test]
fn help_succeeds() {
    let output = run(&["--help"]);
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("doctor"));
}

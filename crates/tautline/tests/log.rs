//! What the program tells while it runs: where, in which form, how much.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tautline::log::sink::Sink;
use tautline::log::{Config, Full, Line, Logger, error};

const RELAY: [&str; 7] =
    ["relay", "--from", "demo:?rate=100", "--to", "tcp-listen://127.0.0.1:0", "--for", "100ms"];
const FAILS: [&str; 5] = ["relay", "--from", "file:/no/such/file", "--to", "udp://127.0.0.1:9"];

fn run(arguments: &[&[&str]]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tautline"));
    program.args(arguments.concat()).output().expect("the program was built")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("its name is text")
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// Proves that a run in which nothing goes wrong tells nothing on standard error, and with a filter
/// where the endpoints are bound, with time, level and target, without colour in a pipe.
#[test]
fn filters_say_how_much_is_told() {
    let quiet = run(&[&RELAY]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", stderr(&quiet));
    let told = run(&[&RELAY, &["--log", "debug"]]);
    let told = stderr(&told);
    let bound =
        told.lines().find(|line| line.contains("bound to")).unwrap_or_else(|| panic!("{told}"));
    let parts: Vec<_> = bound.split_whitespace().collect();
    assert!(parts[0].ends_with('Z') && parts[0].contains('T'), "{bound}");
    assert_eq!((parts[1], parts[2].starts_with("tautline_relay::")), ("INFO", true), "{bound}");
    assert!(!told.contains('\x1b'));
    let off = run(&[&RELAY, &["--log", "debug,tautline_relay=off"]]);
    assert!(!stderr(&off).contains("bound to"), "{}", stderr(&off));
}

/// Proves that the program's last word is told whatever the filter, in the form that was asked for.
#[test]
fn last_words_are_always_told() {
    for (options, sign) in [
        (&[][..], "tautline: file:/no/such/file"),
        (&["--log", "off"], "ERROR tautline: file:/no/such/file"),
        (&["--log-json"], "\"level\":\"ERROR\",\"target\":\"tautline\""),
    ] {
        let output = run(&[&FAILS, options]);
        let error = stderr(&output);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains(sign), "{options:?}: {error}");
    }
    let output = run(&[&FAILS, &["--log-json"]]);
    let message = objects(&stderr(&output))[0]["message"].clone();
    assert!(message.as_str().is_some_and(|text| text.contains("/no/such/file")), "{message}");
}

/// Proves that a file gets all lines, run after run, while standard error gets the last word alone.
#[test]
fn files_get_all_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("relay.log");
    for json in [&[][..], &["--log-json"]] {
        let to_file = ["--log", "info", "--log-file", text(&file)];
        let first = run(&[&RELAY, &to_file, json]);
        assert!(first.status.success() && first.stderr.is_empty(), "{}", stderr(&first));
        let second = run(&[&FAILS, &to_file, json]);
        assert_eq!(stderr(&second).lines().count(), 1, "{}", stderr(&second));
        let lines = fs::read_to_string(&file).expect("it was written");
        assert!(lines.contains("bound to") && lines.contains("/no/such/file"), "{lines}");
        assert_eq!(lines.lines().all(|line| line.starts_with('{')), !json.is_empty());
        fs::remove_file(&file).expect("it is there");
    }
}

/// Proves that files rotate, that so many are kept as was said, and that the link leads to the last.
#[test]
fn files_rotate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("relay.log");
    let options = ["--log-file", text(&file), "--log-rotate", "1,day", "--log-keep", "2"];
    for _ in 0..4 {
        run(&[&FAILS, &options]);
    }
    let names: Vec<_> = fs::read_dir(&folder)
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("text"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let last = fs::read_to_string(&file).expect("the link leads somewhere");
    assert!(last.contains("/no/such/file"), "{last}");
}

/// Proves that what was told is found in the folder after the program was killed.
#[test]
fn a_killed_program_leaves_its_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = text(folder.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_tautline"))
        .args(["relay", "--from", "demo:", "--to", "tcp-listen://127.0.0.1:0"])
        .args(["--log", "info", "--log-dir", directory])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built");
    let recovered = || {
        let output = run(&[&["log", "recover", directory]]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let end = Instant::now() + Duration::from_secs(20);
    while !recovered().contains("bound to") && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it runs");
    child.wait().expect("it was started");
    assert!(recovered().contains("tcp-listen://127.0.0.1:0: bound to"), "{}", recovered());
}

/// A copy of the folder of a run in which `write` has written, as a kill would have left it; in
/// `parent`, by the folder's own name.
fn left_of(config: Config, parent: &Path, write: impl FnOnce()) -> PathBuf {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().expect("no test has failed");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = Some(folder.path().to_owned());
    let guard = Logger::start(Config { directory, ..config }).expect("there is room");
    write();
    let run = guard.folder().expect("it was asked for");
    let copy = parent.join(run.file_name().expect("it has a name"));
    fs::create_dir(&copy).expect("a temporary folder");
    for name in ["index", "ring-0", "threads-0"] {
        fs::copy(run.join(name), copy.join(name)).expect("it is there");
    }
    drop((guard, turn));
    copy
}

/// Proves that lines that cannot be told in full are counted, that the others are told all the same,
/// and that the code says so.
#[test]
fn what_is_lost_of_a_log_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = left_of(Config::default(), folder.path(), || error!("of an unknown call"));
    let whole = run_on(&copy);
    assert_eq!((whole.status.code(), stderr(&whole)), (Some(0), String::new()));
    let index = fs::OpenOptions::new().write(true).open(copy.join("index")).expect("it is there");
    index.set_len(192).expect("it has more");
    let output = run_on(&copy);
    let (told, error) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(told.lines().count() == 1 && told.contains("is unknown"), "{told}");
    let first = error.lines().next().unwrap_or_default();
    assert!(first.contains("ring-0: lines whose") && first.ends_with(": 1"), "{error}");

    fs::write(copy.join("ring-0"), []).expect("it can be emptied");
    let output = run_on(&copy);
    assert_eq!(output.status.code(), Some(1), "an emptied ring is damage");
    assert!(stderr(&output).contains("ring-0 is damaged: it is empty"), "{}", stderr(&output));
}

/// Takes so long that lines are dropped.
struct Slow;

impl Sink for Slow {
    fn line(&mut self, _: &Line<'_>) -> std::io::Result<()> {
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Proves that lines that were dropped while the program ran are told of.
#[test]
fn dropped_lines_of_a_log_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config {
        full: Full::Drop,
        ring_bytes: 4096,
        longest: 1024,
        sinks: vec![Box::new(Slow)],
        ..Config::default()
    };
    left_of(config, folder.path(), || (0..1000).for_each(|n| error!("{n}")));
    let output = run_on(folder.path());
    assert!(output.status.success());
    let error = stderr(&output);
    let count = error.trim_end().rsplit(' ').next().and_then(|count| count.parse().ok());
    assert!(error.contains("dropped") && (500..1000).contains(&count.unwrap_or(0)), "{error}");
}

/// Proves that of several runs each line shows which it is of, and whether the sinks had got it.
#[test]
fn lines_of_several_runs_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runs = ["one", "two"].map(|message| {
        left_of(Config::default(), folder.path(), || {
            error!("{message}");
            tautline::log::flush().expect("it runs");
        })
    });
    let output = run_on(folder.path());
    let told = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!((output.status.code(), lines.len()), (Some(0), 4), "{told}");
    let process = format!(", process {}, started 20", std::process::id());
    for (at, run) in runs.iter().enumerate() {
        let heading = lines[2 * at];
        assert!(heading.starts_with("== log-") && heading.contains(&process), "{heading}");
        assert!(heading.ends_with(text(run)), "{heading}");
    }
    assert!(lines[1].ends_with("one") && lines[3].ends_with("two"), "{told}");

    let output = recovered_objects(folder.path());
    for (line, run) in output.iter().zip(&runs) {
        let name = run.file_name().and_then(|name| name.to_str());
        assert_eq!(
            (line["run"].as_str(), line["pid"].as_u64()),
            (name, Some(std::process::id().into()))
        );
        assert_eq!(line["waiting"], Value::Bool(false));
    }
    assert_eq!(output.len(), 2);
}

fn recovered_objects(folder: &Path) -> Vec<Value> {
    let output = run(&[&["log", "recover", text(folder), "--json"]]);
    objects(&String::from_utf8_lossy(&output.stdout))
}

fn run_on(folder: &Path) -> Output {
    run(&[&["log", "recover", text(folder)]])
}

/// Proves that a log that cannot be had is one line that names what is wrong: with code 1 if the
/// system refuses, with 2 if the options do not go together.
#[test]
fn impossible_logs_are_refused() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary folder");
    file.write_all(b"no folder").expect("room on the disk");
    let no_folder = text(file.path()).to_owned();
    for (options, code, sign) in [
        (&["--log-file", "/no/such/folder/a.log"][..], 1, "/no/such/folder/a.log"),
        (&["--log-dir", &no_folder], 1, &*no_folder),
        (&["--log-rotate", "day"], 2, "--log-file"),
        (&["--log-file", "a", "--log-keep", "3"], 2, "--log-rotate"),
        (&["--log", "tautline=loud"], 2, "loud"),
    ] {
        let output = run(&[&RELAY, options]);
        let error = stderr(&output);
        assert_eq!((output.status.code(), error.lines().count()), (Some(code), 1), "{error}");
        assert!(error.starts_with("tautline: ") && error.contains(sign), "{options:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}

/// Proves that a message from outside cannot pass itself off as a line of its own.
#[test]
fn names_from_outside_forge_no_lines() {
    for arguments in [
        &["relay", "--from", "file:/no\n/such\x1b[2J", "--to", "udp://127.0.0.1:9"][..],
        &["log", "recover", "/no\n/such\x1b[2J"],
    ] {
        let error = stderr(&run(&[arguments]));
        assert_eq!(error.lines().count(), 1, "{error:?}");
        assert!(!error.trim_end().contains(char::is_control), "{error:?}");
    }
}

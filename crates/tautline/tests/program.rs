//! The program as a user meets it: exit codes and what stands on which stream.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

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

/// Proves that what a process has logged is told from the directory alone, as lines and as JSON, and
/// that a directory in which nothing is left is an error that names it.
#[test]
fn what_was_logged_is_recovered() {
    use tautline::log::{Config, Logger, warn};
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().to_str().expect("its name is text");
    let config =
        Config { directory: Some(directory.into()), sinks: Vec::new(), ..Config::default() };
    let guard = Logger::start(config).expect("the only log of this process");
    for order in 0..3 {
        warn!("order {order} at {:.2}", 1.5);
    }
    let told = run(&["log", "recover", directory]);
    let text = String::from_utf8(told.stdout).expect("lines are text");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("WARN") && text.contains("order 2 at 1.50"), "{text}");
    let told = run(&["log", "recover", directory, "--json"]);
    let first = told.stdout.split(|byte| *byte == b'\n').next().expect("a line");
    let line: serde_json::Value = serde_json::from_slice(first).expect("an object");
    assert_eq!(line["message"], "order 0 at 1.50", "{line}");
    drop(guard);
    let told = run(&["log", "recover", directory]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains(directory));
}

/// Proves that what a process has on the bus is listed while it has it, as lines and as JSON.
#[test]
fn what_is_on_the_bus_is_listed() {
    use tautline::bus::{Shared, channel::Channel};
    let namespace = format!("program-{}", std::process::id());
    let name = format!("{namespace}/prices");
    let channel = Channel::<[u64; 2], Shared>::open(&namespace, "prices", Default::default())
        .expect("it can be made");
    let listed = text(&run(&["bus", "list"]));
    let line = listed.lines().find(|line| line.starts_with(&name)).expect("it is in the list");
    assert!(line.contains(&std::process::id().to_string()) && line.contains("u64"), "{line}");
    // This user's objects are those of the user of its number.
    let user = std::fs::metadata("/proc/self").expect("/proc is there").uid().to_string();
    let of_user = text(&run(&["bus", "list", "--user", &user]));
    assert!(of_user.lines().any(|other| other == line), "{of_user}");
    let told = text(&run(&["bus", "stat", &format!("{user}:{name}")]));
    assert!(told.starts_with(&name), "{told}");
    drop(channel);

    let listed = run(&["bus", "list", "--json"]);
    let objects: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("a JSON array");
    let objects = objects.as_array().expect("a JSON array");
    assert!(objects.iter().all(|object| object["name"] != name), "{objects:?}");
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("the report is text")
}

/// Proves that an object of the bus is told with its users, its depth and its rates, as lines and as
/// JSON, as often as was asked for, and that nobody is cleared who lives.
#[test]
fn what_is_on_the_bus_is_told_in_numbers() {
    use tautline::bus::{Shared, channel::Channel};
    let namespace = format!("stat-{}", std::process::id());
    let name = format!("{namespace}/prices");
    let channel = Channel::<u64, Shared>::open(&namespace, "prices", Default::default())
        .expect("it can be made");
    let mut sender = channel.sender().expect("a seat is free");
    (0..3).for_each(|n| sender.send(n).expect("there is room"));
    let lines = text(&run(&["bus", "stat", &name]));
    let own = format!("sender 0  process {}", std::process::id());
    for sign in [&name, "channel of u64 8 bytes", &own, "lane 0  3 of 1024 messages  in 0/s"] {
        assert!(lines.contains(sign), "{sign} is not in\n{lines}");
    }
    let pattern = format!("{namespace}/*");
    let reports =
        text(&run(&["bus", "stat", &pattern, "--every", "0.05", "--count", "2", "--json"]));
    assert_eq!(reports.lines().count(), 2, "{reports}");
    let report: serde_json::Value =
        serde_json::from_str(reports.lines().last().expect("two")).expect("an array a line");
    assert_eq!(report[0]["users"][0]["dead"], false, "{report}");
    assert_eq!(report[0]["queues"][0]["depth"], 3, "{report}");
    assert_eq!(report[0]["queues"][0]["given_per_second"], 0.0, "{report}");
    let cleaned = text(&run(&["bus", "clean", &name]));
    assert_eq!(cleaned, "no seat is held by a process that has ended\n");
    assert_eq!(channel.users(), [1, 0]);
}

/// Proves that messages are printed as they pass, by their fields, as bytes and as JSON, while the
/// receiver gets them all; and that the tap ends when it has had enough.
#[test]
fn what_passes_on_the_bus_is_printed() {
    use tautline::bus::{Shared, bytes::Bytes, channel::Channel};
    let namespace = format!("tap-{}", std::process::id());
    let channel = Channel::<[u16; 2], Shared>::open(&namespace, "pairs", Default::default())
        .expect("it can be made");
    let bytes =
        Bytes::<Shared>::open(&namespace, "texts", Default::default()).expect("it can be made");
    let (mut pairs, mut texts) = (channel.sender().expect("free"), bytes.sender().expect("free"));
    let (mut paired, mut read) =
        (channel.receiver().expect("free"), bytes.receiver().expect("free"));
    for (object, form, want) in [
        ("pairs", &[][..], "0#N  [1, 2]"),
        ("pairs", &["--hex"], "0#N  01000200"),
        ("pairs", &["--json"], r#"{"lane":0,"position":N,"value":[1,2]}"#),
        ("texts", &[], r"0#N  tea\n"),
        ("texts", &["--json"], r#"{"lane":0,"position":N,"text":"tea\n"}"#),
    ] {
        let name = format!("{namespace}/{object}");
        let mut tap = Command::new(env!("CARGO_BIN_EXE_tautline"))
            .args(["bus", "tap", &name, "--count", "2"])
            .args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        // It begins at the next message, whenever it comes to that.
        for _ in 0..5_000 {
            pairs.send([1, 2]).expect("there is room");
            texts.send(b"tea\n").expect("there is room");
            assert_eq!(paired.receive(), Ok([1, 2]));
            assert_eq!(read.receive().expect("it is there").view().to_vec(), b"tea\n");
            if tap.try_wait().expect("it was started").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let told = text(&ends(tap));
        assert_eq!(told.lines().count(), 2, "{told}");
        for line in told.lines() {
            let digits = |c: &char| c.is_ascii_digit();
            let at = line.find("position\":").map_or(2, |at| at + 10);
            let number: String = line[at..].chars().take_while(digits).collect();
            assert_eq!(line, want.replace('N', &number), "{form:?}");
        }
    }
}

/// Proves that names which nobody has, and objects without messages, are one line and code 1.
#[test]
fn what_is_not_on_the_bus_is_one_line_and_code_1() {
    use tautline::bus::{Shared, signal::Signal};
    let namespace = format!("none-{}", std::process::id());
    let _signal =
        Signal::<Shared>::open(&namespace, "signal", Default::default()).expect("it can be made");
    let (nothing, signal) = (format!("{namespace}/nothing"), format!("{namespace}/signal"));
    for (arguments, sign) in [
        (["bus", "stat", &nothing], &*nothing),
        (["bus", "tap", &nothing], &nothing),
        (["bus", "clean", &nothing], &nothing),
        (["bus", "tap", &signal], "a signal has no messages to tap"),
    ] {
        let output = run(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.starts_with("tautline: the bus: ") && error.contains(sign), "{error}");
    }
}

/// Proves that a standard error that nobody reads any more changes no exit code.
#[test]
fn closed_standard_error_changes_no_exit_code() {
    for (arguments, code) in
        [(&["sing"][..], 2), (&["relay", "--from", "file:/no/such/file", "--to", "stdout:"], 1)]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let mut program = Command::new(env!("CARGO_BIN_EXE_tautline"));
        let status = program.args(arguments).stderr(writer).stdout(Stdio::null()).status();
        assert_eq!(status.expect("the program was built").code(), Some(code), "{arguments:?}");
    }
}

/// Proves that bad input gives one line on standard error, nothing on standard output, and code 2.
#[test]
fn bad_input_is_one_line_and_code_2() {
    for arguments in [
        &["relay", "--from", "udp://nowhere", "--to", "stdout:"][..],
        &["relay", "--from", "stdin:"],
        &["relay", "--from", "demo:", "--to", "udp://127.0.0.1:9", "--to", "udp://127.0.0.1:9"],
        &["relay", "--from", "udp://127.0.0.1:9", "--to", "udp://127.0.0.1:9"],
        &["demo", "--subscribers", "many"],
        &["bus", "tap"],
        &["bus", "tap", "feeds/*"],
        &["bus", "stat", "prices"],
        &["bus", "stat", "--every", "0"],
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

/// Proves that the demonstration ends by itself without a loss, and that its last line of JSON is
/// the summary that says so.
#[test]
fn demo_ends_by_itself_without_loss() {
    let output = run(&["demo", "--for", "2s", "--json"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let last = text.lines().last().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(last).expect("one object a line");
    assert_eq!(summary["kind"], "summary");
    assert_eq!(summary["check"]["missing"], 0);
    assert!(summary["check"]["packets"].as_u64() > Some(100 * 1_000));
}

/// The output of a program that ends by itself; one that does not is killed, and fails.
fn ends(mut child: Child) -> Output {
    for _ in 0..2_000 {
        if child.try_wait().expect("it was started").is_some() {
            return child.wait_with_output().expect("it is piped");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it runs");
    panic!("it does not end: {:?}", child.wait_with_output());
}

/// Proves that a demonstration for which the descriptors do not suffice, on whichever side and
/// however early, ends and says so.
#[test]
fn demo_without_descriptors_says_so() {
    let demo = env!("CARGO_BIN_EXE_tautline");
    for limit in [16, 24, 40, 60, 100, 117, 125, 150, 170, 190, 204] {
        let shell = format!("ulimit -n {limit} && exec {demo} demo --for 1s");
        let mut command = Command::new("sh");
        let command = command.args(["-c", &shell]).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = ends(command.spawn().expect("there is a shell"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{limit}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with("tautline: ") && last.contains("open files"), "{limit}: {error}");
    }
}

/// Proves that an endpoint that fails at run time is named in one line, with exit code 1.
#[test]
fn failed_endpoint_is_one_line_and_code_1() {
    for missing in ["file:/no/such/file", "unix-listen:///no/such/folder/socket"] {
        let output = run(&["relay", "--from", missing, "--to", "udp://127.0.0.1:9"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("tautline: ") && error.contains(missing), "{error}");
    }
}

/// Proves that slots for which there is no address space are refused by one line with the remedy.
#[test]
fn too_many_slots_are_one_line_and_code_1() {
    let program = env!("CARGO_BIN_EXE_tautline");
    let relay = "relay --from udp://127.0.0.1:0 --to udp://127.0.0.1:9 --for 1s --slots 100000";
    let shell = format!("ulimit -v 2000000 && exec {program} {relay}");
    let output = Command::new("sh").args(["-c", &shell]).output().expect("there is a shell");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with("tautline: ") && error.contains("number of slots"), "{error}");
}

/// Proves that an endpoint that fails in the middle of a run leaves the summary as the last line of
/// the reports, in both forms, and one line on standard error.
#[test]
fn failure_leaves_the_summary_last() {
    let relay = ["relay", "--from", "demo:?rate=1000", "--to", "file:/dev/full"];
    for (form, sign) in [(&["--json"][..], r#""kind":"summary""#), (&[], "PACKETS LOST")] {
        let output = run(&[&relay, form].concat());
        let text = |bytes| String::from_utf8(bytes).expect("reports are text");
        let (report, error) = (text(output.stdout), text(output.stderr));
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("/dev/full"), "{error}");
        assert!(report.lines().last().is_some_and(|line| line.contains(sign)), "{report}");
    }
}

/// Proves that a relay whose ports the system chooses tells them, in both forms, and that they are
/// those on which it is found.
#[test]
fn chosen_ports_are_told() {
    for form in [&[][..], &["--json"]] {
        let arguments = ["relay", "--from", "udp://127.0.0.1:0", "--to", "tcp-listen://[::1]:0"];
        let mut relay = Command::new(env!("CARGO_BIN_EXE_tautline"))
            .args(arguments)
            .args(form)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut lines = BufReader::new(relay.stdout.take().expect("it is piped")).lines();
        let mut told = String::new();
        while !told.contains("[::1]:") || !told.contains("127.0.0.1:") {
            told = lines.next().expect("they are told at once").expect("reports are text") + &told;
        }
        let port = |host: &str| -> u16 {
            let ports = told
                .split(host)
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
            ports.filter_map(|port| port.parse().ok()).max().expect("a port")
        };
        TcpStream::connect(("::1", port("[::1]:"))).expect("it listens there");
        let taken = UdpSocket::bind(("127.0.0.1", port("127.0.0.1:")));
        assert_eq!(taken.map(drop).map_err(|e| e.kind()), Err(std::io::ErrorKind::AddrInUse));
        relay.kill().expect("it runs");
        relay.wait().expect("it was started");
    }
}

/// Proves that SIGINT ends a running relay with a summary, exit code 0 and an orderly end for the
/// subscriber behind a whole packet.
#[test]
fn sigint_drains_and_succeeds() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    let to = format!("tcp://{address}");
    let mut relay = Command::new(env!("CARGO_BIN_EXE_tautline"))
        .args(["relay", "--from", "demo:?size=100", "--to", &to, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let (mut subscriber, _) = listener.accept().expect("the relay connects");
    let mut bytes = vec![0; 102];
    subscriber.read_exact(&mut bytes).expect("the feed comes");
    let process = rustix::process::Pid::from_child(&relay);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    subscriber.read_to_end(&mut bytes).expect("an orderly end");
    assert_eq!(bytes.len() % 102, 0, "whole packets");
    let mut report = String::new();
    relay.stdout.take().expect("it is piped").read_to_string(&mut report).expect("JSON is text");
    assert_eq!(relay.wait().expect("it ends").code(), Some(0));
    assert!(report.lines().last().is_some_and(|line| line.contains(r#""kind":"summary""#)));
}

//! The tools for WebSockets as a user meets them, among themselves; real peers are in `interop`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for any step here, so that a broken tool fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tautline"))
        .arg("ws")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built")
}

/// Types that in, ends standard input, and waits for the end.
fn played(arguments: &[&str], input: &str) -> Output {
    let mut child = start(arguments);
    // Who does not read has ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    end(child)
}

fn end(mut child: Child) -> Output {
    let end = Instant::now() + PATIENCE;
    // What it prints is less than a pipe holds.
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it does not end: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An echo server that runs.
struct Echo {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Echo {
    fn start(options: &[&str]) -> Self {
        let mut child = start(&[&["echo", "--listen", "127.0.0.1:0"], options].concat());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let at = line.find("ws://").unwrap_or_else(|| panic!("{line}"));
        let url = line[at..].trim_end().trim_end_matches("\"}").to_owned();
        Self { child: Some(child), stdout, url }
    }

    /// Has it end as by Ctrl-C, and returns what it says at its end.
    fn finish(mut self) -> String {
        let child = self.child.take().unwrap();
        let process = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
        let output = end(child);
        assert!(output.status.success(), "{output:?}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What was printed, as JSON; the manual explains every key.
fn objects(text: &str) -> Vec<Value> {
    let objects: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    objects.iter().for_each(explained);
    objects
}

fn explained(value: &Value) {
    let manual = include_str!("../../../docs/websocket-tools.md");
    if let Value::Object(all) = value {
        for (key, value) in all {
            assert!(manual.contains(&format!("`{key}`")), "{key} is not explained");
            explained(value);
        }
    }
}

/// Proves that lines go out and come back in order, that the end of standard input loses none of the
/// answers, and that the server counts what it sent back.
#[test]
fn lines_come_back() {
    let echo = Echo::start(&["--json"]);
    let input: String = (0..5_000).map(|at| format!("line {at} ü\n")).collect();
    let output = played(&["connect", &echo.url], &input);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), input);
    assert_eq!(text(&output.stderr), "");
    let summary = objects(&echo.finish()).pop().unwrap();
    assert_eq!((&summary["connections"], &summary["messages"]), (&1.into(), &5_000.into()));
    assert_eq!(
        (&summary["bytes"], &summary["refused"]),
        (&(input.len() - 5_000).into(), &0.into())
    );
}

/// Proves that a message of megabytes comes back whole, as text and as bytes.
#[test]
fn long_lines_come_back() {
    let echo = Echo::start(&[]);
    let input = "0123456789abcdeü".repeat(200_000) + "\n";
    for options in [
        &["connect", echo.url.as_str(), "--count", "1"][..],
        &["connect", &echo.url, "--count", "1", "--binary"],
    ] {
        let mut child = start(options);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let mut came = String::new();
        child.stdout.take().unwrap().read_to_string(&mut came).unwrap();
        assert!(end(child).status.success());
        assert!(came == input, "{} of {} bytes", came.len(), input.len());
    }
}

/// Proves that messages, pings and the end are told as objects that the manual explains, and that what
/// is sent from the command line keeps the connection open until enough has come.
#[test]
fn what_happens_is_told_as_objects() {
    let echo = Echo::start(&[]);
    let output = played(
        &[
            "connect",
            &echo.url,
            "--json",
            "--send",
            "a",
            "--send",
            "b",
            "--ping",
            "--close-after",
            "0.3",
        ],
        "",
    );
    assert!(output.status.success(), "{output:?}");
    let all = objects(&text(&output.stdout));
    let kinds: Vec<_> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("open", "summary"));
    assert!(kinds.contains(&"pong"), "{kinds:?}");
    let said: Vec<_> = all.iter().filter_map(|object| object["text"].as_str()).collect();
    assert_eq!(said, ["a", "b"]);
    let summary = &all[all.len() - 1];
    assert_eq!((&summary["code"], &summary["received"]), (&1000.into(), &2.into()));
    assert!(summary["elapsed_s"].as_f64().unwrap() >= 0.3);
    let output = played(&["connect", &echo.url, "--json", "--binary", "--count", "1"], "\u{1}\n");
    assert_eq!(objects(&text(&output.stdout))[1]["hex"], "01");
}

/// Proves that a server that is asked to end says farewell with 1001, and that its guests end in order.
#[test]
fn the_end_of_a_server_is_a_farewell() {
    let echo = Echo::start(&[]);
    let mut client = start(&["connect", &echo.url, "--json", "--send", "here"]);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let _open = lines.next().unwrap().unwrap();
    assert!(lines.next().unwrap().unwrap().contains("here"));
    assert!(echo.finish().contains("1 message over 1 connection, 0 refused"));
    let summary: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&summary["code"], &summary["reason"]), (&1001.into(), &"the server ends".into()));
    assert!(end(client).status.success());
}

/// Proves that a load is answered and told, with messages under way and at a rate.
#[test]
fn loads_are_measured() {
    let echo = Echo::start(&[]);
    for (options, asked) in [(["--pipeline", "8"], None), (["--rate", "2k"], Some(2_000))] {
        let arguments =
            ["bench", &echo.url, "--connections", "3", "--size", "200", "--seconds", "0.5"];
        let output = played(&[&arguments[..], &options[..], &["--json"]].concat(), "");
        assert!(output.status.success(), "{output:?}");
        let summary = objects(&text(&output.stdout)).pop().unwrap();
        assert_eq!((&summary["wrong"], &summary["unanswered"]), (&0.into(), &0.into()));
        assert_eq!(summary["asked_messages_per_s"], asked.map_or(Value::Null, Value::from));
        let messages = summary["messages"].as_u64().unwrap();
        assert!(messages > 100 && asked.is_none_or(|_| messages <= 1_000), "{messages}");
        let latency = |key: &str| summary["latency_us"][key].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p999"));
        assert!(latency("p999") <= latency("max") * 1.01);
    }
    let output = played(&["bench", &echo.url, "--seconds", "0.1"], "");
    assert!(text(&output.stdout).contains("latency: 50 %"), "{output:?}");
}

/// Proves that what fails is told in one line that names the server, the file or the line, and by the
/// exit code.
#[test]
fn failures_are_named() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}/", listener.local_addr().unwrap())
    };
    let echo = Echo::start(&["--max-message", "10"]);
    let taken = echo.url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let url = echo.url.as_str();
    let cases: [(&[&str], &str, &[&str]); 8] = [
        (&["connect", &nobody], "", &[&nobody, "refused"]),
        (&["bench", &nobody], "", &[&nobody, "refused"]),
        (&["echo", "--listen", &taken], "", &["--listen: ", &taken]),
        (&["connect", url, "--ca", "/no/such"], "", &["--ca: ", "/no/such"]),
        (&["connect", url, "--header", "Origin: https://a.example"], "", &[url, "403"]),
        (&["connect", url], "12345678901\n", &[url, "1009"]),
        (&["connect", url, "--max-message", "3"], "abcd\n", &["standard input: line 1", "3 bytes"]),
        (
            &["bench", url, "--seconds", "0.1"],
            "",
            &[url, "1 × the server has closed with the code 1009"],
        ),
    ];
    for (arguments, input, names) in cases {
        let output = played(arguments, input);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.starts_with("tautline: "), "{errors}");
        names.iter().for_each(|name| assert!(errors.contains(name), "{name} in {errors}"));
    }
    let mut child = start(&["connect", url]);
    child.stdin.take().unwrap().write_all(b"\xff\n").unwrap();
    assert!(text(&end(child).stderr).contains("line 1 is no UTF-8: send it with --binary"));
}

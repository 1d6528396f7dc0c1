//! Exchange and gateway as a user meets them, on the loopback interface.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Long enough for any step here, so that a broken program fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tautline"));
    command.args(arguments.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A line that nobody sends to.
fn silence(test: u8) -> String {
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    format!("--line mcast://239.255.99.{test}:{port}?iface=lo")
}

/// A program that is killed if a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    /// One that has printed a line, and whose output nobody can read any more.
    fn unread(arguments: &str) -> Self {
        let mut child = command(arguments).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        Self(child)
    }

    /// Its exit code, if it ends within that time.
    fn ends_within(&mut self, time: Duration) -> Option<i32> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

/// Proves that a gateway whose books are in doubt at its end does not end like one whose books are sound,
/// and says why they are.
#[test]
fn doubt_at_the_end_is_no_success() {
    let output = command(&format!("gateway {} --for 100ms", silence(1))).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let last = told.lines().last().unwrap();
    let why = "tautline: the books are in doubt at the end: nothing was heard on 239.255.99.1:";
    assert!(last.starts_with(why), "{told}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("gateway-summary"));
}

/// Proves that a destination that refuses is told while the gateway runs, once, that nothing is kept back for
/// it at the end, and that the end names it.
#[test]
fn destinations_that_refuse_are_told() {
    // Has a port, so that nobody else gets it, and does not listen there.
    let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    holder.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let to = format!("tcp://{}", holder.local_addr().unwrap().as_socket().unwrap());
    let line = silence(2);
    let run = command(&format!("gateway {line} --to {to} --for 100ms --json")).output().unwrap();
    let reports = String::from_utf8(run.stdout).unwrap();
    let summary: Value = serde_json::from_str(reports.lines().last().unwrap()).unwrap();
    assert!(summary["elapsed_s"].as_f64().unwrap() < 2.0, "it waits for nobody: {summary}");
    assert_eq!(run.status.code(), Some(1));
    let told = String::from_utf8(run.stderr).unwrap();
    let refused = format!("tautline: {to}: cannot connect");
    assert_eq!(told.lines().filter(|line| line.starts_with(&refused)).count(), 1, "{told}");
    assert!(told.lines().last().unwrap().contains("nothing could be sent there"), "{told}");
}

/// Proves that a gateway that only prints ends when nobody can read it any more, in order, and that those who
/// serve others go on.
#[test]
fn who_only_prints_ends_with_its_reader() {
    for form in ["", "--json"] {
        let mut gateway = Running::unread(&format!("gateway {} {form}", silence(3)));
        assert_eq!(gateway.ends_within(PATIENCE), Some(0), "{form}");
    }
    let to = "--to tcp-listen://127.0.0.1:0";
    let mut serving = Running::unread(&format!("gateway {} {to}", silence(4)));
    let servers = "--replay 127.0.0.1:0 --snapshot 127.0.0.1:0 --loss 1%";
    let mut exchange = Running::unread(&format!("exchange {} {servers} --json", silence(5)));
    assert_eq!(serving.ends_within(Duration::from_millis(2500)), None);
    assert_eq!(exchange.ends_within(Duration::from_millis(100)), None);
}

/// Proves that a line is refused by the name of its argument, and that the options which are listed then are
/// those that it takes.
#[test]
fn lines_have_options_of_their_own() {
    let line = "--line mcast://239.255.99.6:9?iface=lo";
    let cases = [
        (format!("gateway {line}&foo=1"), "no option \"foo\"; known are iface, source, buffer"),
        (format!("gateway {line}&size=9"), "no option \"size\"; known are iface, source, buffer"),
        (format!("exchange {line}&foo=1"), "no option \"foo\"; known are iface, hops, loopback"),
        (
            format!("exchange {line}&queue=9"),
            "no option \"queue\"; known are iface, hops, loopback",
        ),
        (format!("gateway {line} {line}"), "tautline: --line: 239.255.99.6:9 is named twice"),
    ];
    for (arguments, why) in cases {
        let output = command(&arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(why), "{arguments}: {told}");
        assert!(told.contains("--line"), "{told}");
    }
    let most = format!("gateway {line}&buffer=1GiB --for 50ms");
    let told = String::from_utf8(command(&most).output().unwrap().stderr).unwrap();
    let less = "line 239.255.99.6:9: buffer: 1073741824 bytes were asked for and ";
    assert!(told.contains(less) || !told.contains("buffer"), "{told}");
}

/// Proves that a gateway that hears packets of the other format says so when it does, and at its end, and
/// that an exchange whose packets are crowded out says so once for each line.
#[test]
fn what_does_not_fit_is_told() {
    let line = silence(7);
    let servers = "--replay 127.0.0.1:0 --snapshot 127.0.0.1:0";
    let crowded = format!("exchange {line} {servers} --rate 20k --delay 2s --for 3s");
    let exchange = command(&crowded).spawn().unwrap();
    let mut exchange = Running(exchange);
    let gateway = format!("gateway {line} --format compact --for 2900ms");
    let output = command(&gateway).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let first = "are no packets of compact: try --format moldudp64";
    assert_eq!(told.lines().filter(|line| line.ends_with(first)).count(), 2, "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("doubt at the end") && last.contains("datagrams came"), "{told}");
    assert_eq!(exchange.ends_within(PATIENCE), Some(0));
    let mut told = String::new();
    exchange.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told.matches("packets are crowded out").count(), 1, "{told}");
}

/// Proves that books which have become sound again are told as loud as those in doubt, and that the end of a
/// session shows.
#[test]
fn recoveries_and_ends_are_told() {
    let line = silence(8);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let snapshot = format!("--snapshot {}", free.local_addr().unwrap());
    drop(free);
    let lossy = format!("exchange {line} {snapshot} --replay 127.0.0.1:0 --loss 5% --for 2s");
    let mut exchange = Running(command(&lossy).stderr(Stdio::null()).spawn().unwrap());
    let nobody = "--replay 127.0.0.1:1 --deadline 100ms";
    let gateway = format!("gateway {line} {snapshot} {nobody} --for 4s --json");
    let output = command(&gateway).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let [doubts, sound] =
        ["tautline: the books are in doubt: ", "tautline: the books are sound again"];
    assert!(told.contains(doubts) && told.contains(sound), "{told}");
    let reports = String::from_utf8(output.stdout).unwrap();
    let reports = reports.lines().map(|line| serde_json::from_str(line).unwrap());
    let reports: Vec<Value> = reports.collect();
    let summary = reports.last().unwrap();
    assert_eq!(summary["ended"], true, "{summary}");
    assert!(reports.iter().any(|report| report["ended"] == false));
    assert_eq!(exchange.ends_within(PATIENCE), Some(0));
}

/// Proves that a reader of quotes who goes away is told in the log and as the last word, and nowhere else.
#[test]
fn readers_who_go_are_not_told_in_the_table() {
    let to = "--to stdout: --for 5s";
    let mut gateway = command(&format!("gateway {} {to}", silence(9))).spawn().unwrap();
    drop(gateway.stdout.take());
    let mut gateway = Running(gateway);
    assert_eq!(gateway.ends_within(PATIENCE), Some(1));
    let mut told = String::new();
    gateway.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.lines().last().unwrap().contains("Broken pipe"), "{told}");
    let is_there = |line: &&str| line.contains("Broken pipe") && !line.starts_with("tautline: ");
    assert_eq!(told.lines().find(is_there), None, "{told}");
}

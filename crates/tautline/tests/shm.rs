//! Relays that are joined by shared memory: each a process of its own, started in either order,
//! stopped, killed and started again.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for any step here, so that a broken relay fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a packet of the built-in feed in these tests.
const SIZE: usize = 1_000;

/// A relay in a process of its own, which does not outlive the test.
struct Relay(Child);

impl Relay {
    fn start(from: &str, to: &str) -> Self {
        Self::start_with(from, to, Stdio::null())
    }

    fn start_with(from: &str, to: &str, input: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tautline"));
        command.args(["relay", "--json", "--from", from, "--to", to]);
        let command = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("the program was built"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    /// Kills it as the kernel does that has no memory left.
    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was started");
    }

    /// Waits for its end, and gives its summary.
    fn ends(mut self) -> serde_json::Value {
        let mut report = String::new();
        let reports = self.0.stdout.as_mut().expect("it is piped");
        reports.read_to_string(&mut report).expect("JSON is text");
        let mut error = String::new();
        self.0.stderr.as_mut().expect("it is piped").read_to_string(&mut error).expect("text");
        let code = self.0.wait().expect("it ends").code();
        // A turn in which it is stopped, or others have the cores, is a long one, and is told.
        let of_turn = |line: &&str| line.contains("a turn took") || line.contains("is blocked for");
        let told: Vec<_> = error.lines().filter(|line| !of_turn(line)).collect();
        assert!(code == Some(0) && told.is_empty(), "{code:?} {told:?} {report}");
        serde_json::from_str(report.lines().last().expect("a summary")).expect("an object")
    }

    /// Asks it to end, and gives its summary.
    fn finish(self) -> serde_json::Value {
        self.signal(Signal::INT);
        self.ends()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The URL of a channel that no other test has.
fn channel(name: &str) -> String {
    format!("shm://program{}/{name}", std::process::id())
}

/// Where the last relay connects to.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    (listener, format!("tcp://{address}?policy=wait"))
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("the relay connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option that exists");
    stream
}

/// The number of the next packet of the built-in feed, or the end.
fn number(stream: &mut TcpStream) -> Option<u64> {
    let mut packet = [0; 2 + SIZE];
    stream.read_exact(&mut packet).ok()?;
    assert_eq!(usize::from(u16::from_be_bytes([packet[0], packet[1]])), SIZE);
    Some(u64::from_be_bytes(packet[10..18].try_into().expect("eight bytes")))
}

fn wait_for_length(path: &Path, len: u64) {
    let start = Instant::now();
    while fs::metadata(path).map_or(0, |it| it.len()) < len {
        assert!(start.elapsed() < PATIENCE, "only a part has come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn count(summary: &serde_json::Value, endpoint: usize, key: &str) -> u64 {
    summary["endpoints"][endpoint][key].as_u64().expect("a number")
}

fn drops(summary: &serde_json::Value, endpoint: usize) -> u64 {
    let drops = summary["endpoints"][endpoint]["drops"].as_object().expect("counts by reason");
    drops.values().map(|count| count.as_u64().expect("a number")).sum()
}

/// Proves that all that goes into one relay comes out of the other, byte by byte, whichever of the
/// two is started first, and although the first one ends while the second still reads.
#[test]
fn chain_loses_nothing_in_either_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    let bytes: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_be_bytes).collect();
    fs::write(&input, &bytes).expect("there is room");
    let url = channel("chain");
    let (from, to) = ("stdin:?framing=raw&size=1400", format!("{url}?policy=wait"));
    let recording = format!("file:{}?framing=raw&policy=wait", output.display());
    let writer =
        || Relay::start_with(from, &to, fs::File::open(&input).expect("it is there").into());
    let reader = || Relay::start(&url, &recording);
    for reader_first in [true, false] {
        let (first, second) = if reader_first {
            let reader = reader();
            std::thread::sleep(Duration::from_millis(200));
            (writer(), reader)
        } else {
            let writer = writer();
            std::thread::sleep(Duration::from_millis(200));
            (writer, reader())
        };
        assert_eq!(drops(&first.ends(), 1), 0);
        wait_for_length(&output, bytes.len() as u64);
        assert_eq!(drops(&second.finish(), 0), 0);
        assert!(fs::read(&output).expect("it was written") == bytes, "first: {reader_first}");
        fs::remove_file(&output).expect("it is there");
    }
}

/// Proves that a reader that is killed holds the relay up for no moment, and that the next one gets
/// what is sent from then on, each packet once and in order.
#[test]
fn killed_reader_is_followed_by_another() {
    let (listener, peer) = listen();
    let url = channel("reader");
    let writer = Relay::start(&format!("demo:?rate=2k&size={SIZE}"), &url);
    let mut last = 0;
    for _ in 0..4 {
        let reader = Relay::start(&url, &peer);
        let mut stream = accept(&listener);
        let first = number(&mut stream).expect("the feed comes");
        assert!(last == 0 || first > last, "{first} comes after {last}");
        last = first;
        for _ in 0..500 {
            let next = number(&mut stream).expect("the feed goes on");
            assert!(next > last, "{next} comes after {last}");
            last = next;
        }
        reader.kill();
        while let Some(next) = number(&mut stream) {
            last = next;
        }
    }
    // It was never held up: all that was due was taken.
    let summary = {
        let _reader = Relay::start(&url, &peer);
        let _stream = accept(&listener);
        writer.finish()
    };
    assert!(count(&summary, 0, "packets") > last);
}

/// Proves that a writer that is killed leaves the reader where it is, with the same connection behind
/// it, and that the next writer is received from.
#[test]
fn killed_writer_is_followed_by_another() {
    let (listener, peer) = listen();
    let url = channel("writer");
    let reader = Relay::start(&url, &peer);
    let mut stream = accept(&listener);
    // Under `wait` what a busy machine makes late is not dropped.
    let patient = format!("{url}?policy=wait");
    for _ in 0..4 {
        let writer = Relay::start(&format!("demo:?rate=5k&size={SIZE}"), &patient);
        // Behind what the last one has left.
        let start = Instant::now();
        while number(&mut stream).expect("the feed comes") != 0 {
            assert!(start.elapsed() < PATIENCE, "the next feed does not come");
        }
        for expected in 1..300 {
            assert_eq!(number(&mut stream), Some(expected));
        }
        writer.kill();
    }
    reader.signal(Signal::INT);
    while number(&mut stream).is_some() {}
    assert_eq!(drops(&reader.ends(), 0), 0);
}

/// Proves that a reader that is stopped does not hold the relay up, that what it loses is counted to
/// the packet, and that it goes on with what is there.
#[test]
fn stopped_reader_loses_what_is_counted() {
    let (listener, peer) = listen();
    let url = channel("stopped");
    let reader = Relay::start(&url, &peer);
    let mut stream = accept(&listener);
    let writer = Relay::start(&format!("demo:?rate=5k&size={SIZE}"), &format!("{url}?queue=16"));
    assert_eq!(number(&mut stream), Some(0));
    reader.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(500));
    reader.signal(Signal::CONT);
    let (mut read, mut last) = (1, 0);
    let mut gap = 0;
    while gap == 0 {
        let next = number(&mut stream).expect("the feed goes on");
        (gap, last, read) = (next - last - 1, next, read + 1);
    }
    let sent = writer.finish();
    reader.signal(Signal::INT);
    while number(&mut stream).is_some() {
        read += 1;
    }
    let received = reader.ends();
    assert!(drops(&sent, 1) >= gap && gap > 100, "{gap} in {sent}");
    assert_eq!(count(&sent, 0, "packets"), count(&sent, 1, "packets") + drops(&sent, 1), "{sent}");
    assert_eq!(count(&received, 0, "packets"), count(&sent, 1, "packets"), "{received}");
    assert_eq!(read, count(&received, 1, "packets"), "{received}");
}

/// Proves that relays that were killed leave nothing by which a channel could be found.
#[test]
fn killed_relays_leave_nothing() {
    let (listener, peer) = listen();
    let url = channel("left");
    let relays = [Relay::start(&url, &peer), Relay::start("demo:?rate=1k&size=1000", &url)];
    assert!(number(&mut accept(&listener)).is_some());
    relays.into_iter().for_each(Relay::kill);
    let list = Command::new(env!("CARGO_BIN_EXE_tautline")).args(["bus", "list"]).output();
    let list = String::from_utf8(list.expect("the program was built").stdout).expect("text");
    let name = url.strip_prefix("shm://").expect("such a URL");
    assert!(!list.contains(name), "{list}");
}

//! Standard streams that others share: what went before, what comes after, what lies between.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

const STDOUT: &str = "stdout:?framing=raw&policy=wait";
const STDIN: &str = "stdin:?framing=raw";

fn relay(from: &str, to: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tautline"));
    command.args(["relay", "--from", from, "--to", to]).stderr(Stdio::null());
    command
}

fn succeeds(status: std::io::Result<ExitStatus>) {
    assert!(status.expect("the program was built").success());
}

/// A temporary file with these bytes, at its start.
fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary folder");
    file.write_all(bytes).expect("room on the disk");
    file.seek(SeekFrom::Start(0)).expect("it is a file");
    file
}

fn contents(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("it is a file");
    file.read_to_end(&mut bytes).expect("it was written");
    bytes
}

fn feed() -> Vec<u8> {
    (0..2_000_000_u32).map(|n| (n ^ (n >> 9)) as u8).collect()
}

/// Proves that a relay in the middle of a script whose output goes to a file leaves what is before
/// it, and is left whole by what comes behind it.
#[test]
fn output_file_is_gone_on_with() {
    let mut out = file(b"");
    out.write_all(b"header\n").expect("room on the disk");
    let same = out.try_clone().expect("a descriptor is left");
    succeeds(relay(STDIN, STDOUT).stdin(file(&feed())).stdout(same).status());
    out.write_all(b"trailer\n").expect("room on the disk");
    assert!(contents(out) == [b"header\n", &feed()[..], b"trailer\n"].concat());
}

/// Proves that reports and data that go to one file lie behind each other.
#[test]
fn reports_and_data_share_a_file() {
    let out = file(b"");
    let clone = || out.try_clone().expect("a descriptor is left");
    let data = &feed()[..50_000];
    succeeds(relay(STDIN, STDOUT).stdin(file(data)).stdout(clone()).stderr(clone()).status());
    let all = contents(out);
    assert!(all.windows(data.len()).any(|part| part == data), "the data is in one piece");
    let reports = String::from_utf8_lossy(&all);
    assert!(reports.contains("summary of") && reports.trim_end().ends_with("no drops counted"));
}

/// Proves that an input file is read from where it stands, and that whoever comes next finds it
/// at its end.
#[test]
fn input_file_is_gone_on_with() {
    let mut input = file(&feed());
    input.read_exact(&mut [0; 1_000]).expect("it is longer");
    let same = input.try_clone().expect("a descriptor is left");
    let output = relay(STDIN, STDOUT).stdin(same).output().expect("the program was built");
    assert!(output.stdout == feed()[1_000..]);
    assert_eq!(input.stream_position().expect("it is a file"), feed().len() as u64);
}

/// Proves that sockets as standard streams stay blocking for the others who have them, while the
/// relay waits on both sides without holding up its loop.
#[test]
fn shared_sockets_stay_blocking() {
    let pair = || UnixStream::pair().expect("descriptors are left");
    let ((mut feed_in, stdin), (mut feed_out, stdout)) = (pair(), pair());
    let (input, output) = (stdin.try_clone().unwrap(), stdout.try_clone().unwrap());
    let mut child = relay(STDIN, STDOUT)
        .stdin(OwnedFd::from(stdin))
        .stdout(OwnedFd::from(stdout))
        .spawn()
        .expect("the program was built");
    let (sent, mut got) = (feed(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            feed_in.write_all(&sent).expect("the relay reads");
            for stream in [&input, &output] {
                let flags = rustix::fs::fcntl_getfl(stream).expect("it is open");
                assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
            }
            feed_in.shutdown(std::net::Shutdown::Write).expect("it is connected");
        });
        feed_out.set_read_timeout(Some(Duration::from_secs(20))).expect("an option that exists");
        got.resize(sent.len(), 0);
        feed_out.read_exact(&mut got).expect("everything comes");
    });
    assert!(got == sent);
    succeeds(child.wait());
}

/// Proves that a reader of standard output who has stopped reading does not keep a relay alive that
/// was told to end, and that what was under way counts as lost.
#[test]
fn stuck_reader_does_not_keep_it_alive() {
    let (reader, stdout) = UnixStream::pair().expect("descriptors are left");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tautline"))
        .args(["relay", "--from", "demo:?rate=10k", "--to", "stdout:", "--for", "1s"])
        .stdout(OwnedFd::from(stdout))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    for _ in 0..2_000 {
        if child.try_wait().expect("it was started").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Without this it would end late instead of never.
    let ended = child.try_wait().expect("it was started");
    drop(reader);
    let output = child.wait_with_output().expect("it is piped");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(ended.is_some_and(|status| status.success()), "{report}");
    assert!(report.contains("PACKETS LOST"), "{report}");
}

/// Proves that reports and notices that nobody reads hold up neither the feed nor a signal.
#[test]
fn unread_reports_hold_up_nothing() {
    let subscribers = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let to = format!("tcp://{}", subscribers.local_addr().expect("it is bound"));
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let mut full = writer.try_clone().expect("a descriptor is left");
    full.write_all(&[b'x'; 64 << 10]).expect("a pipe takes so much");
    let stderr = writer.try_clone().expect("a descriptor is left");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tautline"))
        .args(["relay", "--from", "demo:?rate=1000&size=98", "--to", &to])
        .stdout(writer)
        .stderr(stderr)
        .spawn()
        .expect("the program was built");
    let (mut subscriber, _) = subscribers.accept().expect("the relay connects");
    subscriber.read_exact(&mut [0; 200_000]).expect("two seconds of the feed come");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it runs");
    std::thread::spawn(move || std::io::copy(&mut subscriber, &mut std::io::sink()));
    for _ in 0..800 {
        if child.try_wait().expect("it was started").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().expect("it was started");
    let _ = child.kill();
    drop(reader);
    assert_eq!(ended.map(|status| status.code()), Some(Some(0)));
}

//! The tools for multicast as a user meets them, on the loopback interface.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tautline_feed::format::{Builder, Compact, Session};

/// Long enough for any step here, so that a broken tool fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A group that no other test has, at a port that nobody has.
fn group() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [_, process] = (std::process::id() as u16).to_be_bytes();
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    (Ipv4Addr::new(239, 100 + high, process, low), port).into()
}

/// How many have joined a group, as the kernel lists them.
fn members(group: SocketAddr) -> u32 {
    let SocketAddr::V4(group) = group else { panic!("the list is of IPv4") };
    let name = format!("{:08X}", u32::from_ne_bytes(group.ip().octets()));
    let list = fs::read_to_string("/proc/net/igmp").unwrap();
    let line = list.lines().find_map(|line| line.trim_start().strip_prefix(&name));
    line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
}

/// A tool that runs.
struct Tool(Option<Child>);

impl Tool {
    fn start(arguments: &str) -> Self {
        Self::start_with(arguments, Stdio::piped())
    }

    fn start_with(arguments: &str, stdin: Stdio) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tautline"))
            .arg("mcast")
            .args(arguments.split_whitespace())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(Some(child.expect("the program was built")))
    }

    /// Starts one that joins, and waits until it has.
    fn joined(command: &str, group: SocketAddr, options: &str) -> Self {
        let before = members(group);
        let tool = Self::start(&format!("{command} {group} --iface lo {options}"));
        let end = Instant::now() + PATIENCE;
        while members(group) == before {
            assert!(Instant::now() < end, "{group} is not joined");
            thread::sleep(Duration::from_millis(5));
        }
        tool
    }

    fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, which: &str) {
        let process = self.0.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([which, &process]).status().unwrap().success());
    }

    /// Its standard input, which ends here.
    fn type_in(&mut self, text: &str) {
        let mut stdin = self.0.as_mut().unwrap().stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end, which must be in order.
    fn end(self) -> String {
        let output = self.output();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(mut self) -> Output {
        let mut child = self.0.take().unwrap();
        drop(child.stdin.take());
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

    /// What it prints, as JSON, the summary last and apart. The manual explains every key.
    fn objects(self) -> (Vec<Value>, Value) {
        let text = self.end();
        let mut objects: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        objects.iter().for_each(explained);
        let summary = objects.pop().unwrap();
        assert_eq!(summary["kind"], "summary");
        (objects, summary)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Proves that the manual has each key of an object, and of those within it.
fn explained(value: &Value) {
    let manual = include_str!("../../../docs/multicast-tools.md");
    match value {
        Value::Array(all) => all.iter().for_each(explained),
        Value::Object(all) => all.iter().for_each(|(key, value)| {
            assert!(manual.contains(&format!("`{key}`")), "{key} is not explained");
            explained(value);
        }),
        _ => {}
    }
}

/// A socket that sends to groups by the loopback interface, from that address.
fn sender(from: &str) -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.into()
}

fn numbered(number: u64) -> Vec<u8> {
    let mut room = [0; 64];
    let mut builder = Builder::<Compact>::new(&mut room, Session::of_number(7), number).unwrap();
    builder.push(b"message").unwrap();
    builder.finish().to_vec()
}

/// Proves that numbered packets come with all that is known of each, in every layout, and that their
/// numbers are explained.
#[test]
fn packets_are_received_with_all_that_is_known() {
    for (layout, format, size) in [("compact", "compact", 60), ("moldudp64", "moldudp64", 100)] {
        let group = group();
        let receiver = Tool::joined("recv", group, "--json --hex --count 50");
        let options =
            format!("--iface lo --rate 10k --count 50 --format {layout} --size {size} --json");
        let (_, sent) = Tool::start(&format!("send {group} {options}")).objects();
        let (packets, summary) = receiver.objects();
        assert_eq!((&sent["packets"], &sent["next"]), (&50.into(), &51.into()));
        assert_eq!(packets.len(), 50);
        for (packet, number) in packets.iter().zip(1..) {
            assert_eq!(
                (&packet["feed"]["number"], &packet["feed"]["format"]),
                (&number.into(), &format.into())
            );
            assert_eq!(packet["feed"]["stream"], sent["session"]);
            assert_eq!(
                (&packet["group"], &packet["interface"]),
                (&group.to_string().into(), &"lo".into())
            );
            assert_eq!((&packet["len"], &packet["dropped"]), (&size.into(), &0.into()));
            assert!(
                packet["time"].as_str().unwrap().ends_with('Z') && packet["source"].is_string()
            );
            assert_eq!(packet["hex"].as_str().unwrap().len(), 2 * size);
        }
        assert_eq!((&summary["packets"], &summary["lost"]), (&50.into(), &0.into()));
    }
}

/// Proves that what is lost, late and doubled is told for each sender, and that the end names what is
/// missing.
#[test]
fn losses_are_told_for_each_sender() {
    let group = group();
    let meter = Tool::joined("rate", group, "--json --every 0.05 --count 9");
    let text = Tool::joined("rate", group, "--count 9");
    let (one, two) = (sender("127.0.0.1"), sender("127.0.0.2"));
    for number in [1, 2, 6, 5, 5, 7] {
        one.send_to(&numbered(number), group).unwrap();
    }
    for number in [1, 2, 3] {
        two.send_to(&numbered(number), group).unwrap();
    }
    let (reports, summary) = meter.objects();
    assert!(reports.iter().all(|report| report["kind"] == "interval"));
    let of = |socket: &UdpSocket| {
        let address = socket.local_addr().unwrap().to_string();
        let sources = summary["sources"].as_array().unwrap();
        let row = sources.iter().find(|row| row["source"] == address).unwrap();
        ["packets", "lost", "reordered", "duplicates"].map(|key| row[key].as_u64().unwrap())
    };
    assert_eq!((of(&one), of(&two)), ([6, 2, 1, 1], [3, 0, 0, 0]));
    let text = text.end();
    assert!(
        text.ends_with("\n2 LOST\n")
            && text.contains("lost 2 of 7 numbers (28.57 %)  late 1  copies 1"),
        "{text}"
    );
}

/// Proves that what the kernel drops is told, and once, also if no packet comes after it.
#[test]
fn drops_are_told_without_a_packet_behind_them() {
    for command in ["recv", "rate"] {
        let group = group();
        let tool = Tool::joined(command, group, "--buffer 4096 --format plain --json");
        tool.signal("-STOP");
        let socket = sender("127.0.0.1");
        (0..300).for_each(|_| _ = socket.send_to(&[0; 500], group).unwrap());
        tool.signal("-CONT");
        // What was kept is read by then, and all else was dropped when it was sent.
        thread::sleep(Duration::from_millis(1_500));
        tool.interrupt();
        let (objects, summary) = tool.objects();
        let sum = |key: &str| summary[key].as_u64().unwrap();
        assert_eq!(sum("packets") + sum("dropped"), 300, "{summary}");
        assert!(sum("dropped") > 100, "{summary}");
        if command == "rate" {
            assert_eq!(objects.last().unwrap()["dropped"], summary["dropped"]);
        }
    }
}

/// Proves that `recv` ends in time although nobody reads what it prints, and that it says so.
#[test]
fn who_does_not_read_holds_up_no_end() {
    let group = group();
    let tool = Tool::joined("recv", group, "--hex");
    let socket = sender("127.0.0.1");
    for _ in 0..100 {
        (0..10).for_each(|_| _ = socket.send_to(&[0; 500], group).unwrap());
        thread::sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    tool.interrupt();
    let output = tool.output();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{told}");
    assert!(told.contains("standard output: nobody read on for 2 s"), "{told}");
}

/// Proves that what is named twice is refused, and an interface also by two of its names.
#[test]
fn what_is_named_twice_is_refused() {
    let refused = |arguments: &str| {
        let output = Tool::start(arguments).output();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for command in ["recv", "rate"] {
        let (code, told) = refused(&format!("{command} 239.1.1.1:5000 239.1.1.1:5000 --iface lo"));
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("239.1.1.1:5000 is named twice: name it once"), "{told}");
        let (code, told) =
            refused(&format!("{command} 239.1.1.1:5000 --iface lo --iface 127.0.0.1"));
        assert_eq!(code, Some(1), "{told}");
        let wanted = "--iface: lo and 127.0.0.1 are one interface; name it once";
        assert!(told.contains(wanted), "{told}");
    }
}

/// Proves that `--check` ends with exit code 1 if something was lost or nothing came, and else with 0.
#[test]
fn a_check_fails_if_something_is_missing() {
    let cases: [(&[u64], i32, &str); 3] =
        [(&[1, 2], 0, ""), (&[1, 3], 1, "--check: 1 LOST"), (&[], 1, "--check: nothing came")];
    for command in ["recv", "rate"] {
        for (numbers, code, wanted) in cases {
            let group = group();
            let tool = Tool::joined(command, group, "--check --for 1s --count 2");
            let socket = sender("127.0.0.1");
            numbers.iter().for_each(|it| _ = socket.send_to(&numbered(*it), group).unwrap());
            let output = tool.output();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{told}");
            assert!(told.contains(wanted) && told.is_empty() == wanted.is_empty(), "{told}");
        }
    }
}

/// Proves that Ctrl-C ends each tool in order, with a summary.
#[test]
fn an_interrupt_gives_a_summary() {
    let group = group();
    for command in ["recv", "rate"] {
        let tool = Tool::joined(command, group, "");
        tool.interrupt();
        let text = tool.end();
        assert!(text.contains("summary of ") && text.ends_with("nothing came\n"), "{text}");
    }
    let witness = Tool::joined("recv", group, "--count 3");
    let tool = Tool::start(&format!("send {group} --iface lo --rate 1000"));
    witness.end();
    tool.interrupt();
    let text = tool.end();
    assert!(text.contains(" packets, ") && text.contains(&group.to_string()), "{text}");
}

/// Proves that a tool whose reader has stopped reading is ended by a second Ctrl-C.
#[test]
fn a_second_interrupt_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcap");
    // Far more lines than a pipe holds, of datagrams with nothing in them.
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat();
    let udp: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 1, 17, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1, 0, 7, 0, 9, 0, 8, 0, 0,
    ];
    let record = [&[1u32, 0, 28, 28].map(u32::to_le_bytes).concat()[..], &udp].concat();
    fs::write(&file, [header, record.repeat(100_000)].concat()).unwrap();
    let mut tool = Tool::start(&format!("dump {}", file.display()));
    let child = tool.0.as_mut().unwrap();
    // It prints, and then waits for somebody to read on.
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 64]).unwrap();
    thread::sleep(Duration::from_millis(100));
    tool.interrupt();
    thread::sleep(Duration::from_millis(100));
    assert!(tool.0.as_mut().unwrap().try_wait().unwrap().is_none(), "it waits");
    tool.interrupt();
    assert_eq!(tool.output().status.code(), Some(130));
    drop(stdout);
}

/// Proves that what was received goes into a capture as it was, and out of it again: printed, and
/// sent.
#[test]
fn captures_hold_what_came_and_are_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcap").display().to_string();
    let (group, other) = (group(), group());
    let writer = Tool::joined("recv", group, &format!("--count 4 --write {file}"));
    let socket = sender("127.0.0.2");
    let payloads = ["one", "", "three\n", "\u{e9}"];
    for payload in payloads {
        socket.send_to(payload.as_bytes(), group).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(writer.end().starts_with("summary of "), "packets are not printed");
    let texts = |packets: &[Value]| -> Vec<String> {
        packets.iter().map(|packet| packet["text"].as_str().unwrap().to_owned()).collect()
    };
    let (packets, summary) = Tool::start(&format!("dump {file} --json")).objects();
    assert_eq!(
        (texts(&packets), &summary["skipped"]),
        (payloads.map(str::to_owned).to_vec(), &0.into())
    );
    let source = socket.local_addr().unwrap().to_string();
    assert!(packets.iter().all(|it| it["source"] == source && it["group"] == group.to_string()));
    let receiver = Tool::joined("recv", other, "--count 4 --json");
    let before = Instant::now();
    Tool::start(&format!("send {other} --iface lo --read {file} --speed 0.5")).end();
    assert!(before.elapsed() > Duration::from_millis(110), "pauses are twice as long");
    assert_eq!(texts(&receiver.objects().0), payloads);
    // A pipe that brings its first packet late has the same pauses behind it.
    let mut late = Tool::start(&format!("send {other} --iface lo --read - --speed 0.5"));
    thread::sleep(Duration::from_millis(300));
    let mut stdin = late.0.as_mut().unwrap().stdin.take().unwrap();
    let before = Instant::now();
    stdin.write_all(&fs::read(&file).unwrap()).unwrap();
    drop(stdin);
    late.end();
    assert!(before.elapsed() > Duration::from_millis(110), "pauses are twice as long");
}

/// Proves that `-` is standard output and input: a capture goes through a pipe as it is received, what is
/// printed goes elsewhere, and whoever reads from the pipe sees each packet when it has come.
#[test]
fn captures_go_through_pipes() {
    let (group, other) = (group(), group());
    let mut writer = Tool::joined("recv", group, "--count 2 --for 20s --write -");
    let capture = writer.0.as_mut().unwrap().stdout.take().unwrap();
    let mut reader = Tool::start_with("dump - --text", capture.into());
    let mut lines = BufReader::new(reader.0.as_mut().unwrap().stdout.take().unwrap()).lines();
    for payload in ["one", "two"] {
        sender("127.0.0.1").send_to(payload.as_bytes(), group).unwrap();
        let line = lines.next().expect("it is shown at once").unwrap();
        assert!(line.ends_with(&format!("3 bytes  {payload}")), "{line}");
    }
    let output = writer.output();
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && summary.contains(" 2 packets, 6 B"), "{summary}");
    assert!(lines.any(|line| line.unwrap().contains(" 2 packets, 6 B")));
    assert!(reader.output().status.success());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcap");
    let writer = Tool::joined("recv", group, &format!("--count 1 --write {}", file.display()));
    sender("127.0.0.1").send_to(b"again", group).unwrap();
    writer.end();
    let receiver = Tool::joined("recv", other, "--count 1 --text");
    let file = fs::File::open(file).unwrap();
    Tool::start_with(&format!("send {other} --iface lo --read -"), file.into()).end();
    assert!(receiver.end().contains(" 5 bytes  again\n"));
}

/// Proves that whoever has seen enough of a capture ends it in order, with the summary.
#[test]
fn who_reads_no_further_ends_a_capture() {
    let group = group();
    let mut tool = Tool::joined("recv", group, "--write -");
    drop(tool.0.as_mut().unwrap().stdout.take());
    sender("127.0.0.1").send_to(b"to nobody", group).unwrap();
    let output = tool.output();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.starts_with(b"summary of "), "{output:?}");
}

/// Proves that a buffer that the kernel does not grant in full is told of, with the setting to raise.
#[test]
fn a_buffer_that_is_not_granted_is_told() {
    let most = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    let most: u64 = most.trim().parse().unwrap();
    let told = |bytes: u64| {
        let options = format!("recv {} --iface lo --for 10ms --buffer {bytes}", group());
        let output = Tool::start(&options).output();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(told(most.min(1 << 20)), "");
    // More than that cannot be asked for.
    if most < 1 << 30 {
        let text = told(1 << 30);
        let wanted = format!("--buffer: 1073741824 bytes were asked for and {most} granted: raise");
        assert!(text.contains(&wanted) && text.lines().count() == 1, "{text}");
    }
}

/// Proves that a sender that does not reach its rate says so while it runs, once, and at the end.
#[test]
fn a_rate_that_is_not_reached_is_told() {
    let group = group();
    let options = "--iface lo --rate 1000M --size 65507 --for 2500ms";
    let output = Tool::start(&format!("send {group} {options}")).output();
    assert!(output.status.success(), "{output:?}");
    let (told, notice) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(told.contains(": 1.0G pkt/s were asked for and "), "{told}");
    assert!(notice.contains("1.0G pkt/s were asked for") && notice.contains("; ask for less"));
    assert_eq!(notice.lines().count(), 1, "{notice}");
    let tool = Tool::start(&format!("send {group} --iface lo --count 20 --json"));
    let (_, summary) = tool.objects();
    assert_eq!(summary["asked_packets_per_s"], 1000.0);
    let mut tool = Tool::start(&format!("send {group} --iface lo --count 1"));
    tool.type_in("");
    let told = tool.end();
    assert!(told.contains(": 1 packet, ") && !told.contains("asked for"), "{told}");
}

/// Proves that lines are packets, the last one also without its end, and that text shows what cannot
/// be printed without printing it.
#[test]
fn lines_are_packets() {
    let group = group();
    let receiver = Tool::joined("recv", group, "--count 3 --text");
    let mut sender = Tool::start(&format!("send {group} --iface lo --stdin"));
    sender.type_in("hello\n\na\x1b[2Jb");
    assert!(sender.end().starts_with("summary of "));
    let text = receiver.end();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with(" 5 bytes  hello") && lines[1].contains(" 0 bytes"), "{text}");
    assert!(lines[2].ends_with(" 6 bytes  a\\x1b[2Jb"), "{text}");
}

/// Proves that nothing is heard but the senders that were named.
#[test]
fn only_named_senders_are_heard() {
    let group = group();
    let receiver = Tool::joined("recv", group, "--source 127.0.0.2 --count 2 --json");
    for number in 0..2 {
        sender("127.0.0.1").send_to(b"a stranger", group).unwrap();
        sender("127.0.0.2").send_to(&[b'0' + number], group).unwrap();
    }
    let (packets, _) = receiver.objects();
    assert!(packets.iter().zip(["0", "1"]).all(|(it, wanted)| it["text"] == wanted), "{packets:?}");
}

/// Proves that `rate` ends, in order, when whoever read it has seen enough.
#[test]
fn who_is_not_read_any_more_ends() {
    let mut tool = Tool::joined("rate", group(), "--every 0.05 --json");
    let mut first = [0; 1];
    let mut stdout = tool.0.as_mut().unwrap().stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    assert_eq!((&first, tool.end().as_str()), (b"{", ""));
}

/// Proves that a tool takes nothing from a program of this host that is sent datagrams at the same port.
#[test]
fn programs_at_the_same_port_lose_nothing() {
    let group = group();
    let program = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    program.set_reuse_address(true).unwrap();
    program.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, group.port())).into()).unwrap();
    let program = UdpSocket::from(program);
    program.set_read_timeout(Some(PATIENCE)).unwrap();
    let tool = Tool::joined("recv", group, "--json");
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, group.port()));
    sender("127.0.0.1").send_to(b"for the program", here).unwrap();
    let mut bytes = [0; 64];
    let len = program.recv(&mut bytes).expect("the tool has it");
    assert_eq!(&bytes[..len], b"for the program");
    tool.interrupt();
    assert!(tool.objects().0.is_empty());
}

/// Proves that what cannot be done is told in one line with its name and a remedy, and exit code 1.
#[test]
fn failures_are_one_line_and_code_1() {
    let group = group();
    for (arguments, names) in [
        (format!("recv {group} --iface none0"), &["none0", "lo"][..]),
        (format!("send {group} --iface 203.0.113.7"), &["203.0.113.7", "lo"]),
        (format!("recv {group} --iface lo --write /nowhere/a"), &["/nowhere/a", "make the folder"]),
        ("dump /nowhere/a".to_owned(), &["/nowhere/a", "No such file", "write the name of"]),
        (format!("dump {}", file!()), &["mcast.rs"]),
        (
            format!("send {group} --iface lo --read /nowhere/a"),
            &["/nowhere/a", "write the name of"],
        ),
    ] {
        let output = Tool::start(&arguments).output();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), line.lines().count()),
            (Some(1), 1),
            "{arguments}: {line}"
        );
        assert!(output.stdout.is_empty(), "{arguments}: nothing is told of what did not happen");
        assert!(names.iter().all(|name| line.contains(name)), "{arguments}: {line}");
    }
}

/// Proves that a damaged capture is printed up to the damage, and that whoever reads no further is no
/// failure.
#[test]
fn damaged_captures_are_printed_to_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcap");
    let group = group();
    let writer = Tool::joined("recv", group, &format!("--count 2 --write {}", file.display()));
    let socket = sender("127.0.0.1");
    for payload in ["one", "two"] {
        socket.send_to(payload.as_bytes(), group).unwrap();
    }
    writer.end();
    let mut bytes = fs::read(&file).unwrap();
    bytes.pop();
    fs::write(&file, &bytes).unwrap();
    let output = Tool::start(&format!("dump {} --text", file.display())).output();
    let (told, line) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told.contains("  one\n") && told.contains("summary of ") && !told.contains("two"),
        "{told}"
    );
    assert!(line.contains("damaged behind packet 1: the file ends"), "{line}");
    let mut tool = Tool::start(&format!("dump {}", file.display()));
    // The reader goes before anything is written, or behind the first bytes.
    let mut stdout = tool.0.as_mut().unwrap().stdout.take().unwrap();
    let _ = stdout.read(&mut [0; 1]);
    drop(stdout);
    assert!(matches!(tool.output().status.code(), Some(0 | 1)));
}

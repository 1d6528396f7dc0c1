//! Channels of the bus on both sides of a relay, on both drivers. What other processes do is in the
//! program's tests.

mod common;

use std::io::Write;
use std::time::Duration;

use common::{DRIVERS, PATIENCE, Running, any, config, connect, framed, read_packet};
use tautline_bus::Shared;
use tautline_bus::bytes::{Bytes, Config, Receiver};
use tautline_relay::stats::EndpointState;
use tautline_relay::{DriverChoice, RunError};

/// The channel of that name, as a program has it that says nothing of its shape.
fn open(name: &str) -> Bytes<Shared> {
    Bytes::open(namespace(), name, Config::default()).unwrap()
}

fn namespace() -> String {
    format!("relay{}", std::process::id())
}

/// A name for each driver, for both run one behind the other.
fn shm(name: &str, driver: DriverChoice) -> (String, String) {
    let name = format!("{name}-{driver:?}");
    (format!("shm://{}/{name}", namespace()), name)
}

fn receive(from: &mut Receiver<Shared>) -> Vec<u8> {
    from.receive_timeout(PATIENCE).expect("a message comes").view().to_vec()
}

/// Lengths at the borders, and some others.
const LENGTHS: [usize; 8] = [0, 1, 7, 8, 1_200, 40_000, 65_535, 3];

/// Proves that packets of every length go through channels as they are, in order, each by itself.
#[test]
fn packets_keep_their_boundaries() {
    for driver in DRIVERS {
        let ((from, source), (to, sink)) = (shm("in", driver), shm("out", driver));
        let relay = Running::start(config(driver, &from, &[&format!("{to}?policy=wait")]));
        let (source, sink) = (open(&source), open(&sink));
        let (mut sender, mut receiver) = (source.sender().unwrap(), sink.receiver().unwrap());
        for round in 0..20_u8 {
            for len in LENGTHS {
                sender.send(&vec![round; len]).unwrap();
                assert_eq!(receive(&mut receiver), vec![round; len], "{len} bytes");
            }
        }
        let report = relay.until(|report| report.endpoints[1].rates.packets == 160);
        assert_eq!((report.endpoints[0].peers, report.endpoints[1].peers), (1, 1));
        let end = relay.finish();
        assert!(end.endpoints.iter().all(|end| end.drops.total() == 0), "{end:?}");
    }
}

/// Proves that a reader that comes late gets all that was sent under `wait`, and that the source
/// stands still as long.
#[test]
fn late_reader_gets_everything_under_wait() {
    for driver in DRIVERS {
        let (to, name) = shm("late", driver);
        let to = format!("{to}?policy=wait&queue=4");
        let relay = Running::start(config(driver, &any("tcp-listen"), &[&to]));
        let mut feed = connect(relay.port(0));
        let writer = std::thread::spawn(move || {
            (0..2_000_u32).for_each(|number| {
                feed.write_all(&framed(&number.to_be_bytes().repeat(500))).unwrap();
            });
            feed
        });
        let full = relay.until(|report| report.endpoints[1].queued == 4);
        assert_eq!((full.endpoints[1].peers, full.endpoints[1].drops.total()), (0, 0));
        let channel = open(&name);
        let mut receiver = channel.receiver().unwrap();
        for number in 0..2_000_u32 {
            assert!(receive(&mut receiver) == number.to_be_bytes().repeat(500), "{number}");
        }
        drop(writer.join().unwrap());
        assert_eq!(relay.finish().endpoints[1].drops.total(), 0);
    }
}

/// Proves that a reader that does not read costs itself alone, by the policy, and that what it lost
/// is counted to the packet: what came in is what it reads at last and what was dropped.
#[test]
fn slow_reader_loses_what_is_counted() {
    for driver in DRIVERS {
        for policy in ["drop-old", "drop-new"] {
            let (to, name) = shm(policy, driver);
            let to = format!("{to}?policy={policy}&queue=8");
            let beside = any("tcp-listen");
            let relay = Running::start(config(driver, "demo:?rate=2k&size=4k", &[&to, &beside]));
            let channel = open(&name);
            let mut receiver = channel.receiver().unwrap();
            let mut other = connect(relay.port(2));
            relay.until(|report| report.endpoints[1].drops.total() > 100);
            assert_eq!(read_packet(&mut other).len(), 4_096);
            let end = relay.finish();
            let mut read = 0;
            while receiver.take().is_ok() {
                read += 1;
            }
            let (source, shm) = (&end.endpoints[0], &end.endpoints[1]);
            assert_eq!(source.rates.packets, read + shm.drops.total(), "{end:?}");
            assert_eq!(shm.rates.packets, read, "{end:?}");
        }
    }
}

/// Proves that what is longer than the source accepts is counted, and that a channel that somebody
/// closes ends the relay in order, behind what was sent.
#[test]
fn closed_channel_ends_the_relay() {
    for driver in DRIVERS {
        let ((from, source), (to, sink)) = (shm("end", driver), shm("sink", driver));
        let relay = Running::start(config(driver, &format!("{from}?size=100"), &[&to]));
        let (source, sink) = (open(&source), open(&sink));
        let mut receiver = sink.receiver().unwrap();
        let mut sender = source.sender().unwrap();
        sender.send(&[1; 101]).unwrap();
        sender.send(&[2; 100]).unwrap();
        source.close();
        let reader = std::thread::spawn(move || (receive(&mut receiver), receiver));
        let end = relay.wait().unwrap();
        assert_eq!(reader.join().unwrap().0, [2; 100]);
        assert_eq!(end.endpoints[0].state, EndpointState::Ended);
        assert_eq!((end.endpoints[0].drops.too_long, end.endpoints[0].rates.packets), (1, 1));
    }
}

/// Proves that a channel that somebody closes fails as a destination, and that the relay says so.
#[test]
fn closed_channel_fails_as_destination() {
    for driver in DRIVERS {
        let (to, name) = shm("shut", driver);
        let relay = Running::start(config(driver, "demo:?rate=1k", &[&to]));
        open(&name).close();
        let error = relay.wait().expect_err("nothing can be sent");
        assert!(error.to_string().starts_with(&to), "{error}");
        assert_eq!(error.summary().unwrap().endpoints[1].state, EndpointState::Failed);
    }
}

/// Proves that what nobody reads is counted as lost, to the packet, and is a failure that says so.
#[test]
fn what_nobody_reads_is_lost() {
    for driver in DRIVERS {
        let (to, _) = shm("nobody", driver);
        let mut config = config(driver, "demo:?rate=1k&size=100", &[&to]);
        config.run_for = Some(Duration::from_millis(300));
        let error = Running::start(config).wait().expect_err("nobody has read");
        assert!(error.to_string().contains("nobody reads"), "{error}");
        let summary = error.summary().unwrap();
        let lost = summary.endpoints[1].drops.lost;
        assert_eq!(summary.endpoints[0].rates.packets, lost, "{summary:?}");
    }
}

/// Proves that a second reader of a channel, and another shape of it, are refused by one line that
/// names who is there and what to do.
#[test]
fn taken_channel_is_refused() {
    let (url, name) = shm("taken", DRIVERS[1]);
    let channel = open(&name);
    let _seats = (channel.receiver().unwrap(), channel.sender().unwrap());
    let to = any("tcp-listen");
    let wide = format!("{url}?capacity=1MiB");
    for (from, to, says) in [
        (url.as_str(), to.as_str(), "each reader"),
        ("demo:", &url, "?publishers="),
        ("demo:", &wide, "?capacity="),
    ] {
        let error = Running::refused(config(DRIVERS[1], from, &[to]));
        assert!(matches!(error, RunError::Endpoint { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(says) && text.contains(&url) && !text.contains('\n'), "{text}");
    }
}

/// Proves that several publishers of a channel are all received from, where its shape has room.
#[test]
fn publishers_share_a_channel() {
    for driver in DRIVERS {
        let (url, name) = shm("many", driver);
        let relay =
            Running::start(config(driver, &format!("{url}?publishers=3"), &[&any("tcp-listen")]));
        let mut reader = connect(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let shape = Config { senders: 3, ..Config::default() };
        let channel = Bytes::<Shared>::open(namespace(), &name, shape).unwrap();
        let mut senders: Vec<_> = (0..3).map(|_| channel.sender().unwrap()).collect();
        for (number, sender) in (0_u8..).zip(&mut senders) {
            sender.send(&[number; 10]).unwrap();
        }
        let mut got: Vec<_> = (0..3).map(|_| read_packet(&mut reader)[0]).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
        relay.until(|report| report.endpoints[0].peers == 3);
        relay.finish();
    }
}

//! Real sockets on both sides of a relay, on both drivers.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use common::{
    DRIVERS, PATIENCE, Running, any, config, connect, framed, patient, read_packet, udp, url,
};
use socket2::{Domain, Type};
use tautline_relay::stats::EndpointState;
use tautline_relay::{RelayConfig, RunError, run};

/// Proves that of 50 subscribers, one of whom never reads, the other 49 get every packet, and
/// that only the queue of the one who does not read overflows.
#[test]
fn who_never_reads_slows_nobody() {
    for driver in DRIVERS {
        let source = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = url("tcp", source.local_addr().unwrap().port());
        let to = format!("{}?queue=8&buffer=16KiB", any("tcp-listen"));
        let relay = Running::start(config(driver, &from, &[&to]));
        let (mut feed, _) = source.accept().unwrap();
        let _stuck = connect(relay.port(1));
        let mut readers: Vec<_> = (0..49).map(|_| connect(relay.port(1))).collect();
        relay.until(|report| report.endpoints[1].peers == 50);
        for number in 0..300_u32 {
            let packet = number.to_be_bytes().repeat(5_000);
            feed.write_all(&framed(&packet)).unwrap();
            for reader in &mut readers {
                assert!(read_packet(reader) == packet, "packet {number}");
            }
        }
        let drops = relay.until(|report| report.endpoints[1].drops.old > 0).endpoints[1].drops;
        assert_eq!((drops.new, drops.lost), (0, 0));
        drop(readers);
        relay.finish();
    }
}

/// Proves that the latency of every packet that somebody got is told, in the second in which it was
/// over, although a subscriber who never reads holds the same packets until they are dropped.
#[test]
fn latency_is_told_beside_a_stuck_subscriber() {
    for driver in DRIVERS {
        let source = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = url("tcp", source.local_addr().unwrap().port());
        let to = format!("{}?queue=8&buffer=16KiB", any("tcp-listen"));
        let relay = Running::start(config(driver, &from, &[&to]));
        let (mut feed, _) = source.accept().unwrap();
        let (_stuck, mut reader) = (connect(relay.port(1)), connect(relay.port(1)));
        relay.until(|report| report.endpoints[1].peers == 2);
        let mut pass = |count: u64| {
            for _ in 0..count {
                feed.write_all(&framed(&[7; 20_000])).unwrap();
                read_packet(&mut reader);
            }
        };
        pass(500);
        relay.until(|report| report.endpoints[1].drops.old > 0);
        pass(300);
        relay.until(|report| report.latency.count > 200);
        drop(reader);
        assert_eq!(relay.finish().latency.count, 800);
    }
}

/// Proves that a subscriber that does not read is cut off under `disconnect`, and counted.
#[test]
fn disconnect_cuts_off_who_never_reads() {
    for driver in DRIVERS {
        let to = format!("{}?queue=4&policy=disconnect&buffer=16KiB", any("tcp-listen"));
        let relay = Running::start(config(driver, &any("tcp-listen"), &[&to]));
        let _stuck = connect(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let mut feed = connect(relay.port(0));
        for _ in 0..3_000 {
            feed.write_all(&framed(&[7; 8_000])).unwrap();
        }
        let report = relay.until(|report| report.endpoints[1].disconnects == 1);
        assert_eq!(report.endpoints[1].peers, 0);
        relay.finish();
    }
}

/// Proves that under `disconnect` packets wait for a destination that is not there, and that nobody
/// is counted as cut off.
#[test]
fn disconnect_keeps_what_waits_for_an_absent_peer() {
    for driver in DRIVERS {
        // Bound, but not listening: it refuses until it does.
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let to = format!("{}?queue=4&policy=disconnect", url("tcp", port));
        let relay = Running::start(config(driver, "demo:?rate=1k", &[&to]));
        relay.until(|report| report.endpoints[1].drops.new > 100);
        socket.listen(1).unwrap();
        let mut peer = patient(TcpListener::from(socket).accept().unwrap().0);
        for number in 0..4_u64 {
            assert_eq!(read_packet(&mut peer)[8..16], number.to_be_bytes());
        }
        let report = relay.until(|report| report.endpoints[1].rates.packets > 4);
        assert_eq!((report.endpoints[1].disconnects, report.endpoints[1].drops.lost), (0, 0));
        relay.finish();
    }
}

/// Proves that publishers beyond the limit are turned away and reported, and that a place that
/// became free is given to the next.
#[test]
fn publishers_beyond_the_limit_are_turned_away() {
    for driver in DRIVERS {
        let receiver = udp();
        let to = url("udp", receiver.local_addr().unwrap().port());
        let from = format!("{}?publishers=1", any("tcp-listen"));
        let relay = Running::start(config(driver, &from, &[&to]));
        let first = connect(relay.port(0));
        relay.until(|report| report.endpoints[0].peers == 1);
        assert_eq!(connect(relay.port(0)).read(&mut [0; 1]).unwrap_or(0), 0, "turned away");
        let told = |error: &String| error.contains("?publishers=");
        relay.until(|report| report.endpoints[0].error.as_ref().is_some_and(told));
        drop(first);
        relay.until(|report| report.endpoints[0].peers == 0);
        connect(relay.port(0)).write_all(&framed(b"the next")).unwrap();
        let mut got = [0; 100];
        let len = receiver.recv(&mut got).unwrap();
        assert_eq!(&got[..len], b"the next");
        relay.finish();
    }
}

/// Proves that under `drop-new` a subscriber that reads late sees the beginning without a gap.
#[test]
fn drop_new_keeps_the_beginning() {
    for driver in DRIVERS {
        let to = format!("{}?queue=16&policy=drop-new&buffer=16KiB", any("tcp-listen"));
        let relay = Running::start(config(driver, &any("tcp-listen"), &[&to]));
        let mut late = connect(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let mut feed = connect(relay.port(0));
        for number in 0..3_000_u32 {
            feed.write_all(&framed(&number.to_be_bytes().repeat(2_000))).unwrap();
        }
        relay.until(|report| report.endpoints[1].drops.new > 0);
        for number in 0..16_u32 {
            assert_eq!(read_packet(&mut late)[..4], number.to_be_bytes());
        }
        drop(late);
        relay.finish();
    }
}

/// Proves that bytes pass unchanged from a file over TCP, raw, into another relay's file, that
/// `wait` loses nothing to a receiver slower than the disk, and that both ends are in order.
#[test]
fn file_over_tcp_to_file_is_equal() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n ^ (n >> 11)) as u8).collect();
        std::fs::write(&original, &bytes).unwrap();
        let from = format!("{}?framing=raw", any("tcp-listen"));
        let to = format!("file:{}?framing=raw&policy=wait", copy.display());
        let receiving = Running::start(config(driver, &from, &[&to]));
        let from = format!("file:{}?framing=raw", original.display());
        let to = format!("{}?framing=raw&policy=wait", url("tcp", receiving.port(0)));
        let sent = run(&config(driver, &from, &[&to]), &mut |_| {}).unwrap();
        assert_eq!(sent.endpoints[1].rates.bytes, bytes.len() as u64);
        assert_eq!(sent.endpoints[0].state, EndpointState::Ended);
        receiving.until(|report| report.endpoints[1].rates.bytes == bytes.len() as u64);
        assert!(receiving.finish().is_lossless());
        assert!(std::fs::read(&copy).unwrap() == bytes);
    }
}

/// Proves that a lossless source for whose packets the slots do not suffice goes on as fast as they
/// become free, and not only when something else wakes the loop.
#[test]
fn few_slots_do_not_stall_a_lossless_source() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("recording");
        std::fs::write(&recording, framed(&[7; 100]).repeat(64_000)).unwrap();
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = url("tcp", sink.local_addr().unwrap().port());
        let from = format!("file:{}", recording.display());
        let config = config(driver, &from, &[&format!("{to}?policy=wait")]);
        // In a stall 64 packets pass a second: this takes a thousand.
        let relay = Running::start(RelayConfig { slots: 64, ..config });
        let mut receiver = patient(sink.accept().unwrap().0);
        let mut bytes = Vec::new();
        receiver.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 102 * 64_000);
        assert_eq!(relay.wait().unwrap().endpoints[1].rates.packets, 64_000);
    }
}

/// Proves that a destination that went away is connected to again and gets the feed, and that a
/// source that went away is, too.
#[test]
fn peers_that_restart_are_connected_to_again() {
    for driver in DRIVERS {
        let (source, sink) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let from = url("tcp", source.local_addr().unwrap().port());
        let to = url("tcp", sink.local_addr().unwrap().port());
        let relay = Running::start(config(driver, &from, &[&to]));
        for round in 0..3_u8 {
            let (mut feed, _) = source.accept().unwrap();
            let mut receiver = patient(sink.accept().unwrap().0);
            feed.write_all(&framed(&[round; 9])).unwrap();
            assert_eq!(read_packet(&mut receiver), [round; 9]);
        }
        let report = relay.until(|report| report.endpoints[1].reconnects >= 2);
        assert!(report.endpoints[0].reconnects >= 2);
        relay.finish();
    }
}

/// Proves that a peer that accepts and closes at once is left alone longer and longer, as a source
/// and as a destination for which packets are waiting.
#[test]
fn peers_that_close_at_once_are_left_alone_longer() {
    for (from, to) in [("tcp", "udp"), ("demo:", "tcp")] {
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = peer.local_addr().unwrap().port();
        let from = if from == "tcp" { url(from, here) } else { from.to_owned() };
        let relay = Running::start(config(DRIVERS[1], &from, &[&url(to, here)]));
        let mut before = Instant::now();
        let pauses = std::iter::repeat_with(|| {
            drop(peer.accept().unwrap());
            std::mem::replace(&mut before, Instant::now()).elapsed()
        });
        // The first one is no pause; on a busy machine some connection may seem to last.
        assert!(pauses.take(20).skip(1).any(|pause| pause > Duration::from_millis(400)));
        relay.finish();
    }
}

/// Proves that Unix sockets work on each side by path, that a path that a dead process left is
/// taken over, and that it is gone afterwards.
#[test]
fn unix_paths_work_on_both_sides() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        drop(UnixListener::bind(&there).unwrap());
        let source = UnixListener::bind(&here).unwrap();
        let from = format!("unix://{}", here.display());
        let to = format!("unix-listen://{}", there.display());
        let relay = Running::start(config(driver, &from, &[&to]));
        let (mut feed, _) = source.accept().unwrap();
        let receiver = UnixStream::connect(&there).unwrap();
        passes_over_unix(relay, &mut feed, receiver);
        assert!(!there.exists(), "the path is removed");
    }
}

/// Proves that abstract names work for all three Unix endpoints.
#[test]
fn abstract_names_work_on_both_sides() {
    let name = |of: &str, driver| format!("tautline-relay-{}-{of}-{driver:?}", std::process::id());
    let address = |name: &str| SocketAddr::from_abstract_name(name).unwrap();
    for driver in DRIVERS {
        let (here, there) = (name("here", driver), name("there", driver));
        let source = UnixListener::bind_addr(&address(&here)).unwrap();
        let (from, to) = (format!("unix://@{here}"), format!("unix-listen://@{there}"));
        let relay = Running::start(config(driver, &from, &[&to]));
        let (mut feed, _) = source.accept().unwrap();
        let receiver = UnixStream::connect_addr(&address(&there)).unwrap();
        passes_over_unix(relay, &mut feed, receiver);

        let relay = Running::start(config(driver, &format!("unix-listen://@{here}-2"), &[&to]));
        let mut feed = UnixStream::connect_addr(&address(&format!("{here}-2"))).unwrap();
        let receiver = UnixStream::connect_addr(&address(&there)).unwrap();
        passes_over_unix(relay, &mut feed, receiver);
    }
}

/// A packet passes, and the receiver sees the end of the relay.
fn passes_over_unix(relay: Running, feed: &mut UnixStream, mut receiver: UnixStream) {
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    relay.until(|report| report.endpoints.iter().all(|endpoint| endpoint.peers == 1));
    feed.write_all(&framed(b"over unix")).unwrap();
    assert_eq!(read_packet(&mut receiver), b"over unix");
    relay.finish();
    let mut rest = Vec::new();
    receiver.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

/// Proves that publishers come and go, that one whose stream ends within a packet spoils nothing
/// of another's, and that the lie is reported.
#[test]
fn publishers_are_cut_into_packets_apart() {
    for driver in DRIVERS {
        let receiver = udp();
        let to = url("udp", receiver.local_addr().unwrap().port());
        let source = format!("{}?size=1000", any("tcp-listen"));
        let relay = Running::start(config(driver, &source, &[&to]));
        let from = relay.port(0);
        let (mut one, mut other, mut liar) = (connect(from), connect(from), connect(from));
        one.write_all(&framed(b"one")[..3]).unwrap();
        other.write_all(&framed(b"whole")).unwrap();
        let mut got = [0; 100];
        let len = receiver.recv(&mut got).unwrap();
        assert_eq!(&got[..len], b"whole");
        one.write_all(&framed(b"one")[3..]).unwrap();
        let len = receiver.recv(&mut got).unwrap();
        assert_eq!(&got[..len], b"one");
        liar.write_all(&[0xff, 0xff]).unwrap();
        assert_eq!(liar.read(&mut got).unwrap_or(0), 0, "the liar is cut off");
        other.shutdown(Shutdown::Both).unwrap();
        let report = relay.until(|report| report.endpoints[0].peers == 1);
        let error = report.endpoints[0].error.clone().unwrap_or_default();
        assert!(error.contains("65535"), "{error}");
        relay.finish();
    }
}

/// Proves that what is queued is still sent when the relay is asked to end, whole packets only,
/// behind which the stream ends in order.
#[test]
fn end_drains_what_is_queued() {
    for driver in DRIVERS {
        let to = any("tcp-listen");
        let relay = Running::start(config(driver, "demo:?rate=1k&size=1000", &[&to]));
        let mut receiver = connect(relay.port(1));
        relay.until(|report| report.endpoints[1].rates.packets > 100);
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            receiver.read_to_end(&mut bytes).map(|_| bytes)
        });
        let summary = relay.finish();
        let bytes = reading.join().unwrap().unwrap();
        assert_eq!(bytes.len() % 1_002, 0, "whole packets");
        assert_eq!(summary.endpoints[1].rates.packets, bytes.len() as u64 / 1_002);
        assert!(summary.is_lossless());
    }
}

/// Proves that endpoints that cannot be opened are named, with the remedy, in one line.
#[test]
fn endpoints_that_fail_are_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = url("tcp-listen", holder.local_addr().unwrap().port());
    let cases = [
        ("demo:", taken.as_str(), taken.as_str(), "choose another port"),
        ("file:/no/such/file", "udp://127.0.0.1:9", "/no/such/file", "spelling"),
        ("demo:", "file:/no/such/folder/file", "/no/such/folder", "spelling"),
        ("demo:", "file:/", "file:/", "file in it"),
        ("udp://192.0.2.1:5000", "udp://127.0.0.1:9", "192.0.2.1", "address"),
        ("demo:", "file:/dev/full", "/dev/full", "free some space"),
    ];
    for driver in DRIVERS {
        for (from, to, name, remedy) in cases {
            let error = run(&config(driver, from, &[to]), &mut |_| {}).unwrap_err();
            let text = error.to_string();
            let ran = to == "file:/dev/full";
            assert_eq!(error.summary().is_some(), ran, "{text}");
            assert_eq!(matches!(error, RunError::Endpoint { .. }), !ran, "{text}");
            assert!(text.contains(name) && text.contains(remedy), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}

/// Proves that a destination that was never reached makes the run fail, with its summary.
#[test]
fn never_reached_is_a_failure() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // A datagram of this size is refused by every path.
    for to in [url("tcp", closed), "udp://127.0.0.1:9".to_owned()] {
        for driver in DRIVERS {
            let config = RelayConfig {
                run_for: Some(Duration::from_millis(300)),
                ..config(driver, "demo:?size=65535", &[&to])
            };
            let error = run(&config, &mut |_| {}).expect_err("nobody is there");
            let RunError::Ended { cause, summary } = error else { panic!("{error}") };
            assert!(matches!(&*cause, RunError::Unreached { url, .. } if *url == to), "{cause}");
            assert_eq!(summary.endpoints[1].rates.packets, 0);
        }
    }
}

/// Proves that a loss under the policy `wait` makes the run fail, and under another one does not.
#[test]
fn loss_is_a_failure_where_none_was_allowed() {
    for (policy, fails) in [("wait", true), ("drop-new", false)] {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = url("tcp", receiver.local_addr().unwrap().port());
        let to = format!("{to}?buffer=16KiB&queue=8&policy={policy}");
        let relay = Running::start(config(DRIVERS[0], "demo:?rate=10k&size=60000", &[&to]));
        let _stuck = receiver.accept().unwrap();
        relay.until(|report| report.endpoints[1].queued == 8);
        match relay.end() {
            Err(RunError::Ended { cause, .. }) => {
                assert!(fails && matches!(&*cause, RunError::Lost { .. }), "{cause}");
            }
            other => assert!(!fails && other.is_ok(), "{other:?}"),
        }
    }
}

/// Proves that a packet of which a stream's end leaves a part counts as lost.
#[test]
fn torn_packet_is_counted() {
    for driver in DRIVERS {
        let relay = Running::start(config(driver, &any("tcp-listen"), &["udp://127.0.0.1:9"]));
        let mut publisher = connect(relay.port(0));
        publisher.write_all(&[0, 2, b'o', b'k', 0, 9, b'n']).unwrap();
        drop(publisher);
        relay.until(|report| report.endpoints[0].drops.lost == 1);
        assert!(!relay.finish().is_lossless());
    }
}

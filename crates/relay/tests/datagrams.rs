//! Datagrams keep their boundaries, however many of them the kernel joins.

mod common;

use std::net::UdpSocket;

use common::{DRIVERS, Running, any, config, udp, url};
use tautline_runtime::{Batch, Config, Descriptor, DriverChoice, Runtime, To};

/// Proves that datagrams reach two receivers with their boundaries and in order.
#[test]
fn datagrams_reach_every_receiver() {
    for driver in DRIVERS {
        let receivers = [udp(), udp()];
        let to = receivers.each_ref().map(|r| url("udp", r.local_addr().unwrap().port()));
        let to = [to[0].as_str(), to[1].as_str()];
        let relay = Running::start(config(driver, &any("udp"), &to));
        let port = relay.port(0);
        let sender = udp();
        for number in 0..500_u32 {
            let packet = vec![number as u8; 1 + number as usize];
            sender.send_to(&packet, ("127.0.0.1", port)).unwrap();
            for receiver in &receivers {
                let mut got = [0; 2048];
                let len = receiver.recv(&mut got).unwrap();
                assert_eq!(&got[..len], packet);
            }
        }
        let summary = relay.finish();
        assert!(summary.is_lossless());
        assert!(summary.endpoints.iter().all(|endpoint| endpoint.rates.packets == 500));
        assert_eq!(summary.latency.count, 500);
    }
}

/// Sends `datagrams` from `sender` to `port` in one call, as one message that the kernel divides.
fn send_joined(sender: &UdpSocket, port: u16, datagrams: &[u8], segment: u16) {
    let config = Config { driver: DriverChoice::Readiness, ..Config::default() };
    let _runtime = Runtime::new(config).unwrap();
    let socket = Descriptor::new(sender.try_clone().unwrap().into()).unwrap();
    let mut batch = Batch::new(1, datagrams.len());
    batch.push_segments(datagrams, segment, None).unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
    assert_eq!(batch.send(socket.conn(), 0, To::All(&to)).unwrap(), 1);
}

/// Proves that datagrams that come joined leave with their boundaries and in order, a shorter last
/// one, a single one and an empty one among them, and that each is counted.
#[test]
fn joined_datagrams_keep_their_boundaries() {
    for driver in DRIVERS {
        let receivers = [udp(), udp()];
        let to = receivers.each_ref().map(|r| url("udp", r.local_addr().unwrap().port()));
        let relay = Running::start(config(driver, &any("udp"), &[&to[0], &to[1]]));
        let port = relay.port(0);
        let sender = udp();
        let bytes: Vec<u8> = (0..20_300_u32).map(|at| (at / 100) as u8).collect();
        send_joined(&sender, port, &bytes[..5_050], 100);
        sender.send_to(b"alone", ("127.0.0.1", port)).unwrap();
        sender.send_to(b"", ("127.0.0.1", port)).unwrap();
        send_joined(&sender, port, &bytes, 1_200);
        let sent =
            bytes[..5_050].chunks(100).chain([&b"alone"[..], b""]).chain(bytes.chunks(1_200));
        let count = sent.clone().count() as u64;
        for datagram in sent {
            for receiver in &receivers {
                let mut got = [0; 2048];
                let len = receiver.recv(&mut got).unwrap();
                assert_eq!(&got[..len], datagram);
            }
        }
        let summary = relay.finish();
        assert!(summary.is_lossless());
        assert!(summary.endpoints.iter().all(|endpoint| endpoint.rates.packets == count));
        assert_eq!(summary.endpoints[0].rates.bytes, summary.endpoints[1].rates.bytes);
        assert_eq!(summary.latency.count, count, "each once, at its last send");
    }
}

/// Proves that of datagrams that come joined a queue takes as many as it has room for, that the
/// others are counted, and that a receiver who reads gets every one meanwhile.
#[test]
fn joined_datagrams_are_dropped_one_by_one() {
    for driver in DRIVERS {
        let receiver = udp();
        let slow = format!("{}?queue=10&policy=drop-new&buffer=4KiB", any("tcp-listen"));
        let to = [slow, url("udp", receiver.local_addr().unwrap().port())];
        let relay = Running::start(config(driver, &any("udp"), &[&to[0], &to[1]]));
        let port = relay.port(0);
        let mut stuck = common::connect(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let sender = udp();
        for number in 0..1_000_u32 {
            send_joined(&sender, port, &[number as u8; 16 * 1_000], 1_000);
            for _ in 0..16 {
                assert_eq!(receiver.recv(&mut [0; 2048]).unwrap(), 1_000);
            }
        }
        let report = relay.until(|report| report.endpoints[2].rates.packets == 16_000);
        let (queued, dropped) = (report.endpoints[1].queued, report.endpoints[1].drops.new);
        let sent = report.endpoints[1].rates.packets;
        // Sixteen never fit at once. How many are queued at the end depends on how much the
        // kernel has taken since the last one was dropped.
        assert!(sent > 0 && queued <= 10 && dropped > 0, "{sent} {queued} {dropped}");
        assert_eq!(sent + queued + dropped, 16_000);
        for _ in 0..sent + queued {
            assert_eq!(common::read_packet(&mut stuck).len(), 1_000);
        }
        assert_eq!(relay.finish().endpoints[1].drops.new, dropped);
    }
}

/// Proves that of joined datagrams those longer than the source accepts are dropped and counted,
/// and that no other is.
#[test]
fn joined_datagrams_that_are_too_long_are_counted() {
    for driver in DRIVERS {
        let receiver = udp();
        let to = url("udp", receiver.local_addr().unwrap().port());
        let from = format!("{}?size=1000", any("udp"));
        let relay = Running::start(config(driver, &from, &[&to]));
        let port = relay.port(0);
        let sender = udp();
        send_joined(&sender, port, &[1; 3 * 1_200 + 900], 1_200);
        send_joined(&sender, port, &[2; 3 * 1_000], 1_000);
        for (byte, len) in [(1, 900), (2, 1_000), (2, 1_000), (2, 1_000)] {
            let mut got = [0; 2048];
            let received = receiver.recv(&mut got).unwrap();
            assert_eq!(&got[..received], vec![byte; len]);
        }
        let summary = relay.finish();
        assert_eq!(summary.endpoints[0].drops.too_long, 3);
        assert_eq!(summary.endpoints[1].rates.packets, 4);
    }
}

/// Proves that a source that waits for a slow stream goes on where it stopped, within the datagrams
/// that came joined.
#[test]
fn waiting_source_goes_on_within_joined_datagrams() {
    for driver in DRIVERS {
        let to = format!("{}?queue=8&policy=wait&buffer=4KiB", any("tcp-listen"));
        let relay = Running::start(config(driver, &any("udp"), &[&to]));
        let port = relay.port(0);
        let mut slow = common::connect(relay.port(1));
        relay.until(|report| report.endpoints[1].peers == 1);
        let sender = udp();
        for number in 0..20_u8 {
            send_joined(&sender, port, &[number; 8 * 1_000], 1_000);
            std::thread::yield_now();
        }
        for number in 0..160 {
            assert_eq!(common::read_packet(&mut slow), [number / 8; 1_000]);
        }
        assert!(relay.finish().is_lossless());
    }
}

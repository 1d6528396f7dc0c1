//! The relay's own loop allocates nothing per packet.

mod common;

use std::io::Read;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use common::{DRIVERS, any, config, connect, ports, udp, url};
use tautline_relay::stats::Snapshot;
use tautline_relay::{DriverChoice, run_until};

/// Allocations of a whole run in which `packets` pass, from start to end.
fn allocations(driver: DriverChoice, packets: u64) -> u64 {
    let sink = udp();
    let to = [url("udp", sink.local_addr().unwrap().port()), any("tcp-listen")];
    let config = config(driver, &any("udp"), &[&to[0], &to[1]]);
    let (end, ended) = channel::<()>();
    let (ready, opened) = channel();
    let feeder = thread::spawn(move || {
        let ports: Vec<Option<u16>> = opened.recv().unwrap();
        let (from, port) = (ports[0].unwrap(), ports[2].unwrap());
        let (sender, mut subscriber) = (udp(), connect(port));
        let (mut datagram, mut stream) = ([0; 2_000], [0; 1_202]);
        for number in 0..packets {
            sender.send_to(&[5; 1_200], ("127.0.0.1", from)).unwrap();
            sink.recv(&mut datagram).unwrap();
            // The first ones may come before the relay has accepted the subscriber.
            if number >= 50 {
                subscriber.read_exact(&mut stream).unwrap();
            }
        }
        drop(end);
    });
    let mut relayed = 0;
    let measured = allocation_counter::measure(|| {
        let summary = run_until(
            &config,
            &mut |report| {
                // The feeder listens for the first report only.
                let _ = ready.send(ports(report));
            },
            &mut || ended.try_recv() == Err(TryRecvError::Disconnected),
        );
        relayed = summary.unwrap().endpoints[0].rates.packets;
    });
    feeder.join().unwrap();
    assert_eq!(relayed, packets);
    measured.count_total
}

/// Proves that 20,000 packets through sockets, queues, pool and counters of a running relay cost
/// no more allocations than a few: what grows to its size once, and the report each second.
#[test]
fn packets_through_the_running_relay_allocate_nothing() {
    for driver in DRIVERS {
        let (few, many) = (allocations(driver, 100), allocations(driver, 20_100));
        assert!(many < few + 500, "{driver:?}: {few} for 100 packets, {many} for 20,100");
    }
}

/// Allocations of a whole run in which `packets` pass as messages of WebSockets.
fn allocations_of_messages(driver: DriverChoice, packets: u64) -> u64 {
    let config = config(driver, &any("ws-listen"), &[&any("ws-listen")]);
    let (end, ended) = channel::<()>();
    let (ready, opened) = channel();
    let feeder = thread::spawn(move || {
        let (ports, _): (Vec<Option<u16>>, u64) = opened.recv().unwrap();
        let client = |at: usize| {
            let port = ports[at].unwrap();
            tungstenite::client(format!("ws://127.0.0.1:{port}/"), connect(port)).unwrap().0
        };
        let (mut publisher, mut subscriber) = (client(0), client(1));
        // The handshake is answered before the relay has seated the subscriber.
        while opened.recv().unwrap().1 == 0 {}
        let message = tungstenite::Message::binary(vec![5; 1_200]);
        for _ in 0..packets {
            publisher.send(message.clone()).unwrap();
            assert_eq!(subscriber.read().unwrap(), message);
        }
        drop(end);
        (publisher, subscriber)
    });
    let measured = allocation_counter::measure(|| {
        let report = &mut |report: &Snapshot| {
            // The feeder listens until the subscriber is there.
            let _ = ready.send((ports(report), report.endpoints[1].peers));
        };
        let ended = &mut || ended.try_recv() == Err(TryRecvError::Disconnected);
        assert_eq!(run_until(&config, report, ended).unwrap().endpoints[1].rates.packets, packets);
    });
    feeder.join().unwrap();
    measured.count_total
}

/// Proves the same of messages that WebSockets bring and take.
#[test]
fn messages_through_the_running_relay_allocate_nothing() {
    for driver in DRIVERS {
        let few = allocations_of_messages(driver, 100);
        let many = allocations_of_messages(driver, 20_100);
        assert!(many < few + 500, "{driver:?}: {few} for 100 messages, {many} for 20,100");
    }
}

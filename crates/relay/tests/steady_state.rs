//! The relay's own loop allocates nothing per packet.

mod common;

use std::io::Read;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use common::{DRIVERS, any, config, connect, ports, udp, url};
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

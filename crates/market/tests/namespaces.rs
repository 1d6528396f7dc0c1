//! Exchange and gateway on two hosts, which two networks join: a line on each.
//!
//! Needs root and `ip`; where they are missing the test says so, and fails if `CI` is set.

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../../net/tests/namespaces/lab.rs"]
mod lab;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tautline_market::exchange::{self, Impairment};
use tautline_market::live::{
    ExchangeConfig, ExchangeReport, GatewayConfig, GatewayReport, InstrumentReport, WireFormat,
    run_exchange, run_gateway,
};
use tautline_relay::endpoint::{InterfaceName, MulticastDestination, MulticastSource};

use self::lab::{Family, Host, Lab};

/// Of both lines.
const PORT: u16 = 31_001;
const TCP: [u16; 2] = [31_002, 31_003];

/// The group of a line.
fn group(family: Family, line: u8) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::from([239, 91, 2, 1 + line]),
        Family::V6 => IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0x93, 1 + u16::from(line)]),
    };
    SocketAddr::new(ip, PORT)
}

/// A device for each line.
fn device(line: u8) -> InterfaceName {
    InterfaceName::Name(format!("eth{line}"))
}

fn exchange(family: Family, losses: [f64; 2]) -> ExchangeConfig {
    let [replay, snapshot] = TCP.map(|port| SocketAddr::new(Host::Exchange.on(1, family), port));
    let to = |line| MulticastDestination {
        group: group(family, line),
        interface: Some(device(line)),
        hops: 1,
        loopback: true,
    };
    let lines = losses.map(|loss| Impairment { loss, ..Impairment::default() });
    ExchangeConfig {
        lines: vec![to(0), to(1)],
        replay,
        snapshot,
        exchange: exchange::Config {
            session: WireFormat::default().session(1),
            lines: lines.to_vec(),
            rate: 2000,
            ..exchange::Config::default()
        },
        run_for: Some(Duration::from_millis(800)),
        ..ExchangeConfig::default()
    }
}

fn gateway(family: Family, exchange: &ExchangeConfig) -> GatewayConfig {
    let from = |line| MulticastSource {
        group: group(family, line),
        interfaces: vec![device(line)],
        sources: Vec::new(),
    };
    GatewayConfig {
        lines: vec![from(0), from(1)],
        replay: exchange.replay.to_string(),
        snapshot: exchange.snapshot.to_string(),
        run_for: Some(Duration::from_millis(2500)),
        ..GatewayConfig::default()
    }
}

/// Both, each on a host of its own, from the first packet to the last.
fn run(
    lab: &Lab,
    exchange: &ExchangeConfig,
    gateway: &GatewayConfig,
) -> (ExchangeReport, GatewayReport) {
    let (joined, has_joined) = mpsc::channel();
    thread::scope(|scope| {
        let trader = scope.spawn(|| {
            let mut report = |_: &GatewayReport| _ = joined.send(());
            lab.at(Host::Trader, || run_gateway(gateway, &mut report)).expect("a gateway")
        });
        has_joined.recv_timeout(Duration::from_secs(20)).expect("the gateway begins");
        let served = lab.at(Host::Exchange, || run_exchange(exchange, &mut |_| {}));
        (served.expect("an exchange"), trader.join().expect("a gateway that ends"))
    })
}

/// Two lines have one port, and come by two devices: each socket gets what was sent on its own line,
/// all of it and nothing else, what one line loses comes by the other, and the books are right.
#[test]
fn lines_of_one_port_come_by_their_own_devices() {
    let Some(lab) = Lab::set_up() else { return };
    thread::scope(|scope| {
        for family in [Family::V4, Family::V6] {
            let lab = &lab;
            scope.spawn(move || lines_of_one_port(lab, family));
        }
    });
}

fn lines_of_one_port(lab: &Lab, family: Family) {
    let exchange = exchange(family, [0.0, 0.5]);
    let (served, heard) = run(lab, &exchange, &gateway(family, &exchange));
    let sent: Vec<u64> = served.lines.iter().map(|line| line.sent).collect();
    let came: Vec<u64> = heard.lines.iter().map(|line| line.packets).collect();
    // That the session has ended is told several times, and not counted any more.
    let all = |(came, sent): (&u64, &u64)| (sent - 5..=*sent).contains(came);
    assert!(came.iter().zip(&sent).all(all), "{family:?}: {came:?} of {sent:?}");
    assert!(sent[0] > 100 && sent[1] < sent[0] * 3 / 4, "{family:?}: {sent:?}");
    assert!(heard.sound && heard.repaired == 0 && heard.lost == 0, "{family:?}: {heard:?}");
    assert_eq!(heard.next, served.messages + 1, "{family:?}");
    let books = |all: &[InstrumentReport]| -> Vec<_> {
        all.iter().map(|it| (it.bid, it.ask, it.orders)).collect()
    };
    assert_eq!(books(&heard.instruments), books(&served.instruments), "{family:?}");
}

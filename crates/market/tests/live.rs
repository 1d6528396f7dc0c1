//! Exchange and gateway on real sockets, over the loopback interface.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use tautline_feed::format::{Compact, Format, MoldUdp64};
use tautline_feed::sequence::Source;
use tautline_market::exchange::{self, Impairment};
use tautline_market::gateway::{Notice, Quote};
use tautline_market::live::{
    ExchangeConfig, GatewayConfig, InstrumentReport, RunError, Station, Venue, WireFormat,
    run_exchange, run_gateway,
};
use tautline_relay::endpoint::{InterfaceName, MulticastDestination, MulticastSource};
use tautline_runtime::{Config, Runtime, timer};

const LIMIT: Duration = Duration::from_secs(60);

/// A port that nobody has at the moment.
fn port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port for a server that is called before it is there. Below those that the kernel gives to whoever
/// names none: else a client, ours or one of another test, may be given it and keep the server away.
fn port_of_a_server() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..100).map(|_| fastrand::u16(10_000..30_000)).find(is_free).expect("a free port")
}

/// An exchange whose lines lose some of what they carry, and a gateway that finds it. Each test has
/// groups of its own.
fn configs(test: u8, format: WireFormat) -> (ExchangeConfig, GatewayConfig) {
    let port = port();
    let group = |line: u8| SocketAddr::from((Ipv4Addr::new(239, 255, 80 + test, 1 + line), port));
    let loopback = InterfaceName::Name("lo".to_owned());
    let to = |line| MulticastDestination {
        group: group(line),
        interface: Some(loopback.clone()),
        hops: 0,
        loopback: true,
    };
    let from = |line| MulticastSource {
        group: group(line),
        interfaces: vec![loopback.clone()],
        sources: Vec::new(),
    };
    let bad =
        Impairment { loss: 0.2, duplication: 0.05, reordering: 0.05, ..Impairment::default() };
    let exchange = ExchangeConfig {
        format,
        lines: vec![to(0), to(1)],
        replay: (Ipv4Addr::LOCALHOST, 0).into(),
        snapshot: (Ipv4Addr::LOCALHOST, 0).into(),
        exchange: exchange::Config {
            session: format.session(1),
            lines: vec![bad; 2],
            rate: 4000,
            ..exchange::Config::default()
        },
        ..ExchangeConfig::default()
    };
    let gateway =
        GatewayConfig { format, lines: vec![from(0), from(1)], ..GatewayConfig::default() };
    (exchange, gateway)
}

/// Runs the loop until so, but not for ever.
fn wait(runtime: &Runtime, what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    let look = timer::every(Duration::from_millis(5), || {}).unwrap();
    runtime.run_until(|| done() || Instant::now() > limit).unwrap();
    look.cancel();
    assert!(done(), "{what}: not within {LIMIT:?}");
}

fn repairs<F: Format>(test: u8, format: WireFormat) {
    let runtime = Runtime::new(Config::default()).unwrap();
    let (exchange, mut gateway) = configs(test, format);
    let venue = Venue::<F>::open(&exchange).unwrap();
    gateway.replay = venue.replay().to_string();
    gateway.snapshot = venue.snapshot().to_string();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(LIMIT)).unwrap();
    gateway.to = vec![format!("udp://{}", receiver.local_addr().unwrap()).parse().unwrap()];
    let notices = Rc::new(RefCell::new(Vec::new()));
    let heard = notices.clone();
    let listener = move |notice: &Notice| heard.borrow_mut().push(*notice);
    let opened = runtime.block_on(Station::<F>::open_and_tell(&gateway, listener));
    let station = opened.unwrap().unwrap();
    let seen = Rc::new(Cell::new((0, false, false)));
    let (note, again) = (seen.clone(), Rc::downgrade(&station));
    station.on_update(move |gateway| {
        let now = (gateway.stats().updates, gateway.is_sound(), gateway.is_stale());
        assert!(now != note.replace(now), "nothing has changed");
        // It may look by itself too.
        assert_eq!(again.upgrade().unwrap().with(|it| it.stats().updates), now.0);
    });
    wait(&runtime, "100 gaps are repaired", || {
        station.with(|it| it.sequencer().stats().repaired > 100)
    });
    venue.finish();
    let is_over = |notice: &Notice| matches!(notice, Notice::Ended { .. });
    wait(&runtime, "the end is heard", || notices.borrow().iter().any(is_over));
    wait(&runtime, "the books are sound", || station.with(|it| it.is_sound()));
    assert!(station.with(|gateway| venue.with(|it| gateway.books() == it.books())));
    assert_eq!(seen.get(), (station.with(|it| it.stats().updates), true, false));
    let by = |by: Source| {
        let is_it =
            |it: &&Notice| matches!(it, Notice::Repaired { by: source, .. } if *source == by);
        notices.borrow().iter().filter(is_it).count()
    };
    assert!(by(Source::Replay) > 10, "what both lines have lost was asked for");
    let summary = station.summary();
    assert!(summary.sound && summary.replay.connected && summary.snapshot.answers >= 1);
    assert!(summary.lines.iter().all(|line| line.packets > 100 && line.lost > 10), "{summary:?}");
    let served = venue.summary();
    assert!(served.replay.requests > 0 && served.snapshot.requests > 0 && served.replay.bytes > 0);
    assert_eq!(served.messages, station.with(|it| it.sequencer().present()) - 1);
    // Quotes have left.
    let mut bytes = [0; 100];
    let len = receiver.recv(&mut bytes).unwrap();
    Quote::decode(&bytes[..len]).unwrap();
    station.finish();
}

/// What lines lose is repaired, and the books are those of the exchange at the end: in MoldUDP64.
#[test]
fn losses_are_repaired_in_moldudp64() {
    repairs::<MoldUdp64>(0, WireFormat::MoldUdp64);
}

/// The same in the compact format.
#[test]
fn losses_are_repaired_in_the_compact_format() {
    repairs::<Compact>(1, WireFormat::Compact);
}

/// A gateway is there before the exchange, outlives it, and goes on with the one that follows: its clients
/// connect again.
#[test]
fn gateways_outlive_exchanges() {
    let (mut exchange, mut gateway) = configs(2, WireFormat::Compact);
    exchange.replay = (Ipv4Addr::LOCALHOST, port_of_a_server()).into();
    exchange.snapshot = (Ipv4Addr::LOCALHOST, port_of_a_server()).into();
    gateway.replay = exchange.replay.to_string();
    gateway.snapshot = exchange.snapshot.to_string();
    exchange.run_for = Some(Duration::from_millis(1000));
    let runtime = Runtime::new(Config::default()).unwrap();
    let station = runtime.block_on(Station::<Compact>::open(&gateway)).unwrap().unwrap();
    let exchanges = thread::spawn(move || {
        let first = run_exchange(&exchange, &mut |_| {}).unwrap();
        exchange.exchange.session = WireFormat::Compact.session(2);
        exchange.seed = 2;
        let second = run_exchange(&exchange, &mut |_| {}).unwrap();
        (first, second)
    });
    wait(&runtime, "the exchanges have ended", || exchanges.is_finished());
    let (first, second) = exchanges.join().unwrap();
    // What the last datagrams say is on its way.
    let has_all = || station.with(|it| it.is_sound() && it.sequencer().present() > second.messages);
    wait(&runtime, "all is heard", has_all);
    let summary = station.summary();
    assert_eq!(summary.session.as_deref(), Some("2"));
    assert_eq!(summary.next, second.messages + 1);
    assert!(summary.updates > second.messages && first.messages > 0);
    assert_eq!(best(&summary.instruments), best(&second.instruments));
}

fn best(books: &[InstrumentReport]) -> Vec<impl PartialEq + std::fmt::Debug> {
    books.iter().map(|it| (it.bid, it.ask, it.orders)).collect()
}

/// Both run on loops of their own for as long as they were told, and report each second.
#[test]
fn both_run_for_their_time() {
    let (mut exchange, mut gateway) = configs(4, WireFormat::MoldUdp64);
    let run_for = Some(Duration::from_millis(1300));
    (exchange.run_for, gateway.run_for) = (run_for, run_for);
    gateway.to = vec!["tcp-listen://127.0.0.1:0".parse().unwrap()];
    let exchange = thread::spawn(move || {
        let mut reports = Vec::new();
        let summary = run_exchange(&exchange, &mut |report| reports.push(report.clone())).unwrap();
        (reports, summary)
    });
    let mut reports = Vec::new();
    let summary = run_gateway(&gateway, &mut |report| reports.push(report.clone())).unwrap();
    assert!(reports.len() >= 2 && summary.elapsed_s >= 1.3);
    assert!(summary.destinations[0].bound.is_some());
    assert_eq!((reports[0].kind, summary.kind), ("gateway", "gateway-summary"));
    let (reports, summary) = exchange.join().unwrap();
    assert!(reports.len() >= 2 && summary.messages > 0);
    assert_eq!((reports[0].kind, summary.kind), ("exchange", "exchange-summary"));
}

/// Quotes do not go where the feed itself comes from, whatever scheme says so; to another port, or to
/// another group, they may.
#[test]
fn quotes_into_the_own_feed_are_refused() {
    let (_, gateway) = configs(5, WireFormat::MoldUdp64);
    let runtime = Runtime::new(Config::default()).unwrap();
    let SocketAddr::V4(line) = gateway.lines[1].group else { panic!("a line of IPv4") };
    let (ip, port) = (line.ip(), line.port());
    let with = |url: String| GatewayConfig { to: vec![url.parse().unwrap()], ..gateway.clone() };
    for scheme in ["mcast", "udp"] {
        let wrong = with(format!("{scheme}://{ip}:{port}"));
        let opened = runtime.block_on(Station::<MoldUdp64>::open(&wrong)).unwrap();
        let error = opened.expect_err("quotes would come back");
        assert!(matches!(&error, RunError::OwnFeed { group, .. } if *group == line.into()));
        let text = error.to_string();
        assert!(
            text.contains(&wrong.to[0].url) && text.contains("another group or port"),
            "{text}"
        );
        for other in [format!("{ip}:{}", port ^ 1), format!("239.255.85.9:{port}")] {
            with(format!("{scheme}://{other}")).check().unwrap();
        }
    }
    let mapped = with(format!("udp://[::ffff:{ip}]:{port}")).check();
    assert!(matches!(mapped, Err(RunError::OwnFeed { .. })), "{mapped:?}");
}

/// A line that is named twice does not pass for two; one group on two interfaces does.
#[test]
fn lines_are_not_counted_twice() {
    let (_, mut gateway) = configs(6, WireFormat::Compact);
    gateway.lines[1] = gateway.lines[0].clone();
    let error = gateway.check().unwrap_err();
    assert!(matches!(error, RunError::SameLine { group } if group == gateway.lines[0].group));
    gateway.lines[1].interfaces = vec!["eth0".into()];
    gateway.check().unwrap();
}

/// What cannot be is refused by name.
#[test]
fn impossible_configurations_are_refused() {
    let (exchange, gateway) = configs(3, WireFormat::Compact);
    let runtime = Runtime::new(Config::default()).unwrap();
    let mut wrong = exchange.clone();
    wrong.lines.pop();
    assert!(matches!(Venue::<Compact>::open(&wrong), Err(RunError::Lines { groups: 1, lines: 2 })));
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let wrong = ExchangeConfig { replay: taken, ..exchange.clone() };
    let error = Venue::<Compact>::open(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("replay: ") && error.contains(&taken.to_string()), "{error}");
    let mut wrong = exchange;
    wrong.lines[1].interface = Some(InterfaceName::Name("nowhere0".to_owned()));
    let error = Venue::<Compact>::open(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("line 239.255.83.2:") && error.contains("nowhere0"), "{error}");
    let mut wrong = gateway;
    wrong.lines[0].interfaces = vec![InterfaceName::Name("nowhere0".to_owned())];
    let error = runtime.block_on(Station::<Compact>::open(&wrong)).unwrap().unwrap_err();
    assert!(error.to_string().contains("nowhere0"), "{error}");
}

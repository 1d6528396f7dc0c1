//! Looking at what processes share, tapping it, and clearing the seats of the dead: without taking
//! part, and without believing anything.

mod processes;

use std::time::{Duration, Instant};

use processes::{Other, namespace, part, scribbler, stay, until};
use tautline_bus::broadcast::lossy::{self, Lossy};
use tautline_bus::broadcast::{self, Broadcast};
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::channel::{Channel, Config, Order, Orphans};
use tautline_bus::pool::{self, Pool};
use tautline_bus::request::Requests;
use tautline_bus::signal::{self, Signal};
use tautline_bus::{OpenError, Shared, shared};
use tautline_bus_derive::Layout;
use zerocopy::{Immutable, IntoBytes, TryFromBytes};

type Numbers = Channel<u64, Shared>;

/// A message of all sorts of fields.
#[derive(Clone, Copy, Debug, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Trade {
    number: u64,
    prices: [i32; 3],
    leg: Leg,
    side: Side,
    marks: [bool; 3],
}

#[derive(Clone, Copy, Debug, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Leg {
    weight: f32,
    size: i16,
    venue: [u8; 2],
}

#[derive(Clone, Copy, Debug, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(u8)]
#[allow(dead_code, reason = "only one of them is sent")]
enum Side {
    Buy = 1,
    Sell = 2,
}

fn lanes() -> Config {
    Config { capacity: 1024, senders: 3, ..Config::default() }
}

fn ringed() -> Config {
    Config { order: Order::Total, receivers: 2, ..lanes() }
}

fn losing() -> Config {
    Config { orphans: Orphans::Lose, ..ringed() }
}

/// What the others do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    if let Some(name) = part.strip_prefix("scribble ") {
        scribbler::scribble(&namespace, name);
    }
    let open = |name, config| Numbers::open(&namespace, name, config).unwrap();
    match part.as_str() {
        "send" => {
            let mut sender = open("lanes", lanes()).sender().unwrap();
            (0..200_000).for_each(|n| sender.send(n).unwrap());
        }
        "hold" => {
            let (lanes, ringed, losing) =
                (open("lanes", lanes()), open("ringed", ringed()), open("losing", losing()));
            let _seats = (lanes.sender(), lanes.receiver(), ringed.sender());
            let mut receiver = ringed.receiver().unwrap();
            let _loan = receiver.take().unwrap();
            let mut receiver = losing.receiver().unwrap();
            let _loan = receiver.take().unwrap();
            let pool = Pool::<u64, Shared>::open(&namespace, "pool", pool::Config::default());
            let _buffer = pool.unwrap().borrower().unwrap().loan();
            let fan = Broadcast::<u64, Shared>::open(&namespace, "fan", fan()).unwrap();
            let _subscriber = fan.subscriber().unwrap();
            stay()
        }
        other => panic!("{other}"),
    }
}

fn fan() -> broadcast::Config {
    broadcast::Config { capacity: 64, subscribers: 2, ..broadcast::Config::default() }
}

fn dead(name: &str) -> Vec<String> {
    let users = shared::look(name).unwrap().users.into_iter().filter(|user| user.is_dead);
    users.map(|user| format!("{} {}", user.role, user.seat)).collect()
}

/// A killed user is told as dead, beside the living, whose seats stay theirs when those of the dead
/// are cleared; what the dead had on loan comes again, or is counted as lost, and buffers return.
#[test]
fn the_dead_are_told_and_cleared() {
    let namespace = namespace("dead");
    let at = |name: &str| format!("{namespace}/{name}");
    let open = |name, config| Numbers::open(&namespace, name, config).unwrap();
    let (lanes, ringed, losing) =
        (open("lanes", lanes()), open("ringed", ringed()), open("losing", losing()));
    let pool = Pool::<u64, Shared>::open(&namespace, "pool", pool::Config::default()).unwrap();
    let fan = Broadcast::<u64, Shared>::open(&namespace, "fan", fan()).unwrap();
    let mut own = lanes.sender().unwrap();
    let mut giver = ringed.sender().unwrap();
    giver.send(7).unwrap();
    losing.sender().unwrap().send(8).unwrap();
    let other = Other::at("hold", &namespace);
    let users = shared::look(&at("lanes")).unwrap().users;
    let told: Vec<_> = users.iter().map(|user| (user.role, user.seat, user.is_dead)).collect();
    assert_eq!(told, [("sender", 0, false), ("sender", 1, false), ("receiver", 0, false)]);
    assert_eq!(users[0].process, std::process::id());
    assert_ne!(users[1].process, std::process::id());
    assert!(shared::clean(&at("lanes")).unwrap().cleared.is_empty(), "all of them live");
    other.kill();

    assert_eq!(dead(&at("lanes")), ["sender 1", "receiver 0"]);
    assert_eq!(dead(&at("fan")), ["subscriber 0"]);
    for name in ["lanes", "ringed", "losing", "pool", "fan"] {
        let dead = dead(&at(name));
        let cleaned = shared::clean(&at(name)).unwrap();
        assert!(!dead.is_empty() && cleaned.left.is_empty(), "{name}: {cleaned:?}");
        assert_eq!(cleaned.cleared.len(), dead.len(), "{name}: {cleaned:?}");
        let users = shared::look(&at(name)).unwrap().users;
        assert!(users.iter().all(|user| user.process == std::process::id()), "{name}: {users:?}");
    }
    assert_eq!(lanes.users(), [1, 0]);
    own.send(1).unwrap();
    assert_eq!(lanes.receiver().unwrap().receive(), Ok(1));
    let mut receiver = ringed.receiver().unwrap();
    let again = receiver.take().unwrap();
    assert!(again.is_redelivered());
    assert_eq!(again.read(), Ok(7));
    let look = shared::look(&at("losing")).unwrap();
    assert_eq!((look.lost, losing.len()), (1, 0));
    assert_eq!(shared::look(&at("pool")).unwrap().queues[0].depth, Some(0));
    let mut publisher = fan.publisher().unwrap();
    (0..200).for_each(|n| publisher.send(n).unwrap());
    drop(pool);
}

/// A tap of a running channel changes nothing: the receiver gets every message, in order; and what
/// the tap tells is what was sent, each once, the rest being counted.
#[test]
fn a_tap_disturbs_nobody_and_tells_the_truth() {
    let namespace = namespace("running");
    let channel = Numbers::open(&namespace, "lanes", lanes()).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut tap = shared::Tap::on(&format!("{namespace}/lanes")).unwrap();
    let other = Other::play("send", &namespace);
    let receiving = std::thread::spawn(move || {
        (0..200_000).for_each(|n| assert_eq!(receiver.receive(), Ok(n)));
    });
    let (mut next, mut tapped, begun) = (0, 0, Instant::now());
    while next < 200_000 {
        let passed = tap.look(100).unwrap();
        for message in &passed.messages {
            assert_eq!(message.lane, 0);
            assert!(message.position >= next, "{message:?} again, after {next}");
            assert_eq!(tap.value(message), Some(shared::Value::Unsigned(message.position.into())));
        }
        tapped += passed.messages.len() as u64;
        next += passed.messages.len() as u64 + passed.missed;
        assert!(begun.elapsed() < Duration::from_secs(30), "{next}");
    }
    receiving.join().unwrap();
    other.done();
    assert!(next == 200_000 && tapped > 0, "{tapped} of {next}");
    let look = shared::look(&format!("{namespace}/lanes")).unwrap();
    let [lane] = &look.queues[..] else { panic!("{look:?}") };
    assert_eq!((lane.given, lane.taken, lane.depth), (Some(200_000), Some(200_000), Some(0)));
}

fn text(value: &shared::Value) -> String {
    match value {
        shared::Value::Fields(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={} ", text(value))).collect()
        }
        shared::Value::List(all) => all.iter().map(|one| text(one) + ",").collect(),
        shared::Value::Variant(name) => name.clone(),
        shared::Value::Unsigned(number) => number.to_string(),
        shared::Value::Signed(number) => number.to_string(),
        shared::Value::Single(number) => number.to_string(),
        shared::Value::Bool(is) => is.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Every kind of ring is tapped by the fields of its messages, whatever lies before them in a slot,
/// also when others have taken them already and when the ring has come round.
#[test]
fn every_ring_is_tapped_by_fields() {
    let namespace = &namespace("rings");
    let order = |number| Trade {
        number,
        prices: [-1, 0, 1],
        leg: Leg { weight: 0.5, size: -2, venue: *b"ab" },
        side: Side::Sell,
        marks: [true, false, true],
    };
    let want =
        "prices=-1,0,1, leg=weight=0.5 size=-2 venue=97,98,  side=Sell marks=true,false,true, ";
    type Sent<'s> = Box<dyn FnMut(u64) + 's>;
    let open = |name, config| Channel::<Trade, Shared>::open(namespace, name, config).unwrap();
    let ring = |channel: Channel<Trade, Shared>| -> Sent<'_> {
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        Box::new(move |number| {
            sender.send(order(number)).unwrap();
            assert_eq!(receiver.receive().unwrap().number, number);
        })
    };
    let small = Config { capacity: 8, ..Config::default() };
    let fan = broadcast::Config { capacity: 8, ..fan() };
    let mut fan = Broadcast::open(namespace, "fan", fan).unwrap().publisher().unwrap();
    let tape = lossy::Config { capacity: 8, ..lossy::Config::default() };
    let mut tape = Lossy::open(namespace, "tape", tape).unwrap().publisher().unwrap();
    let asked = Requests::<Trade, u64, Shared>::open(namespace, "asked", Default::default());
    let asked = asked.unwrap();
    let (mut client, mut server) = (asked.client().unwrap(), asked.server().unwrap());
    let rings: [(&str, Sent<'_>); 5] = [
        ("lanes", ring(open("lanes", small))),
        ("ring", ring(open("ring", Config { receivers: 2, ..small }))),
        ("fan", Box::new(|number| fan.send(order(number)).unwrap())),
        ("tape", Box::new(|number| tape.send(order(number)).unwrap())),
        (
            "asked",
            Box::new(|number| {
                client.tell(order(number)).unwrap();
                drop(server.receive().unwrap());
            }),
        ),
    ];
    for (name, mut send) in rings {
        let mut tap = shared::Tap::on(&format!("{namespace}/{name}")).unwrap();
        for number in 0..30 {
            send(number);
            let passed = tap.look(100).unwrap();
            assert_eq!((passed.messages.len(), passed.missed), (1, 0), "{name} {number}");
            let value = tap.value(&passed.messages[0]).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(text(&value), format!("number={number} {want}"), "{name}");
        }
        // A tap that is too slow counts what it has missed, and goes on.
        (30..100).for_each(send);
        let passed = tap.look(100).unwrap();
        let told = passed.messages.len() as u64 + passed.missed;
        assert!(told == 70 && !passed.messages.is_empty(), "{name}: {passed:?}");
        let last = tap.value(passed.messages.last().unwrap()).unwrap();
        assert!(text(&last).starts_with("number=99 ") || name == "asked", "{name}: {last:?}");
    }
}

/// Bytes are tapped message by message, round the end of the ring.
#[test]
fn bytes_are_tapped() {
    let namespace = namespace("bytes");
    let config = bytes::Config { capacity: 4096, senders: 2, ..bytes::Config::default() };
    let channel = Bytes::<Shared>::open(&namespace, "frames", config).unwrap();
    let _first = channel.sender().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let mut tap = shared::Tap::on(&format!("{namespace}/frames")).unwrap();
    for round in 0..200_usize {
        let message = vec![round as u8; round * 7 % 1200];
        sender.send(&message).unwrap();
        let passed = tap.look(10).unwrap();
        assert_eq!((passed.messages.len(), passed.missed), (1, 0), "{round}");
        assert_eq!((passed.messages[0].lane, &passed.messages[0].bytes), (1, &message));
        assert_eq!(receiver.receive().unwrap().view().to_vec(), message);
    }
    (0..9).for_each(|_| {
        sender.send(&[1; 1000]).unwrap();
        drop(receiver.receive().unwrap());
    });
    sender.send(&[2; 10]).unwrap();
    let passed = tap.look(10).unwrap();
    assert!(passed.missed > 0, "{passed:?}");
    assert_eq!(passed.messages.last().map(|last| &last.bytes[..]), Some(&[2; 10][..]));
}

/// What has no messages says so; names that nobody has, and that are none, are errors.
#[test]
fn what_cannot_be_tapped_says_so() {
    let namespace = namespace("none");
    let _signal = Signal::<Shared>::open(&namespace, "signal", signal::Config::default()).unwrap();
    let _pool = Pool::<u64, Shared>::open(&namespace, "pool", pool::Config::default()).unwrap();
    for name in ["signal", "pool"] {
        let error = shared::Tap::on(&format!("{namespace}/{name}")).unwrap_err();
        assert!(matches!(error, OpenError::NoMessages { kind } if kind == name), "{error}");
    }
    let error = shared::look(&format!("{namespace}/nothing")).unwrap_err();
    assert!(matches!(error, OpenError::NotFound { .. }), "{error}");
    assert!(matches!(shared::look("nothing"), Err(OpenError::BadName { .. })));
}

/// Who looks keeps nothing alive: with its last user an object is gone, under the eyes of a tap, which
/// says so, and the next of that name is another.
#[test]
fn a_look_keeps_nothing_alive() {
    let namespace = namespace("gone");
    let name = format!("{namespace}/lanes");
    let channel = Numbers::open(&namespace, "lanes", lanes()).unwrap();
    let first = shared::look(&name).unwrap();
    let mut tap = shared::Tap::on(&name).unwrap();
    let old = shared::Tap::on(&name).unwrap();
    drop(channel);
    // Not at once: processes that other tests start hold its descriptors until they run their program.
    let is_gone = || matches!(shared::look(&name), Err(OpenError::NotFound { .. }));
    until("the object is gone", || is_gone().then_some(()));
    until("the tap tells of the end", || tap.look(1).unwrap().has_ended.then_some(()));
    let channel = Numbers::open(&namespace, "lanes", lanes()).unwrap();
    channel.sender().unwrap().send(1).unwrap();
    assert!(!shared::look(&name).unwrap().is_of_the_same(&first));
    assert!({ old }.look(1).unwrap().messages.is_empty(), "that is another's");
    assert_eq!(channel.receiver().unwrap().receive(), Ok(1));
}

/// Whatever another process writes over a segment, those who look get something, or an error.
#[test]
fn scribbles_do_no_harm() {
    let namespace = namespace("scribbled");
    let name = format!("{namespace}/scribbled");
    let open = |round: usize| -> Box<dyn std::any::Any> {
        let bytes = bytes::Config { capacity: 4096, ..bytes::Config::default() };
        match round % 5 {
            0 => Box::new(Numbers::open(&namespace, "scribbled", lanes())),
            1 => Box::new(Numbers::open(&namespace, "scribbled", ringed())),
            2 => Box::new(Broadcast::<u64, Shared>::open(&namespace, "scribbled", fan())),
            3 => Box::new(Lossy::<u64, Shared>::open(&namespace, "scribbled", Default::default())),
            _ => Box::new(Bytes::<Shared>::open(&namespace, "scribbled", bytes)),
        }
    };
    let scribbler = Other::play("scribble scribbled", &namespace);
    let (mut looks, mut taps, mut cleans, mut errors) = (0, 0, 0, 0);
    let begun = Instant::now();
    for round in 0..400 {
        let _object = open(round);
        for _ in 0..5 {
            match shared::look(&name) {
                Ok(_) => looks += 1,
                Err(_) => errors += 1,
            }
            match shared::Tap::on(&name).and_then(|mut tap| {
                let passed = tap.look(50)?;
                passed.messages.iter().for_each(|message| drop(tap.value(message)));
                tap.look(50)
            }) {
                Ok(_) => taps += 1,
                Err(_) => errors += 1,
            }
            match shared::clean(&name) {
                Ok(_) => cleans += 1,
                Err(_) => errors += 1,
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{round}");
    }
    println!("{looks} looks, {taps} taps, {cleans} cleans, {errors} errors");
    assert!(looks > 0 && taps > 0 && cleans > 0 && errors > 0);
    scribbler.kill();
}

//! Names that are kept for objects which are not there yet.

mod processes;

use std::time::{Duration, Instant};

use processes::{Other, namespace, part, stay, until};
use tautline_bus::channel::{Channel, Config};
use tautline_bus::shared::{Namespace, Reservation};
use tautline_bus::{CreateError, OpenError, Shared};

type Numbers = Channel<u64, Shared>;
const LONG: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config { capacity: 64, senders: 8, ..Config::default() }
}

fn open(namespace: impl Into<Namespace>) -> Result<Numbers, OpenError> {
    Numbers::open(namespace, "numbers", config())
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    let patient = Namespace::new(&namespace).patience(LONG);
    match part.as_str() {
        "send" => {
            println!("\nready");
            open(patient).unwrap().sender().unwrap().send(7).unwrap();
            stay();
        }
        "reserve" => {
            let _kept = patient.reserve("numbers").unwrap();
            stay();
        }
        other => panic!("there is no part {other:?}"),
    }
}

/// Who opens a name that is reserved waits until it is bound, and finds what was bound to it.
#[test]
fn a_reserved_name_is_waited_for() {
    let namespace = namespace("waited");
    let kept = Namespace::new(&namespace).reserve("numbers").unwrap();
    let sender = Other::at("send", &namespace);
    // Long enough for it to have made one of its own, if it could.
    std::thread::sleep(Duration::from_millis(100));
    assert!(!kept.is_bound());
    let numbers = open(&namespace).unwrap();
    assert!(kept.is_bound());
    assert_eq!(numbers.receiver().unwrap().receive_timeout(LONG), Ok(7));
    drop((kept, sender));
    open(&namespace).unwrap();
}

/// Who does not want to wait for long is told by whom the name is reserved; nobody else reserves it
/// meanwhile; and when that process is killed the name can be had at once.
#[test]
fn who_waits_in_vain_is_told_for_whom() {
    let namespace = namespace("told");
    let holder = Other::at("reserve", &namespace);
    let hasty = Namespace::new(&namespace).patience(Duration::from_millis(20));
    let told = |error: OpenError| {
        let OpenError::Reserved { name, pid } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), *pid), (&*format!("{namespace}/numbers"), Some(holder.id())));
        assert!(error.to_string().contains("which has not opened it yet"), "{error}");
    };
    told(open(&hasty).unwrap_err());
    told(hasty.reserve("numbers").unwrap_err());
    holder.kill();
    let begun = Instant::now();
    open(&hasty).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// `None`: somebody has it open still.
fn reserved(namespace: &Namespace) -> Option<Reservation> {
    match namespace.reserve("numbers") {
        Err(OpenError::Taken { .. }) => None,
        other => Some(other.unwrap()),
    }
}

/// What is reserved and then not wanted is for others, and so is what was bound.
#[test]
fn a_name_is_given_back() {
    let own = Namespace::new(namespace("back"));
    drop(own.reserve("numbers").unwrap());
    let kept = own.reserve("numbers").unwrap();
    let numbers = open(&own).unwrap();
    let error = own.reserve("numbers").unwrap_err();
    assert!(matches!(&error, OpenError::Taken { name } if name.ends_with("/numbers")), "{error}");
    // The reservation is over: it is the object's now.
    drop(kept);
    assert!(matches!(own.reserve("numbers"), Err(OpenError::Taken { .. })));
    drop(numbers);
    // Processes that other tests start have it until they run their program.
    until("it can be reserved", || reserved(&own));
}

/// A reservation that is over does not give another of that name back, and says so of itself alone.
#[test]
fn a_reservation_is_told_from_one_before() {
    let name = namespace("again");
    let own = Namespace::new(&name);
    let mut kept = own.reserve("numbers").unwrap();
    drop(open(&own).unwrap());
    assert!(kept.is_bound());
    // The old one is dropped when the new one is there.
    let again = until("it can be reserved again", || reserved(&own));
    assert!(kept.is_bound() && !again.is_bound());
    kept = again;
    assert!(!kept.is_bound());
    let other = Other::at("send", &name);
    std::thread::sleep(Duration::from_millis(100));
    let numbers = open(&own).unwrap();
    assert!(kept.is_bound());
    assert_eq!(numbers.receiver().unwrap().receive_timeout(LONG), Ok(7));
    drop(other);
}

/// Who looks for what is there, as a guest of its own user, waits for what is reserved, and is not
/// told of other guests.
#[test]
fn a_guest_of_ones_own_waits_for_what_is_reserved() {
    let namespace = namespace("own-guest");
    let _kept = Namespace::new(&namespace).reserve("numbers").unwrap();
    let guest = Namespace::of_user(&namespace, rustix::process::geteuid().as_raw());
    let none = open(guest.clone().patience(Duration::from_millis(20))).unwrap_err();
    assert!(matches!(none, OpenError::NotFound { .. }), "{none}");
    std::thread::scope(|threads| {
        let guest = threads.spawn(|| open(guest.patience(LONG)));
        std::thread::sleep(Duration::from_millis(50));
        let _numbers = open(&namespace).unwrap();
        guest.join().unwrap().unwrap();
    });
}

/// An open that fails leaves the name reserved, and one for other guests does not get it.
#[test]
fn a_failed_open_leaves_the_name_reserved() {
    let own = Namespace::new(namespace("failed"));
    let kept = own.reserve("numbers").unwrap();
    let none = Numbers::open(&own, "numbers", Config { capacity: 0, ..config() }).unwrap_err();
    assert!(matches!(none, OpenError::Create(CreateError::Capacity { .. })), "{none}");
    let guests = own.clone().guests(tautline_bus::shared::Guests::Users(vec![1]));
    let error = open(&guests).unwrap_err();
    assert!(error.to_string().contains("reserved for its owner alone"), "{error}");
    assert!(!kept.is_bound());
    open(&own).unwrap();
    assert!(kept.is_bound());
}

/// Several threads open what was reserved at once: there is one object.
#[test]
fn those_who_bind_at_once_find_one_object() {
    for round in 0..20 {
        let own = Namespace::new(namespace(&format!("once{round}")));
        let _kept = own.reserve("numbers").unwrap();
        let opened: Vec<_> = std::thread::scope(|threads| {
            let open = || threads.spawn(|| open(&own).unwrap());
            let all: Vec<_> = (0..4).map(|_| open()).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut receiver = opened[0].receiver().unwrap();
        for (n, numbers) in (0..).zip(&opened) {
            numbers.sender().unwrap().send(n).unwrap();
            assert_eq!(until("a message", || receiver.try_receive().ok()), n);
        }
    }
}

/// A name of another user's cannot be reserved, and one that cannot be a name neither.
#[test]
fn what_cannot_be_reserved_is_refused() {
    let other = Namespace::of_user("feeds", 4_000_000);
    assert!(matches!(other.reserve("numbers"), Err(OpenError::NotOurs { .. })));
    let error = Namespace::new("feeds").reserve("all numbers").unwrap_err();
    assert!(matches!(error, OpenError::BadName { .. }), "{error}");
}

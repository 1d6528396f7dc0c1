//! Another process scribbles over each kind of object: what makes no sense is told as an error, and
//! never ends this process.

mod processes;

use std::time::Duration;

use processes::scribbler::{Fates, scribble, withstand};
use processes::{namespace, part};
use tautline_bus::broadcast::lossy::{self, Lossy, LossyError};
use tautline_bus::broadcast::{self, Broadcast, Start};
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::channel::{self, Channel};
use tautline_bus::completion::TakeError;
use tautline_bus::pool::{self, Pool, Ticket};
use tautline_bus::request::{self, Requests};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Full, ReceiveError, Shared, Wait};

const SLEEPY: Wait = Wait::Park { spin_for: Duration::ZERO };
/// A message that few bytes are one of.
type Flags = [bool; 64];

const SHORT: Duration = Duration::from_micros(50);

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    match part.strip_prefix("scribble ") {
        Some(name) => scribble(&namespace, name),
        None => panic!("there is no part {part}"),
    }
}

/// Byte channels: each call ends, with bytes within the channel or with an error.
#[test]
fn scribbled_bytes_are_told() {
    let namespace = &namespace("scribble");
    let open = |_| {
        let config = bytes::Config {
            capacity: 4096,
            senders: 2,
            full: Full::Refuse,
            wait: SLEEPY,
            ..bytes::Config::default()
        };
        Bytes::<Shared>::open(namespace, "bytes", config)
    };
    withstand(namespace, "bytes", open, play_bytes);
}

fn play_bytes(channel: &Bytes<Shared>, fates: &mut Fates) {
    // Seats that look taken are one kind of damage.
    let (Ok(mut sender), Ok(mut receiver)) = (channel.sender(), channel.receiver()) else {
        fates.refused += 1;
        return;
    };
    for len in [0, 1, 100, 777, 8, 16, 2040, 3] {
        _ = sender.send(&[7; 2040][..len]);
        match receiver.receive_timeout(SHORT) {
            Ok(message) => {
                assert!(message.view().to_vec().len() <= channel.limit().max(4096));
                fates.whole += usize::from(message.view().read::<bool>(0).is_err());
            }
            Err(ReceiveError::Corrupt) => fates.corrupt += 1,
            Err(_) => {}
        }
        let drained = receiver.drain(20);
        fates.whole += drained.views().map(|view| view.to_vec()).filter(|v| v.len() < 4096).count();
        assert!(drained.redelivered() <= drained.len());
    }
    assert!(channel.used() <= 2 * 4096, "{channel:?}");
}

/// Signals: a count may be anything, and waiting ends.
#[test]
fn a_scribbled_signal_does_no_harm() {
    let namespace = &namespace("signal");
    let open = |_| {
        let config = signal::Config { wait: SLEEPY, ..signal::Config::default() };
        Signal::<Shared>::open(namespace, "signal", config)
    };
    withstand(namespace, "signal", open, |signal, fates| {
        let (Ok(raiser), Ok(mut waiter)) = (signal.raiser(), signal.waiter()) else {
            fates.refused += 1;
            return;
        };
        for _ in 0..8 {
            raiser.raise(2);
            fates.whole += usize::from(waiter.wait_timeout(SHORT).is_ok());
            // There is nobody else who would raise it.
            fates.corrupt += usize::from(waiter.take_all() > 2);
        }
    });
}

/// Pools: whoever has a buffer gets values of its type or errors, and no buffer of no pool.
#[test]
fn a_scribbled_pool_is_told() {
    let namespace = &namespace("pool");
    let way = channel::Config { wait: SLEEPY, full: Full::Refuse, ..channel::Config::default() };
    let way = Channel::<Ticket, Shared>::open(namespace, "way", way).unwrap();
    let (mut sender, mut receiver) = (way.sender().unwrap(), way.receiver().unwrap());
    let open = |_| {
        let config = pool::Config { buffers: 5, wait: SLEEPY, ..pool::Config::default() };
        Pool::<Flags, Shared>::open(namespace, "pool", config)
    };
    let ways = std::cell::RefCell::new((&mut sender, &mut receiver));
    withstand(namespace, "pool", open, |pool, fates| {
        let (sender, receiver) = &mut *ways.borrow_mut();
        let (Ok(mut giver), Ok(mut taker)) = (pool.borrower(), pool.borrower()) else {
            fates.refused += 1;
            return;
        };
        for _ in 0..8 {
            if let Ok(mut draft) = giver.loan_timeout(SHORT) {
                draft.write(&[true; 64]);
                _ = draft.freeze().send(sender);
            }
            match taker.try_receive(receiver).map(|buffer| buffer.read()) {
                Ok(Ok(flags)) => fates.whole += usize::from(flags[0] | flags[63]),
                Ok(Err(_)) | Err(ReceiveError::Corrupt) => fates.corrupt += 1,
                Err(_) => {}
            }
        }
        assert!(pool.available() <= 5);
    });
}

/// Broadcasts: each subscriber gets messages that are ones, or errors.
#[test]
fn a_scribbled_broadcast_is_told() {
    let namespace = &namespace("broadcast");
    let open = |_| {
        let config = broadcast::Config {
            capacity: 8,
            full: Full::Refuse,
            wait: SLEEPY,
            ..broadcast::Config::default()
        };
        Broadcast::<Flags, Shared>::open(namespace, "broadcast", config)
    };
    withstand(namespace, "broadcast", open, |broadcast, fates| {
        let subscribers = [Start::Oldest, Start::Next];
        let subscribers = subscribers.map(|start| broadcast.subscriber_from(start, None));
        let (Ok(mut publisher), [Ok(mut old), Ok(mut new)]) = (broadcast.publisher(), subscribers)
        else {
            fates.refused += 1;
            return;
        };
        for _ in 0..8 {
            _ = publisher.send([true; 64]);
            match new.receive_timeout(SHORT) {
                Ok(flags) => fates.whole += usize::from(flags[0] | flags[63]),
                Err(ReceiveError::Corrupt) => fates.corrupt += 1,
                Err(_) => {}
            }
            let drained = old.drain(20);
            fates.corrupt += drained.copies().filter(Result::is_err).count();
        }
        assert!(broadcast.len() <= 8);
    });
}

/// Lossy broadcasts: the same.
#[test]
fn a_scribbled_lossy_broadcast_is_told() {
    let namespace = &namespace("lossy");
    let open = |_| {
        let config = lossy::Config { capacity: 8, wait: SLEEPY, ..lossy::Config::default() };
        Lossy::<Flags, Shared>::open(namespace, "lossy", config)
    };
    withstand(namespace, "lossy", open, |lossy, fates| {
        let oldest = lossy.subscriber_from(Start::Oldest, None);
        let (Ok(mut publisher), Ok(mut subscriber)) = (lossy.publisher(), oldest) else {
            fates.refused += 1;
            return;
        };
        for _ in 0..8 {
            _ = publisher.send([true; 64]);
            match subscriber.receive_timeout(SHORT) {
                Ok(flags) => fates.whole += usize::from(flags[0] | flags[63]),
                Err(LossyError::Receive(ReceiveError::Corrupt)) => fates.corrupt += 1,
                Err(_) => {}
            }
            fates.whole += subscriber.drain(20).count();
        }
    });
}

/// Requests: both sides get messages that are ones, or errors, and no call lasts for ever.
#[test]
fn scribbled_requests_are_told() {
    let namespace = &namespace("requests");
    let open = |round| {
        let config = request::Config {
            servers: 1 + round % 2,
            outstanding: 4,
            capacity: 8,
            full: Full::Refuse,
            wait: SLEEPY,
            ..request::Config::default()
        };
        Requests::<Flags, Flags, Shared>::open(namespace, "requests", config)
    };
    withstand(namespace, "requests", open, |requests, fates| {
        let (Ok(mut client), Ok(mut server)) = (requests.client(), requests.server()) else {
            fates.refused += 1;
            return;
        };
        for _ in 0..8 {
            let call = client.call([true; 64]);
            match server.receive_timeout(SHORT) {
                Ok(request) => {
                    fates.whole += usize::from(request.message[0] | request.message[63]);
                    request.reply([true; 64]);
                }
                Err(ReceiveError::Corrupt) => fates.corrupt += 1,
                Err(_) => {}
            }
            match call.map(|mut call| call.wait_for(SHORT)) {
                Ok(Ok(flags)) => fates.whole += usize::from(flags[0] | flags[63]),
                Ok(Err(TakeError::Corrupt)) => fates.corrupt += 1,
                _ => {}
            }
        }
    });
}

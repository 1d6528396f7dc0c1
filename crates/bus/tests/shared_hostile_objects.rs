//! Another process scribbles over each kind of object: what makes no sense is told as an error, and
//! never ends this process.

mod processes;

use std::time::Duration;

use processes::scribbler::{Fates, scribble, withstand};
use processes::{namespace, part};
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::{Full, ReceiveError, Shared, Wait};

const SLEEPY: Wait = Wait::Park { spin_for: Duration::ZERO };
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

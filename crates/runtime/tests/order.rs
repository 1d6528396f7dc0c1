//! Operations on one direction of a descriptor take effect in the order in which they
//! were submitted, whatever path each takes and whichever face submits it.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{REAL, small};
use proptest::prelude::*;
use tautline_runtime::{Config, Descriptor, Runtime, WaitMode, task, timer};

/// One write, by one of the ways there are.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// An owned buffer, all of it, with a callback.
    OwnedCallback(usize),
    /// An owned buffer in a task of its own, started in order.
    OwnedTask(usize),
    /// Queued to leave at the end of the turn.
    Coalesced(usize),
    /// At once, what is left queued.
    Now(usize),
    /// What is queued is sent now.
    Flush,
    /// The loop turns, so that the peer may read.
    Turn,
}

fn way() -> impl Strategy<Value = Way> {
    let len = prop_oneof![1..200usize, 1..40_000usize];
    prop_oneof![
        len.clone().prop_map(Way::OwnedCallback),
        len.clone().prop_map(Way::OwnedTask),
        len.clone().prop_map(Way::Coalesced),
        len.prop_map(Way::Now),
        Just(Way::Flush),
        Just(Way::Turn),
    ]
}

/// The next `len` bytes of a run that never repeats within a test.
fn next(position: &Cell<usize>, len: usize) -> Vec<u8> {
    let start = position.replace(position.get() + len);
    (start..start + len).map(byte).collect()
}

fn byte(position: usize) -> u8 {
    (position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]
}

fn run_writes(config: Config, ways: &[Way]) {
    let runtime = Runtime::new(config).unwrap();
    let (a, b) = Descriptor::pair().unwrap();
    let a = Rc::new(a);
    let position = Cell::new(0);
    let received = Rc::new(RefCell::new(Vec::new()));
    let log = received.clone();
    b.on_data(move |_, bytes| log.borrow_mut().extend_from_slice(bytes)).unwrap();
    for &way in ways {
        match way {
            Way::OwnedCallback(len) => {
                a.write_all(next(&position, len)).then(|(result, _)| assert!(result.is_ok()));
            }
            Way::OwnedTask(len) => {
                let (stream, bytes) = (a.clone(), next(&position, len));
                drop(task::spawn(async move { stream.write_all(bytes).await.0.unwrap() }).unwrap());
                // The task has to run for its write to be submitted in this place.
                runtime.poll_once().unwrap();
            }
            Way::Coalesced(len) => write_all(&a, &next(&position, len), |a, b| a.conn().write(b)),
            Way::Now(len) => write_all(&a, &next(&position, len), |a, b| a.conn().write_now(b)),
            Way::Flush => a.conn().flush(),
            Way::Turn => drop(runtime.poll_once().unwrap()),
        }
    }
    let expected = position.get();
    runtime.run_until(|| received.borrow().len() >= expected).unwrap();
    let received = received.borrow();
    let wrong = received.iter().enumerate().find(|&(at, &got)| got != byte(at));
    assert_eq!(wrong, None, "the first byte out of order");
    assert_eq!(received.len(), expected);
}

fn write_all(
    a: &Descriptor,
    bytes: &[u8],
    write: impl Fn(&Descriptor, &[u8]) -> std::io::Result<usize>,
) {
    assert_eq!(write(a, bytes).unwrap(), bytes.len(), "the write limit is above the test's total");
}

/// One read, by one of the ways there are.
#[derive(Clone, Copy, Debug)]
enum Take {
    Once(usize),
    Exact(usize),
    Poll(usize),
    /// Started and given up after some turns.
    Dropped(usize, usize),
}

fn take() -> impl Strategy<Value = Take> {
    let len = 1..3000usize;
    prop_oneof![
        len.clone().prop_map(Take::Once),
        len.clone().prop_map(Take::Exact),
        len.clone().prop_map(Take::Poll),
        (len, 0..3usize).prop_map(|(len, turns)| Take::Dropped(len, turns)),
    ]
}

async fn take_one(b: &Descriptor, take: Take, got: &mut Vec<u8>) {
    match take {
        Take::Once(len) => {
            let (result, buf) = b.read(vec![0; len]).await;
            got.extend_from_slice(&buf[..result.unwrap()]);
        }
        Take::Exact(len) => {
            let (result, buf) = b.read_exact(vec![0; len]).await;
            got.extend_from_slice(&buf[..result.unwrap()]);
        }
        Take::Poll(len) => {
            let mut buf = vec![0; len];
            let n = std::future::poll_fn(|cx| b.poll_read(cx, &mut buf)).await.unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        Take::Dropped(len, turns) => {
            let exact = turns % 2 == 0;
            let mut turns = turns;
            let leave = std::pin::pin!(async {
                while turns > 0 {
                    turns -= 1;
                    task::yield_now().await;
                }
            });
            if exact {
                let read = b.read_exact(vec![0; len]);
                if let futures::future::Either::Left(((result, buf), _)) =
                    futures::future::select(read, leave).await
                {
                    got.extend_from_slice(&buf[..result.unwrap()]);
                }
            } else {
                let read = b.read(vec![0; len]);
                if let futures::future::Either::Left(((result, buf), _)) =
                    futures::future::select(read, leave).await
                {
                    got.extend_from_slice(&buf[..result.unwrap()]);
                }
            }
        }
    }
}

fn run_reads(config: Config, takes: &[Take], chunks: &[usize]) {
    let runtime = Runtime::new(config).unwrap();
    let (a, b) = Descriptor::pair().unwrap();
    let position = Cell::new(0);
    let chunks: Vec<Vec<u8>> = chunks.iter().map(|&len| next(&position, len)).collect();
    // A reader that is never told would sleep for ever: this wakes the loop, and tells.
    let lost = Rc::new(Cell::new(false));
    let told = lost.clone();
    timer::after(Duration::from_secs(20), move || told.set(true)).unwrap();
    let got = runtime
        .block_on(async {
            drop(task::spawn(async move {
                for chunk in chunks {
                    a.write_all(chunk).await.0.unwrap();
                    task::yield_now().await;
                }
                std::future::pending::<()>().await;
            }));
            let mut got = Vec::new();
            for &take in takes.iter().cycle() {
                let left = position.get() - got.len();
                if left == 0 {
                    break;
                }
                let take = match take {
                    Take::Exact(len) => Take::Exact(len.min(left)),
                    Take::Dropped(len, turns) => Take::Dropped(len.min(left), turns),
                    other => other,
                };
                take_one(&b, take, &mut got).await;
                assert!(!lost.get(), "{take:?} was not told of its bytes, {left} were left");
            }
            got
        })
        .unwrap();
    assert!(got.iter().enumerate().all(|(at, &got)| got == byte(at)));
    assert_eq!(got.len(), position.get());
}

fn configs() -> impl Iterator<Item = Config> {
    REAL.into_iter().flat_map(|driver| {
        [WaitMode::Spin, WaitMode::Sleep].map(|wait| Config {
            driver: driver.clone(),
            wait,
            write_limit: 64 << 20,
            send_chunks: 4096,
            stall: None,
            ..small()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Owned and coalesced writes, by callbacks and tasks, inline, partial and armed,
    /// arrive in the order in which they were submitted.
    #[test]
    fn writes_arrive_in_order(ways in prop::collection::vec(way(), 1..60)) {
        for config in configs() {
            run_writes(config, &ways);
        }
    }

    /// Reads of every sort, some of them given up at random points, together see every
    /// byte of the stream, in order.
    #[test]
    fn reads_see_every_byte(
        takes in prop::collection::vec(take(), 1..30),
        chunks in prop::collection::vec(1..4000usize, 1..40),
    ) {
        // A list of nothing but dropped reads would never end.
        let mut takes = takes;
        takes.push(Take::Once(100));
        for config in configs() {
            run_reads(config, &takes, &chunks);
        }
    }
}

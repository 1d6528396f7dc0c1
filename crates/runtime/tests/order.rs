//! Operations on one direction of a descriptor take effect in the order in which they
//! were submitted, whatever path each takes and whichever face submits it.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{REAL, small};
use futures::FutureExt;
use proptest::prelude::*;
use tautline_runtime::{Config, Descriptor, Error, Runtime, WaitMode, task, timer};

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

/// One write that may be given up before it is over.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// Cancelled after some turns.
    Cancelled(usize, usize),
    /// With so many microseconds to go.
    Hasty(usize, u64),
    /// Its future is dropped: it goes on in the background.
    Dropped(usize),
    /// Its future writes what the kernel takes, and is dropped too.
    DroppedOnce(usize),
    /// Several buffers, dropped likewise.
    DroppedMany(usize),
    /// Kept to its end.
    Kept(usize),
    /// Queued to leave at the end of the turn.
    Coalesced(usize),
    Turn,
}

fn given() -> impl Strategy<Value = Given> {
    let len = prop_oneof![1..2_000usize, 1..400_000usize];
    prop_oneof![
        (len.clone(), 0..3usize).prop_map(|(len, turns)| Given::Cancelled(len, turns)),
        (len.clone(), 0..300u64).prop_map(|(len, micros)| Given::Hasty(len, micros)),
        len.clone().prop_map(Given::Dropped),
        len.clone().prop_map(Given::DroppedOnce),
        len.clone().prop_map(Given::DroppedMany),
        len.clone().prop_map(Given::Kept),
        (1..2_000usize).prop_map(Given::Coalesced),
        Just(Given::Turn),
    ]
}

/// What its owner heard of a write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    /// It is in the stream, unless one before it was cut short.
    Taken,
    /// It was given up: cut short, or nothing of it has left.
    GivenUp,
    /// One before it was cut short.
    Behind,
}

/// A write of the bytes from `start` on.
#[derive(Clone, Debug)]
struct Wrote {
    start: usize,
    len: usize,
    told: Rc<Cell<Told>>,
}

/// The sending end of a pair, and what was done with it.
struct Giver {
    a: Descriptor,
    position: Cell<usize>,
    wrote: RefCell<Vec<Wrote>>,
}

impl Giver {
    fn next(&self, len: usize, told: Told) -> (Vec<u8>, Rc<Cell<Told>>) {
        let (start, told) = (self.position.get(), Rc::new(Cell::new(told)));
        self.wrote.borrow_mut().push(Wrote { start, len, told: told.clone() });
        (next(&self.position, len), told)
    }

    /// A callback that notes what it is told.
    fn note(told: Rc<Cell<Told>>) -> impl FnOnce((std::io::Result<usize>, Vec<u8>)) {
        move |(result, bytes)| {
            told.set(match result {
                Ok(n) => {
                    assert_eq!(n, bytes.len());
                    Told::Taken
                }
                Err(error) => match Error::of(&error) {
                    Some(Error::Cancelled | Error::TimedOut) => Told::GivenUp,
                    Some(Error::WriteTorn { .. }) => Told::Behind,
                    _ => panic!("{error}"),
                },
            });
        }
    }

    fn give(&self, runtime: &Runtime, given: Given) {
        match given {
            Given::Cancelled(len, turns) => {
                let (bytes, told) = self.next(len, Told::Nothing);
                let write = self.a.write_all(bytes).then(Self::note(told));
                for _ in 0..turns {
                    runtime.poll_once().unwrap();
                }
                write.cancel();
            }
            Given::Hasty(len, micros) => {
                let (bytes, told) = self.next(len, Told::Nothing);
                let after = Duration::from_micros(micros);
                self.a.write_all(bytes).timeout(after).then(Self::note(told));
            }
            Given::Kept(len) => {
                let (bytes, told) = self.next(len, Told::Nothing);
                self.a.write_all(bytes).then(Self::note(told));
            }
            Given::Dropped(len) => self.dropped(len),
            Given::DroppedOnce(len) => self.once(len),
            Given::DroppedMany(len) => self.many(len),
            Given::Coalesced(len) => {
                let (bytes, told) = self.next(len, Told::Taken);
                match self.a.conn().write(&bytes) {
                    Ok(n) => assert_eq!(n, len),
                    Err(_) => told.set(Told::Behind),
                }
            }
            Given::Turn => drop(runtime.poll_once().unwrap()),
        }
    }

    fn dropped(&self, len: usize) {
        let (bytes, told) = self.next(len, Told::Taken);
        if let Some((Err(_), _)) = start(self.a.write_all(bytes)) {
            told.set(Told::Behind);
        }
    }

    /// Either the kernel took a part at once, and says so, or all goes on behind.
    fn once(&self, len: usize) {
        let bytes = next(&self.position, len);
        self.took(len, start(self.a.write(bytes)).map(|(result, _)| result));
    }

    fn many(&self, len: usize) {
        let bytes = next(&self.position, len);
        let parts = bytes.chunks(len.div_ceil(7)).map(<[u8]>::to_vec).collect();
        self.took(len, start(self.a.write_vectored(parts)).map(|(result, _)| result));
    }

    fn took(&self, len: usize, result: Option<std::io::Result<usize>>) {
        let start = self.position.get() - len;
        let (len, told) = match result {
            None => (len, Told::Taken),
            Some(Ok(n)) => (n, Told::Taken),
            Some(Err(_)) => (len, Told::Behind),
        };
        self.wrote.borrow_mut().push(Wrote { start, len, told: Rc::new(Cell::new(told)) });
    }
}

/// Polls an operation once and drops it.
fn start<F: Future>(operation: F) -> Option<F::Output> {
    std::pin::pin!(operation).as_mut().now_or_never()
}

/// The bytes that `wrote` promises: all that was taken, up to the write that was cut short
/// after `cut.0` of its `cut.1` bytes. There is one such write, or `None` fits.
fn promised(wrote: &[Wrote], cut: Option<(usize, usize)>) -> Vec<Vec<u8>> {
    let bytes = |from: usize, len: usize| (from..from + len).map(byte);
    let taken = |wrote: &[Wrote]| -> Vec<u8> {
        let taken = wrote.iter().filter(|one| one.told.get() == Told::Taken);
        taken.flat_map(|one| bytes(one.start, one.len)).collect()
    };
    let Some((written, of)) = cut else { return vec![taken(wrote)] };
    let torn = |one: &Wrote| one.len == of && one.told.get() == Told::GivenUp;
    let cuts = wrote.iter().enumerate().filter(|(_, one)| torn(one));
    cuts.map(|(at, one)| {
        let mut whole = taken(&wrote[..at]);
        whole.extend(bytes(one.start, written));
        whole
    })
    .collect()
}

fn run_given(config: Config, given: &[Given]) {
    let runtime = Runtime::new(config).unwrap();
    let (a, b) = Descriptor::pair().unwrap();
    let giver = Giver { a, position: Cell::new(0), wrote: RefCell::default() };
    let received = Rc::new(RefCell::new(Vec::new()));
    let (log, ended) = (received.clone(), Rc::new(Cell::new(false)));
    let end = ended.clone();
    let b = b.on_data(move |_, bytes| log.borrow_mut().extend_from_slice(bytes)).unwrap();
    b.on_close(move |_, _| end.set(true));
    given.iter().for_each(|&given| giver.give(&runtime, given));
    let told = || giver.wrote.borrow().iter().all(|one| one.told.get() != Told::Nothing);
    let late = Rc::new(Cell::new(false));
    let tell = late.clone();
    timer::after(Duration::from_secs(20), move || tell.set(true)).unwrap();
    runtime.run_until(|| told() || late.get()).unwrap();
    giver.give(&runtime, Given::Kept(1));
    runtime.run_until(|| told() || late.get()).unwrap();
    assert!(told(), "not told: {:?}", giver.wrote.borrow());
    let cut = match giver.a.conn().write(b"") {
        Ok(_) => None,
        Err(error) => match Error::of(&error) {
            Some(&Error::WriteTorn { written, of }) => Some((written, of)),
            _ => panic!("{error}"),
        },
    };
    drop(giver.a);
    runtime.run_until(|| ended.get() || late.get()).unwrap();
    assert!(ended.get(), "{} bytes came, and no end", received.borrow().len());
    let promised = promised(&giver.wrote.borrow(), cut);
    let received = received.borrow();
    assert!(
        promised.contains(&received),
        "{} bytes came, cut {cut:?}, of {:?}",
        received.len(),
        giver.wrote.borrow()
    );
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

    /// Writes that are cancelled, late or dropped are in the stream whole or not at all; one
    /// that is cut short says how much of it left, and is the last thing that the peer sees.
    #[test]
    fn a_write_given_up_leaves_no_gap(given in prop::collection::vec(given(), 1..30)) {
        for config in configs() {
            run_given(config, &given);
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

//! Receivers of the bus in a simulated world: virtual time, and the same run for the same seed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tautline_bus::channel::{self, Channel, Sender};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Carries, InProcess, Local, Private, ReceiveError};
use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::listen::Listen;
use tautline_runtime::{Config, DriverChoice, Runtime, now, sim, task, timer};

/// What was heard, by whom, and when in the world's time.
type Trace = Rc<RefCell<Vec<(u64, &'static str, u32)>>>;

fn note(trace: &Trace, who: &'static str, what: u32) {
    trace.borrow_mut().push((now().unwrap().as_nanos(), who, what));
}

/// Messages of a run, and what there is time for between two of them.
const MESSAGES: u32 = 300;
const LONGEST: Duration = Duration::from_secs(2);

/// Sends each number after a time that chance picks, from a timer.
fn feed<S: Carries<u32>>(mut sender: Sender<u32, S>, mut chance: fastrand::Rng, from: u32) {
    if from == MESSAGES {
        return;
    }
    let after = Duration::from_nanos(chance.u64(0..LONGEST.as_nanos() as u64));
    timer::after(after, move || {
        // Now and then several at once, more than a turn hands on.
        let burst = if chance.u8(..) < 16 { 50 } else { 1 };
        let next = (from + burst).min(MESSAGES);
        (from..next).for_each(|n| sender.send(n).unwrap());
        feed(sender, chance, next);
    })
    .unwrap();
}

/// A world that chance feeds: a timer sends to a callback, that to a task, that to a fiber, and the
/// callback raises a signal besides, which another hears. Returns what was heard, and the trace of
/// the world.
fn play<S: Carries<u32> + InProcess>(seed: u64) -> (Vec<(u64, &'static str, u32)>, u64) {
    let world = sim::Config::new(seed);
    let handle = world.handle.clone();
    let driver = DriverChoice::Sim(Box::new(world));
    let runtime = Runtime::new(Config { driver, ..Config::default() }).unwrap();
    let trace = Trace::default();
    let channel = || {
        let channel = Channel::<u32, S>::new(channel::Config::default()).unwrap();
        (channel.sender().unwrap(), channel.receiver().unwrap())
    };
    let ((first, called), (mut to_task, mut awaited), (mut to_fiber, mut waited)) =
        (channel(), channel(), channel());
    let signal = Signal::<S>::new(signal::Config::default()).unwrap();
    let (raiser, waiter) = (signal.raiser().unwrap(), signal.waiter().unwrap());
    drop(signal);

    let heard = trace.clone();
    called
        .on_message(move |message| {
            if let Ok(n) = message {
                note(&heard, "callback", n);
                raiser.raise(1);
                to_task.send(n).unwrap();
            }
        })
        .unwrap();
    let heard = trace.clone();
    let raised = waiter.on_message(move |count| note(&heard, "signal", count.unwrap_or(0) as u32));
    let raised = raised.unwrap();
    let heard = trace.clone();
    task::spawn(async move {
        while let Ok(n) = awaited.receive_async().await {
            note(&heard, "task", n);
            to_fiber.send(n).unwrap();
        }
    })
    .unwrap();
    let (heard, ended) = (trace.clone(), Rc::new(Cell::new(false)));
    let told = ended.clone();
    fiber::spawn(Stack::Small, move || {
        while let Ok(n) = fiber::wait(waited.receive_async()).unwrap() {
            note(&heard, "fiber", n);
        }
        told.set(true);
    })
    .unwrap()
    .detach();
    feed(first, fastrand::Rng::with_seed(seed), 0);
    runtime.run_until(|| ended.get() && raised.is_over()).unwrap();
    (trace.take(), handle.trace_hash())
}

fn of<'t>(
    trace: &'t [(u64, &'static str, u32)],
    who: &'static str,
) -> impl Iterator<Item = (u64, u32)> + 't {
    trace.iter().filter(move |line| line.1 == who).map(|line| (line.0, line.2))
}

/// Minutes of the world's time pass in no time of ours; everything arrives once and in order by
/// each face, soon after it was sent; and a seed plays the same run again, line by line.
fn converges<S: Carries<u32> + InProcess>() {
    let began = std::time::Instant::now();
    let mut others = std::collections::HashSet::new();
    for seed in 0..8 {
        let (trace, world) = play::<S>(seed);
        for who in ["callback", "task", "fiber"] {
            assert!(of(&trace, who).map(|line| line.1).eq(0..MESSAGES), "seed {seed}: {who}");
        }
        assert_eq!(of(&trace, "signal").map(|line| line.1).sum::<u32>(), MESSAGES);
        let ends = of(&trace, "fiber").map(|line| line.0);
        let late = of(&trace, "callback").zip(ends).map(|(heard, end)| end - heard.0).max();
        // A few turns of the world, at a microsecond each.
        assert!(late.unwrap() < 10_000, "seed {seed}: a message took {late:?} ns on its way");
        let lasted = trace.last().unwrap().0 - trace[0].0;
        assert!(lasted > 10_000_000_000, "seed {seed}: the world lasted {lasted} ns");
        let again = play::<S>(seed);
        assert!(again == (trace.clone(), world), "seed {seed} took another way");
        others.insert(trace);
    }
    assert_eq!(others.len(), 8, "seeds that play the same run");
    assert!(began.elapsed() < Duration::from_secs(20), "it has slept: {:?}", began.elapsed());
}

/// See `converges`, over handles of one thread.
#[test]
fn private_receivers_are_deterministic() {
    converges::<Private>();
}

/// The same over handles of any thread.
#[test]
fn local_receivers_are_deterministic() {
    converges::<Local>();
}

/// A task that waits for what nobody in the world will send ends, when the senders have gone, by
/// the error that says so, and not by a deadlock of the world.
#[test]
fn the_end_comes_in_the_world_too() {
    let driver = DriverChoice::Sim(Box::default());
    let runtime = Runtime::new(Config { driver, ..Config::default() }).unwrap();
    let channel = Channel::<u32, Local>::new(channel::Config::default()).unwrap();
    let (sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    drop(channel);
    timer::after(Duration::from_secs(3600), move || drop(sender)).unwrap();
    let began = runtime.now();
    assert_eq!(runtime.block_on(receiver.receive_async()).unwrap(), Err(ReceiveError::Closed));
    assert!(runtime.now().saturating_since(began) >= Duration::from_secs(3600));
}

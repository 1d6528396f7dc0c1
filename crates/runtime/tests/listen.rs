//! Receivers of the bus on the loop: all kinds of them, by all faces, whichever way the loop waits.

mod common;
#[path = "listen/kinds.rs"]
mod kinds;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use common::{WAITS, everywhere, small};
use kinds::{COUNT, Kind, Tally};
use tautline_bus::channel::{self, Channel, Receiver, Sender};
use tautline_bus::completion::{self, Async, TakeError};
use tautline_bus::{Local, ReceiveError, Wait};
use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::listen::{Listen, Listener, Looked, Source};
use tautline_runtime::{Config, Panics, Runtime, WaitMode, task};

/// A receiver by a callback, one by a task and one by a fiber, all of one kind.
fn hear<K: Kind>([called, mut awaited, mut waited]: [K; 3], tally: &Tally) {
    let told = tally.clone();
    called.on_message(move |event| _ = told.note(K::value(event))).unwrap();
    let told = tally.clone();
    task::spawn(async move { while told.note(awaited.next().await).is_continue() {} }).unwrap();
    let told = tally.clone();
    fiber::spawn(Stack::Small, move || {
        while told.note(fiber::wait(waited.next()).unwrap()).is_continue() {}
    })
    .unwrap()
    .detach();
}

/// Six kinds of receivers, each by three faces, mixed on one loop, with all senders in one other
/// thread: each gets everything and then hears of the end, on each driver, whichever way the loop
/// and the objects wait.
#[test]
fn every_kind_is_heard_by_every_face() {
    for wait in [Wait::default(), Wait::Yield] {
        everywhere(|runtime| {
            let tally = Tally::default();
            let mut senders = Vec::new();
            hear(kinds::channels(wait, &mut senders), &tally);
            hear(kinds::byte_channels(wait, &mut senders), &tally);
            hear(kinds::broadcasts(wait, &mut senders), &tally);
            hear(kinds::lossy_broadcasts(wait, &mut senders), &tally);
            hear(kinds::signals(wait, &mut senders), &tally);
            hear(kinds::servers(wait, &mut senders), &tally);
            let all = senders.len();
            let thread = thread::spawn(move || {
                for n in 1..=COUNT {
                    senders.iter_mut().for_each(|send| send(n));
                    if n % 16 == 0 {
                        // Let the loop go to sleep.
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
            runtime.run_until(|| tally.ended() == all).unwrap();
            thread.join().unwrap();
            assert_eq!(tally.sum(), kinds::expected());
        });
    }
}

// ------------------------------------------------------------------------------- callbacks

fn numbers(config: channel::Config) -> (Channel<u32, Local>, Sender<u32, Local>) {
    let channel = Channel::new(config).unwrap();
    let sender = channel.sender().unwrap();
    (channel, sender)
}

/// A handler that keeps what it is called with.
type Heard = Rc<RefCell<Vec<Result<u32, ReceiveError>>>>;

fn keep(heard: &Heard) -> impl FnMut(Result<u32, ReceiveError>) + use<> {
    let heard = heard.clone();
    move |event| heard.borrow_mut().push(event)
}

fn runtime(wait: WaitMode) -> Runtime {
    Runtime::new(Config { wait, ..small() }).unwrap()
}

/// A turn hands a listener no more than its budget, so that another is served in the same turn.
#[test]
fn a_turn_hands_on_no_more_than_the_budget() {
    let runtime = runtime(WaitMode::Sleep);
    let heard = [Heard::default(), Heard::default()];
    for heard in &heard {
        let (channel, mut sender) = numbers(channel::Config::default());
        channel.receiver().unwrap().on_message(keep(heard)).unwrap();
        (0..100).for_each(|n| sender.send(n).unwrap());
    }
    for turn in 1..=3 {
        runtime.poll_once().unwrap();
        assert!(heard.iter().all(|heard| heard.borrow().len() == 32 * turn));
    }
    runtime.poll_once().unwrap();
    // The senders have gone meanwhile: the end is the last that is heard.
    let expected = (0..100).map(Ok).chain([Err(ReceiveError::Closed)]).collect::<Vec<_>>();
    assert!(heard.iter().all(|heard| *heard.borrow() == expected));
}

/// When the last sender has gone, a listener hears of it once, as the last; then its receiver is
/// detached and its handler dropped.
#[test]
fn the_end_is_the_last_event() {
    let runtime = runtime(WaitMode::Sleep);
    let (channel, mut sender) = numbers(channel::Config::default());
    let heard = Heard::default();
    let listener = channel.receiver().unwrap().on_message(keep(&heard)).unwrap();
    sender.send(7).unwrap();
    runtime.poll().unwrap();
    assert!(listener.is_listening() && !listener.is_over());
    channel.close();
    runtime.run_until(|| listener.is_over()).unwrap();
    assert_eq!(*heard.borrow(), [Ok(7), Err(ReceiveError::Closed)]);
    assert_eq!((Rc::strong_count(&heard), channel.users()), (1, [1, 0]));
    assert!(!listener.stop() && !listener.is_listening());
}

/// A listener that stops from within its handler is called no more, though messages are there; and
/// these are for the next receiver.
#[test]
fn a_handler_can_stop_its_own_listener() {
    let runtime = runtime(WaitMode::Sleep);
    let (channel, mut sender) = numbers(channel::Config::default());
    let (own, heard) = (Rc::new(RefCell::new(None::<Listener>)), Rc::new(Cell::new(0)));
    let (itself, count) = (own.clone(), heard.clone());
    let listener = channel.receiver().unwrap().on_message(move |message| {
        count.set(count.get() + 1);
        if message == Ok(2) {
            let listener = itself.take().unwrap();
            assert!(listener.stop() && !listener.stop() && !listener.is_over());
        }
    });
    own.replace(Some(listener.unwrap()));
    (1..=4).for_each(|n| sender.send(n).unwrap());
    runtime.poll().unwrap();
    assert_eq!((heard.get(), Rc::strong_count(&heard), channel.users()), (2, 1, [1, 0]));
    assert_eq!(channel.receiver().unwrap().try_receive(), Ok(3));
}

/// A listener that is stopped from outside detaches at once; dropping it does not stop it.
#[test]
fn a_listener_is_stopped_by_stop_alone() {
    let runtime = runtime(WaitMode::Sleep);
    let (channel, mut sender) = numbers(channel::Config { receivers: 2, ..Default::default() });
    let heard = Heard::default();
    drop(channel.receiver().unwrap().on_message(keep(&heard)).unwrap());
    let stopped = channel.receiver().unwrap().on_message(|_| unreachable!("stopped")).unwrap();
    assert!(stopped.stop() && stopped.is_over());
    assert_eq!(channel.users(), [1, 1]);
    sender.send(1).unwrap();
    runtime.poll().unwrap();
    assert_eq!(*heard.borrow(), [Ok(1)]);
    drop(runtime);
    assert_eq!((channel.users(), Rc::strong_count(&heard)), ([1, 0], 1));
}

/// A handler that panics is named and counted, and called no more; its receiver is detached, and
/// the loop goes on. `Panics::Raise` makes the loop return besides.
#[test]
fn a_panic_of_a_handler_ends_its_listener_alone() {
    for panics in [Panics::Catch, Panics::Raise] {
        let runtime = Runtime::new(Config { panics, ..small() }).unwrap();
        let (channel, mut sender) = numbers(channel::Config { receivers: 2, ..Default::default() });
        let (other, mut to_other) = numbers(channel::Config::default());
        let heard = Heard::default();
        other.receiver().unwrap().on_message(keep(&heard)).unwrap();
        let listener = channel.receiver().unwrap().on_message(|_| panic!("seeded")).unwrap();
        sender.send(1).unwrap();
        to_other.send(2).unwrap();
        let ran = runtime.poll();
        assert_eq!(ran.is_err(), panics == Panics::Raise, "{ran:?}");
        runtime.poll().unwrap();
        assert!(listener.is_over());
        assert_eq!((runtime.metrics().panics, channel.users()), (1, [1, 0]));
        assert_eq!(*heard.borrow(), [Ok(2)]);
    }
}

/// What comes while the loop sleeps ends one sleep, however much it is: a batch costs one wake-up.
#[test]
fn a_batch_ends_one_sleep() {
    const BATCHES: u32 = 50;
    let runtime = runtime(WaitMode::Sleep);
    let (channel, mut sender) = numbers(channel::Config::default());
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    let listener = channel.receiver().unwrap().on_message(move |_| count.set(count.get() + 1));
    let listener = listener.unwrap();
    drop(channel);
    let thread = thread::spawn(move || {
        for _ in 0..BATCHES {
            assert_eq!(sender.send_batch(0..20), 20);
            thread::sleep(Duration::from_millis(1));
        }
    });
    runtime.run_until(|| listener.is_over()).unwrap();
    thread.join().unwrap();
    // The end is one more event, and the first sleep came before the first batch.
    assert_eq!(heard.get(), BATCHES * 20 + 1);
    assert!(runtime.metrics().sleeps <= u64::from(BATCHES) + 2, "{:?}", runtime.metrics());
}

/// A completion object is heard for as long as its handler begins another operation; its completers
/// are on another thread. One on which nothing was begun says so at once.
#[test]
fn a_completion_is_heard_again_and_again() {
    for wait in WAITS {
        let runtime = runtime(wait);
        let (to_thread, orders) = std::sync::mpsc::channel::<(u32, completion::Completer<_, _>)>();
        let thread = thread::spawn(move || {
            orders.iter().for_each(|(n, completer)| completer.complete(n * n).unwrap());
        });
        let mut done = Async::<u32, Local>::new(completion::Config::default());
        to_thread.send((1, done.begin().unwrap())).unwrap();
        let results = Rc::new(RefCell::new(Vec::new()));
        let (told, mut n) = (results.clone(), 1);
        let listener = done.on_message(move |(result, done)| {
            told.borrow_mut().push(result.unwrap());
            n += 1;
            if n <= 5 {
                to_thread.send((n, done.begin().unwrap())).unwrap();
            }
        });
        let listener = listener.unwrap();
        runtime.run_until(|| listener.is_over()).unwrap();
        assert_eq!(*results.borrow(), [1, 4, 9, 16, 25]);
        thread.join().unwrap();

        let idle = Rc::new(Cell::new(None));
        let told = idle.clone();
        let never = Async::<u32, Local>::new(completion::Config::default());
        never.on_message(move |(result, _)| told.set(Some(result))).unwrap();
        runtime.poll().unwrap();
        assert_eq!(idle.get(), Some(Err(TakeError::Idle)));
    }
}

/// What a sender that lies leaves behind: `bad` damaged messages before each good one.
struct Damages {
    bad: u32,
    looks: u32,
}

impl Source for Damages {
    type Event<'e> = Result<u32, ReceiveError>;

    fn look(&mut self, handler: &mut impl FnMut(Self::Event<'_>)) -> Looked {
        self.looks += 1;
        if self.looks.is_multiple_of(self.bad + 1) {
            handler(Ok(self.looks));
            return Looked::Handed;
        }
        handler(Err(ReceiveError::Corrupt));
        Looked::Damaged
    }

    fn poll_wait(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// One bad message is told like any other and costs no listener its good ones; one where nothing
/// else comes for as many as a turn hands on has ended, and keeps no loop busy.
#[test]
fn one_bad_message_is_not_the_end() {
    let runtime = runtime(WaitMode::Sleep);
    for bad in [1, 31, 32] {
        let heard = Heard::default();
        let listener = Damages { bad, looks: 0 }.on_message(keep(&heard)).unwrap();
        (0..100).for_each(|_| _ = runtime.poll_once().unwrap());
        assert_eq!(listener.is_over(), bad == 32, "{bad}");
        let good = heard.borrow().iter().filter(|event| event.is_ok()).count();
        assert_eq!(good as u32, if bad == 32 { 0 } else { 3200 / (bad + 1) });
        listener.stop();
    }
}

/// A thread without a runtime, and a loop without a place, refuse the receiver and let go of it.
#[test]
fn a_receiver_that_cannot_be_heard_is_detached() {
    let (channel, _sender) = numbers(channel::Config::default());
    let refused = channel.receiver().unwrap().on_message(|_| ()).unwrap_err();
    assert!(matches!(refused, tautline_runtime::Error::NoRuntime));
    let _runtime = Runtime::new(Config { tasks: 1, ..small() }).unwrap();
    let listener = channel.receiver().unwrap().on_message(|_| ()).unwrap();
    let (other, _to_other) = numbers(channel::Config::default());
    let refused = other.receiver().unwrap().on_message(|_| ()).unwrap_err();
    assert!(matches!(refused, tautline_runtime::Error::Exhausted { knob: "tasks", .. }));
    assert_eq!(other.users(), [1, 0]);
    assert!(listener.stop());
}

/// Receivers of the loop's own thread, with no atomics, are heard like others.
#[test]
fn private_receivers_are_heard_too() {
    let runtime = runtime(WaitMode::Sleep);
    let channel = Channel::<Rc<u32>, tautline_bus::Private>::new(Default::default()).unwrap();
    let (mut sender, receiver): (_, Receiver<_, _>) =
        (channel.sender().unwrap(), channel.receiver().unwrap());
    let sum = Rc::new(Cell::new(0));
    let total = sum.clone();
    let add = move |message: Result<Rc<u32>, _>| total.set(total.get() + *message.unwrap());
    let listener = receiver.on_message(add).unwrap();
    task::spawn(async move {
        for n in 1..=10 {
            sender.send_async(Rc::new(n)).await.unwrap();
            task::yield_now().await;
        }
        std::future::pending::<()>().await;
    })
    .unwrap();
    runtime.run_until(|| sum.get() == 55).unwrap();
    assert!(listener.is_listening());
    assert_eq!(Tally::default().note(None), ControlFlow::Break(()));
}

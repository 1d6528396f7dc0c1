//! Channels.

use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::fiber::{self, JoinError, RecvError, SendError};
use tautline_runtime::{Error, task};

use crate::{Log, OnDrop, in_fiber, runtime, settle, soon, spawn, spawn_by_error};

/// Proves that values come in order, through a ring that is smaller than their number, and that
/// receivers get what is left when the last sender has gone.
#[test]
fn values_come_in_order_and_then_the_end() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(3);
        let second = sender.clone();
        let sending = spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        settle();
        assert_eq!((receiver.len(), receiver.capacity(), receiver.is_empty()), (3, 3, false));
        let first: Vec<u32> = receiver.iter().take(100).collect();
        assert!(first.into_iter().eq(0..100));
        sending.join().unwrap();
        second.try_send(100).unwrap();
        assert!(!receiver.is_closed());
        drop(second);
        assert!(receiver.is_closed());
        assert_eq!((&receiver).into_iter().collect::<Vec<_>>(), [100]);
        assert!(matches!(receiver.recv(), Err(RecvError::Closed)));
        assert!(matches!(receiver.try_recv(), Err(RecvError::Closed)));
    });
}

/// Proves that waiting receivers, and waiting senders, are served in the order of coming, and
/// that nobody who comes later takes what was promised to them.
#[test]
fn who_waits_is_served_in_order() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let (sender, receiver) = fiber::channel(2);
        let receiving = [0, 1].map(|id| {
            let (receiver, log) = (receiver.clone(), log.clone());
            spawn(move || log.add(id * 10 + receiver.recv().unwrap()))
        });
        settle();
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)), "they are promised");
        assert!(matches!(sender.try_send(3), Err(SendError::Full(3))));
        receiving.into_iter().for_each(|receiving| receiving.join().unwrap());
        sender.send(0).unwrap();
        sender.send(0).unwrap();
        let sending = [5, 6, 7].map(|n| {
            let sender = sender.clone();
            spawn(move || sender.send(n).unwrap())
        });
        settle();
        receiver.try_recv().unwrap();
        assert!(matches!(sender.try_send(3), Err(SendError::Full(3))), "the room is promised");
        settle();
        receiver.iter().skip(1).take(3).for_each(|n| log.add(n));
        sending.into_iter().for_each(|sending| sending.join().unwrap());
    });
    assert_eq!(seen.entries(), [1, 12, 5, 6, 7]);
}

/// Proves that a value comes back from a send that is too late, is told of a cancellation, or
/// finds no receiver any more.
#[test]
fn values_that_are_not_sent_come_back() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(1);
        sender.send(Box::new(0)).unwrap();
        let late = sender.send_until(Box::new(1), soon()).unwrap_err();
        assert!(matches!(&late, SendError::Full(value) if **value == 1), "{late:?}");
        let sends = [2, 3].map(|n| {
            let sender = sender.clone();
            spawn_by_error(move || sender.send(Box::new(n)).unwrap_err())
        });
        settle();
        let [cancelled, closed] = sends;
        cancelled.cancel();
        let cancelled = cancelled.join().unwrap();
        assert!(matches!(&cancelled, SendError::Wait(value, Error::Cancelled) if **value == 2));
        drop(receiver);
        let closed = closed.join().unwrap();
        assert!(matches!(&closed, SendError::Closed(_)));
        assert_eq!(*closed.into_inner(), 3);
        assert!(sender.is_closed() && sender.is_empty());
        assert!(matches!(sender.send(Box::new(4)), Err(SendError::Closed(_))));
    });
}

/// Proves that a sender whose room was promised finds out that the last receiver has gone since.
#[test]
fn a_promise_of_room_ends_with_the_receiver() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(1);
        sender.send(1).unwrap();
        let sending = spawn(move || sender.send(2));
        settle();
        assert_eq!(receiver.try_recv().unwrap(), 1);
        drop(receiver);
        assert!(matches!(sending.join().unwrap(), Err(SendError::Closed(2))));
    });
}

/// Proves that a value which was promised to a receiver reaches it although it is cancelled, or
/// stays for others, and is never lost.
#[test]
fn cancelled_receivers_lose_nothing() {
    for promised_first in [false, true] {
        in_fiber(move || {
            let (sender, receiver) = fiber::channel(4);
            let log = Log::default();
            let receiving = {
                let (receiver, log) = (receiver.clone(), log.clone());
                spawn(move || {
                    log.add(receiver.recv().unwrap());
                    fiber::yield_now()
                })
            };
            settle();
            if promised_first {
                sender.try_send(1).unwrap();
                receiving.cancel();
            } else {
                receiving.cancel();
                sender.try_send(1).unwrap();
            }
            assert!(matches!(receiving.join(), Err(JoinError::Cancelled)));
            sender.try_send(2).unwrap();
            log.add(receiver.recv().unwrap());
            assert_eq!(log.entries(), [1, 2]);
            assert!(receiver.is_empty());
        });
    }
}

/// Proves that waits for values and for room end at their deadlines.
#[test]
fn channels_keep_deadlines() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(1);
        let until = soon();
        assert!(matches!(receiver.recv_until(until), Err(RecvError::Empty)));
        assert!(tautline_runtime::now().unwrap() >= until);
        sender.send_until(1, soon()).unwrap();
        assert!(matches!(sender.send_until(2, soon()), Err(SendError::Full(2))));
        assert_eq!(receiver.recv_until(soon()).unwrap(), 1);
        assert!(receiver.is_empty());
    });
}

/// Proves that what is queued is dropped with the last receiver, and that the drops may come
/// back to the channel.
#[test]
fn the_last_receiver_drops_what_is_queued() {
    let (sender, receiver) = fiber::channel(2);
    let log = Log::default();
    let (again, seen) = (sender.clone(), log.clone());
    sender
        .try_send(OnDrop(Box::new(move || {
            seen.add(again.len() as u32);
            let seen = seen.clone();
            let rest: Box<dyn FnMut()> = Box::new(move || seen.add(7));
            assert!(matches!(again.try_send(OnDrop(rest)), Err(SendError::Closed(_))));
        }) as Box<dyn FnMut()>))
        .unwrap();
    let second = receiver.clone();
    drop(receiver);
    assert!(log.entries().is_empty());
    drop(second);
    assert_eq!(log.entries(), [0, 7]);
}

/// Proves that tasks wait in one line with fibers, and lose nothing when they are dropped.
#[test]
fn tasks_receive_in_line_with_fibers() {
    let runtime = runtime();
    let (sender, receiver) = fiber::channel(4);
    let log = Log::default();
    let (ours, theirs, seen) = (receiver.clone(), receiver.clone(), log.clone());
    let dropped = task::spawn(async move { ours.recv_async().await }).unwrap();
    let task = task::spawn(async move { seen.add(theirs.recv_async().await.unwrap()) }).unwrap();
    runtime.poll().unwrap();
    let seen = log.clone();
    let fiber = spawn(move || {
        let value = receiver.recv().unwrap();
        seen.add(10 + value);
        receiver
    });
    runtime.poll().unwrap();
    sender.try_send(1).unwrap();
    dropped.abort();
    runtime.poll().unwrap();
    sender.try_send(2).unwrap();
    let receiver = runtime.block_on(fiber).unwrap().unwrap();
    runtime.block_on(task).unwrap().unwrap();
    assert_eq!(log.entries(), [1, 12]);
    drop(sender);
    let end = runtime.block_on(async { receiver.recv_async().await }).unwrap();
    assert!(matches!(end, Err(RecvError::Closed)));
}

/// Proves that a channel without room is refused at once.
#[test]
#[should_panic(expected = "room for one value at least")]
fn a_channel_has_room() {
    fiber::channel::<u8>(0);
}

/// Proves that many senders and receivers exchange all their values, each once.
#[test]
fn many_to_many() {
    in_fiber(|| {
        let (sender, receiver) = fiber::channel(5);
        let sending: Vec<_> = (0..10)
            .map(|id| {
                let sender = sender.clone();
                spawn(move || {
                    for n in 0..50 {
                        sender.send(id * 50 + n).unwrap();
                        if n % 7 == id % 7 {
                            fiber::sleep(Duration::from_micros(n.into())).unwrap();
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let all = Rc::new(std::cell::RefCell::new(Vec::new()));
        let receiving: Vec<_> = (0..4)
            .map(|_| {
                let (receiver, all) = (receiver.clone(), all.clone());
                spawn(move || receiver.iter().for_each(|n| all.borrow_mut().push(n)))
            })
            .collect();
        sending.into_iter().for_each(|sending| sending.join().unwrap());
        receiving.into_iter().for_each(|receiving| receiving.join().unwrap());
        all.borrow_mut().sort_unstable();
        assert!(all.borrow().iter().copied().eq(0u32..500));
    });
}

//! The descriptor by which a foreign loop waits: readable when there is something, and not else.

use std::os::fd::AsFd;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tautline_bus::channel::{Channel, Config};
use tautline_bus::signal::{self, Signal};
use tautline_bus::wakeup::Wakeup;
use tautline_bus::{Local, ReceiveError, Shared};

/// Polls a descriptor, as a foreign loop does; at most for so long.
fn is_readable(wakeup: &Wakeup, limit: Duration) -> bool {
    let limit =
        Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    let mut set = [PollFd::from_borrowed_fd(wakeup.as_fd(), PollFlags::IN)];
    poll(&mut set, Some(&limit)).unwrap() == 1
}

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

/// It becomes readable when something is sent, stays so until it is armed again, and then is not,
/// unless something more has come.
#[test]
fn it_is_readable_when_there_is_something() {
    let channel = Channel::<u32, Local>::new(Config::default()).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let wakeup = Wakeup::new().unwrap();
    for n in 0..3 {
        assert!(wakeup.arm(|context| receiver.poll_receive(context)).is_pending());
        assert!(!is_readable(&wakeup, NOW));
        sender.send(n).unwrap();
        sender.send(n).unwrap();
        assert!(is_readable(&wakeup, NOW) && is_readable(&wakeup, NOW));
        for _ in 0..2 {
            assert_eq!(wakeup.arm(|context| receiver.poll_receive(context)), Poll::Ready(Ok(n)));
        }
    }
    assert!(wakeup.arm(|context| receiver.poll_receive(context)).is_pending());
    channel.close();
    assert!(is_readable(&wakeup, NOW));
    let end = wakeup.arm(|context| receiver.poll_receive(context));
    assert_eq!(end, Poll::Ready(Err(ReceiveError::Closed)));
}

/// One descriptor for several receivers of different kinds, and senders in other threads that find
/// it asleep again and again: nothing is lost.
#[test]
fn one_descriptor_serves_several_receivers() {
    const COUNT: u64 = 20_000;
    let channel = Channel::<u64, Local>::new(Config { capacity: 8, ..Config::default() }).unwrap();
    let signal = Signal::<Local>::new(signal::Config::default()).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let (raiser, mut waiter) = (signal.raiser().unwrap(), signal.waiter().unwrap());
    drop((channel, signal));
    let threads = [
        thread::spawn(move || (0..COUNT).for_each(|n| sender.send(n).unwrap())),
        thread::spawn(move || (0..COUNT).for_each(|_| raiser.raise(1))),
    ];
    let wakeup = Wakeup::new().unwrap();
    let (mut next, mut raised, mut open) = (0, 0, [true; 2]);
    while open != [false; 2] {
        let (message, count) = wakeup.arm(|context| {
            let message = if open[0] { receiver.poll_receive(context) } else { Poll::Pending };
            let count = if open[1] { waiter.poll_take(context) } else { Poll::Pending };
            (message, count)
        });
        match message {
            Poll::Ready(Ok(n)) => next += u64::from(n == next),
            Poll::Ready(Err(_)) => open[0] = false,
            Poll::Pending => {}
        }
        match count {
            Poll::Ready(Ok(())) => raised += 1 + waiter.take_all(),
            Poll::Ready(Err(_)) => open[1] = false,
            Poll::Pending => {}
        }
        if message.is_pending() && count.is_pending() && open != [false; 2] {
            assert!(is_readable(&wakeup, LONG), "a wake-up was lost at {next}, {raised}");
        }
    }
    assert_eq!((next, raised), (COUNT, COUNT));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// In shared memory the sender may be anywhere: the one between processes is readable too, once for
/// a batch, and the one of a process alone says so at once, which is never wrong.
#[test]
fn senders_of_the_scope_shared_make_it_readable() {
    let namespace = format!("wakeup-{}", std::process::id());
    let open = || Channel::<u64, Shared>::open(&namespace, "numbers", Config::default()).unwrap();
    let (here, there) = (open(), open());
    let (mut receiver, mut sender) = (here.receiver().unwrap(), there.sender().unwrap());
    let wakeup = Wakeup::between_processes().unwrap();
    for n in 0..3 {
        assert!(wakeup.arm(|context| receiver.poll_receive(context)).is_pending());
        assert!(!is_readable(&wakeup, NOW));
        let thread = thread::scope(|scope| {
            scope.spawn(|| assert_eq!(sender.send_batch([n, n + 1]), 2)).join()
        });
        thread.unwrap();
        assert!(is_readable(&wakeup, LONG));
        for n in [n, n + 1] {
            assert_eq!(wakeup.arm(|context| receiver.poll_receive(context)), Poll::Ready(Ok(n)));
        }
        assert!(wakeup.arm(|context| receiver.poll_receive(context)).is_pending());
        assert!(!is_readable(&wakeup, NOW));
    }
    let alone = Wakeup::new().unwrap();
    assert!(alone.arm(|context| receiver.poll_receive(context)).is_pending());
    assert!(is_readable(&alone, NOW));
}

//! How a poll waits, and what it brings.

use std::mem;
use std::ptr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::bench::{Bench, CONFIG};
use crate::driver::{Driver, Op, Token, Wait};

/// With nothing to tell, a poll lasts at least as long as it was told to wait, to the
/// last microsecond.
pub(crate) fn a_timeout_is_never_early<D: Driver>(bench: &mut Bench<D>) {
    let (_client, server) = bench.pair();
    let memory = bench.zeroed(1);
    bench.submit(Op::Recv { fd: server, buf: memory.start, len: 1 });
    bench.settle();
    for micros in [1, 300, 1_100, 20_500] {
        let wait = Duration::from_micros(micros);
        let start = bench.clock();
        let (count, woken) = bench.turn_of(Wait::AtMost(wait), 10);
        let waited = bench.since(start);
        assert_eq!((count, woken), (0, false));
        assert!(waited >= wait, "waited {waited:?} of {wait:?}");
    }
}

/// A poll that may not wait returns, idle or not.
pub(crate) fn no_wait_returns_with_nothing<D: Driver>(bench: &mut Bench<D>) {
    assert_eq!(bench.turn_of(Wait::No, 10), (0, false));
    let (_client, server) = bench.pair();
    bench.submit(Op::RecvMulti { fd: server });
    for _ in 0..100 {
        assert_eq!(bench.turn_of(Wait::No, 10), (0, false));
    }
    assert_eq!(bench.turn_of(Wait::AtMost(Duration::ZERO), 10), (0, false));
}

/// A wake that comes while nobody waits ends the next wait.
pub(crate) fn a_wake_before_the_wait_ends_it<D: Driver>(bench: &mut Bench<D>) {
    for _ in 0..10 {
        bench.driver.waker().wake();
        assert_eq!(bench.turn_of(Wait::Forever, 10), (0, true));
    }
}

/// Another thread ends the wait, each time.
pub(crate) fn another_thread_ends_the_wait<D: Driver>(bench: &mut Bench<D>) {
    let wait =
        if bench.is_virtual() { Wait::AtMost(Duration::from_millis(1)) } else { Wait::Forever };
    for _ in 0..10 {
        let waker = bench.driver.waker();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(2));
            waker.wake();
        });
        let start = Instant::now();
        while !bench.turn(wait) {
            assert!(start.elapsed() < Duration::from_secs(20), "the wake was lost");
        }
        other.join().expect("the other thread ends");
    }
}

/// After any number of wakes there is a wait that nobody ends.
pub(crate) fn wakes_do_not_pile_up<D: Driver>(bench: &mut Bench<D>) {
    let waker = bench.driver.waker();
    for _ in 0..1000 {
        waker.wake();
    }
    assert!(bench.turn(Wait::Forever));
    let later = (0..5).map(|_| bench.turn(Wait::AtMost(Duration::from_millis(1)))).last();
    assert_eq!(later, Some(false));
}

/// A wake and a completion at the same time are both told.
pub(crate) fn a_wake_leaves_completions_alone<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(1);
    let token = bench.submit(Op::Recv { fd: server, buf: memory.start, len: 1 });
    bench.turn(Wait::No);
    bench.send_all(client, b"x");
    bench.driver.waker().wake();
    let mut woken = false;
    bench.until("both are told", |bench| {
        woken |= bench.turn(Wait::No);
        woken && !bench.is_armed(token)
    });
}

/// However much is ready, one poll brings no more than its limit, and the next ones the
/// rest.
pub(crate) fn the_limit_is_kept<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    let pairs: Vec<_> = (0..10).map(|_| bench.pair_by(listener, &addr)).collect();
    let tokens: Vec<Token> = pairs
        .iter()
        .map(|&(_, fd)| {
            let memory = bench.zeroed(1);
            bench.submit_recv(fd, memory)
        })
        .collect();
    for &(client, _) in &pairs {
        bench.send_all(client, b"1");
    }
    bench.settle_by(3, pairs.len());
    for &token in &tokens {
        assert_eq!(bench.result_of(token), 1);
    }
    stream_within_limit(bench, pairs[0]);
    assert!(bench.seen.is_empty(), "seen: {:?}", bench.seen);
}

/// A multishot receive keeps to the limit as well.
fn stream_within_limit<D: Driver>(bench: &mut Bench<D>, (client, server): (i32, i32)) {
    bench.send_all(client, &[1; 5 * CONFIG.pool_buffer_size]);
    let token = bench.submit(Op::RecvMulti { fd: server });
    bench.settle_by(1, 5);
    let mut received = 0;
    while received < 5 * CONFIG.pool_buffer_size {
        let completion = bench.next_of(token);
        received += bench.take_bytes(completion).len();
    }
}

/// What one poll left for its limit the next ones bring without waiting for anything
/// new: the waits below would have no end but the guard's wake.
pub(crate) fn what_the_limit_left_is_not_waited_for<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    bench.send_all(client, &[1; 5 * CONFIG.pool_buffer_size]);
    bench.settle();
    bench.submit(Op::RecvMulti { fd: server });
    let waker = bench.driver.waker();
    let (done, guard) = mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        if guard.recv_timeout(Duration::from_secs(5)) == Err(RecvTimeoutError::Timeout) {
            waker.wake();
        }
    });
    for _ in 0..5 {
        assert_eq!(bench.turn_of(Wait::Forever, 1), (1, false));
    }
    drop(done);
    guard.join().expect("the guard ends");
}

/// A signal that interrupts the wait is no error, no completion and no wake.
pub(crate) fn a_signal_is_nothing_to_tell<D: Driver>(bench: &mut Bench<D>) {
    interrupted(bench, Duration::from_millis(10));
}

/// Polls for `wait` while signals come; how long the poll lasted. It may return early.
pub(crate) fn interrupted<D: Driver>(bench: &mut Bench<D>, wait: Duration) -> Duration {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: installs a handler that does nothing; no flags, so that calls are
    // interrupted and not restarted.
    let waiting = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()), 0);
        libc::pthread_self()
    };
    let signals = thread::spawn(move || {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(2));
            // SAFETY: the waiting thread joins this one, so that it is alive.
            unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
        }
    });
    let start = bench.clock();
    assert_eq!(bench.turn_of(Wait::AtMost(wait), 10), (0, false));
    let waited = bench.since(start);
    signals.join().expect("the other thread ends");
    waited
}

/// A socket that always has bytes does not keep another's from being told.
pub(crate) fn a_busy_socket_starves_no_other<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    let (feeder, busy) = bench.pair_by(listener, &addr);
    let (client, quiet) = bench.pair_by(listener, &addr);
    let mut stream = bench.submit(Op::RecvMulti { fd: busy });
    let memory = bench.zeroed(1);
    let single = bench.submit(Op::Recv { fd: quiet, buf: memory.start, len: 1 });
    bench.settle();
    let stuffed = bench.stuff(feeder, 16 << 20);
    assert!(stuffed > 100 * CONFIG.pool_buffer_size, "only {stuffed} bytes went in");
    bench.send_all(client, b"!");
    let mut taken = 0;
    while bench.is_armed(single) {
        bench.turn_of(Wait::AtMost(Duration::from_millis(5)), 4);
        taken += take_all(bench, &mut stream, busy);
        assert!(taken < stuffed / 2, "the other waited for {taken} of {stuffed} bytes");
        bench.stuff(feeder, 1 << 14);
    }
    assert_eq!(bench.result_of(single), 1);
}

/// Takes what came for `stream`, a multishot receive on `fd`; arms it anew if it ended.
fn take_all<D: Driver>(bench: &mut Bench<D>, stream: &mut Token, fd: i32) -> usize {
    let mut taken = 0;
    while let Some(position) = bench.seen.iter().position(|c| c.token == *stream) {
        let completion = bench.seen.remove(position);
        if completion.result > 0 {
            taken += bench.take_bytes(completion).len();
        }
        if !completion.more {
            *stream = bench.submit(Op::RecvMulti { fd });
        }
    }
    taken
}

/// Hundreds of descriptors wait at once, and each gets its own bytes.
pub(crate) fn hundreds_of_descriptors_at_once<D: Driver>(bench: &mut Bench<D>) {
    const COUNT: usize = 300;
    allow_descriptors();
    let (listener, addr) = bench.listener();
    let pairs: Vec<_> = (0..COUNT).map(|_| bench.pair_by(listener, &addr)).collect();
    let armed: Vec<_> = pairs
        .iter()
        .map(|&(_, fd)| {
            let memory = bench.zeroed(8);
            (bench.submit(Op::Recv { fd, buf: memory.start, len: 8 }), memory)
        })
        .collect();
    bench.settle();
    for i in 0..COUNT {
        let i = i * 7 % COUNT;
        bench.send_all(pairs[i].0, &(i as u32).to_le_bytes());
    }
    for (i, (token, memory)) in armed.into_iter().enumerate() {
        assert_eq!(bench.result_of(token), 4);
        assert_eq!(memory.first(4), (i as u32).to_le_bytes());
    }
}

/// The cases of several drivers run side by side.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit anybody may");
}

/// More is submitted without a poll than the queue may hold: what was refused is taken
/// after the next poll, and nothing is lost or done twice.
pub(crate) fn a_full_queue_empties<D: Driver>(bench: &mut Bench<D>) {
    const COUNT: usize = 500;
    let (client, server) = bench.pair();
    let memory = bench.zeroed(1);
    let interest = crate::driver::Interest::Read;
    let mut tokens = Vec::new();
    let mut refused = 0;
    while tokens.len() < COUNT {
        let token = bench.fresh();
        match bench.try_submit_as(token, Op::Poll { fd: server, interest }) {
            Ok(()) => tokens.push(token),
            Err(_) => {
                refused += 1;
                assert!(refused <= COUNT, "polls make no room");
                bench.turn(Wait::No);
            }
        }
    }
    for &token in tokens.iter().step_by(2) {
        bench.driver.cancel(token);
    }
    for &token in tokens.iter().step_by(2) {
        assert_eq!(bench.result_of(token), -libc::ECANCELED);
    }
    let receive = bench.submit_recv(server, memory);
    for &token in tokens.iter().skip(1).step_by(2) {
        assert!(bench.is_armed(token));
    }
    bench.send_all(client, b"go");
    for &token in tokens.iter().skip(1).step_by(2) {
        assert!(bench.result_of(token) > 0);
    }
    assert_eq!(bench.result_of(receive), 1);
}

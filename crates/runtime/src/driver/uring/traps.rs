//! What kernels and rings have been seen to do, replayed on a scripted ring.
//!
//! | trap | test |
//! | --- | --- |
//! | a late completion meets the slot's next tenant | [`a_late_completion_keeps_its_own_generation`] |
//! | a request completes once too often | [`a_completion_after_the_last_one_belongs_to_nobody`] |
//! | a buffer is freed at the cancel instead of at the request's own completion | [`a_cancel_does_not_end_an_operation_by_itself`] |
//! | an accept or open that succeeded before its cancel leaks a descriptor | [`a_descriptor_that_won_against_its_cancel_is_handed_over`], [`descriptors_that_arrive_at_the_end_are_closed`] |
//! | a receive that succeeded before its cancel leaks a pool buffer | [`a_buffer_that_won_against_its_cancel_is_handed_over`] |
//! | a submission that failed is taken for done, or lost | [`a_refused_submission_is_tried_again`], [`a_submission_taken_in_part_goes_on_with_the_rest`], [`a_refusal_never_waits_long`] |
//! | a refused enter that ends the loop is hidden | [`a_broken_ring_ends_the_poll`] |
//! | `ENOBUFS` ends a multishot receive, even an idle one | [`a_receive_without_buffers_ends_and_can_be_armed_again`], [`receives_from_the_pool_wait_before_they_claim_a_buffer`] |
//! | one busy socket takes every buffer | [`buffers_of_a_busy_socket_serve_the_others_once_recycled`] |
//! | a failed read reports a buffer that it never got | [`a_buffer_named_by_a_failure_is_not_handed_out`] |
//! | completions overflow and stay in the kernel | [`overflowed_completions_come_out_in_order`] |
//! | deferred work waits unseen | [`deferred_work_is_seen_in_memory`] |
//! | a multishot receive overlooks the end of a Unix stream | `an_end_that_came_with_bytes_is_seen` in `live` |
//! | the submission queue is full | [`a_full_queue_refuses_and_arms_nothing`] |
//! | no room is left for a cancel | [`cancels_have_room_of_their_own`], [`cancels_beyond_the_reserve_wait_their_turn`], [`a_waiting_cancel_ends_with_its_operation`], [`an_operation_is_cancelled_once`] |
//! | the kernel ends a multishot by leaving `F_MORE` out | [`a_multishot_that_the_kernel_ends_is_over`], [`the_wake_up_is_armed_again_when_the_kernel_ends_it`] |
//! | a cancelled worker answers `EINTR` | [`an_interrupted_worker_counts_as_cancelled`] |
//! | a signal interrupts the wait | [`a_signal_does_not_end_an_endless_wait`] |
//! | a ring is entered for nothing | [`an_idle_poll_makes_no_system_call`] |
//! | what is in flight is freed with the ring | [`the_end_waits_for_what_is_in_flight`], [`a_pool_that_the_kernel_holds_is_given_up`] |
//! | set-up refused with `EPERM`, `EINVAL`, `ENOMEM` | the tests of `refusal` |
//! | a connect is tried before the ring's (`EALREADY`) | [`a_connect_is_left_to_the_ring`] |
//! | linked timeouts are costly | advice only: the engine's wheel cancels instead |
//! | busy polling of a ring loses against plain calls | advice only: the engine tries inline first |

use std::os::fd::IntoRawFd;
use std::ptr;
use std::time::Duration;

use super::driver::UringDriver;
use super::entry::WAKE;
use super::scripted::{MORE, ScriptedRing, Turn, cqe, with_buffer};
use crate::driver::pool::Pool;
use crate::driver::sys::EventFd;
use crate::driver::{Attempt, BufferId, Completion, Driver, Full, Interest, Op, Token, Wait};

/// Buffers of the pool in these tests.
const BUFFERS: u16 = 4;

/// A driver on a scripted ring of 8 entries, 7 of them for operations, whose wake-up is
/// armed and taken; and the script.
fn driver() -> (UringDriver<ScriptedRing>, ScriptedRing) {
    let ring = ScriptedRing::new(8);
    let pool = Pool::new(BUFFERS, 4096).unwrap();
    let mut driver = UringDriver::assemble(ring.clone(), pool, EventFd::new().unwrap(), 64);
    assert_eq!(poll(&mut driver), []);
    assert_eq!(ring.script().taken.len(), 1, "the wake-up");
    ring.script().enters.clear();
    (driver, ring)
}

/// What one poll without waiting brings.
fn poll(driver: &mut UringDriver<ScriptedRing>) -> Vec<Completion> {
    poll_up_to(driver, 64)
}

fn poll_up_to(driver: &mut UringDriver<ScriptedRing>, limit: usize) -> Vec<Completion> {
    let mut out = Vec::new();
    driver.poll(Wait::No, limit, &mut out).unwrap();
    out
}

fn submit(driver: &mut UringDriver<ScriptedRing>, token: Token, op: Op) -> Result<(), Full> {
    // SAFETY: no kernel follows the script; nothing that an operation names is touched.
    unsafe { driver.submit(token, &op) }
}

/// Arms `op` under slot `index`, generation 1, and has it taken.
fn arm(driver: &mut UringDriver<ScriptedRing>, index: u32, op: Op) -> Token {
    let token = Token::new(index, 1);
    submit(driver, token, op).unwrap();
    assert_eq!(poll(driver), []);
    token
}

fn readable() -> Op {
    Op::Poll { fd: 0, interest: Interest::Read }
}

fn end(token: Token, result: i32) -> Completion {
    Completion { token, result, buffer: None, more: false }
}

/// A completion that arrives after its slot went to somebody else still names the old
/// generation, and the new tenant stays armed.
#[test]
fn a_late_completion_keeps_its_own_generation() {
    let (mut driver, ring) = driver();
    let (old, new) = (Token::new(5, 1), Token::new(5, 2));
    submit(&mut driver, old, readable()).unwrap();
    driver.cancel(old);
    submit(&mut driver, new, readable()).unwrap();
    assert_eq!(poll(&mut driver), []);
    ring.script().complete(cqe(old, -libc::ECANCELED, 0));
    assert_eq!(poll(&mut driver), [end(old, -libc::ECANCELED)]);
    assert_eq!(driver.in_flight(), 1);
    driver.cancel(new);
    poll(&mut driver);
    assert_eq!(ring.script().cancelled(), [old, new]);
}

/// A second last completion is not handed out, and does not upset the count.
#[test]
fn a_completion_after_the_last_one_belongs_to_nobody() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, readable());
    let other = arm(&mut driver, 2, readable());
    ring.script().complete(cqe(token, 1, 0));
    ring.script().complete(cqe(token, 1, 0));
    assert_eq!(poll(&mut driver), [end(token, 1)]);
    assert_eq!(driver.in_flight(), 1);
    ring.script().complete(cqe(other, 1, 0));
    assert_eq!(poll(&mut driver), [end(other, 1)]);
    assert_eq!(driver.in_flight(), 0);
}

/// Whatever a cancel itself answers, the operation is in flight until its own completion.
#[test]
fn a_cancel_does_not_end_an_operation_by_itself() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, readable());
    driver.cancel(token);
    poll(&mut driver);
    let cancel = ring.script().taken.last().copied().unwrap();
    let answer = cqe(Token::from_u64(cancel.user_data), -libc::EALREADY, 0);
    ring.script().complete(answer);
    assert_eq!(poll(&mut driver), []);
    assert_eq!(driver.in_flight(), 1);
    ring.script().complete(cqe(token, 1, 0));
    assert_eq!(poll(&mut driver), [end(token, 1)]);
    assert_eq!(driver.in_flight(), 0);
}

/// An accept and an open that succeed although they were cancelled hand their descriptors
/// to the engine, which keeps or closes them.
#[test]
fn a_descriptor_that_won_against_its_cancel_is_handed_over() {
    let open = Op::Open { path: c"/dev/null".as_ptr(), flags: 0, mode: 0 };
    for op in [Op::Accept { fd: 3 }, Op::AcceptMulti { fd: 3 }, open] {
        let (mut driver, ring) = driver();
        let token = arm(&mut driver, 1, op);
        driver.cancel(token);
        ring.script().turns.push_back(Turn::completing([cqe(token, 77, 0)]));
        assert_eq!(poll(&mut driver), [end(token, 77)]);
    }
}

/// A descriptor that arrives while the driver ends is closed, since nobody takes it.
#[test]
fn descriptors_that_arrive_at_the_end_are_closed() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, Op::AcceptMulti { fd: 3 });
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ring.script().complete(cqe(token, theirs.into_raw_fd(), MORE));
    drop(driver);
    let peer_is_gone = std::io::Read::read(&mut &ours, &mut [0]).unwrap() == 0;
    assert!(peer_is_gone, "the accepted descriptor is still open");
}

/// A receive that got its bytes although it was cancelled hands its buffer out, and the
/// buffer goes back to the kernel once recycled.
#[test]
fn a_buffer_that_won_against_its_cancel_is_handed_over() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, Op::RecvPool { fd: 3 });
    driver.cancel(token);
    ring.script().turns.push_back(Turn::completing([cqe(token, 10, with_buffer(2))]));
    let got = poll(&mut driver);
    assert_eq!(got, [Completion { buffer: Some(BufferId(2)), ..end(token, 10) }]);
    assert_eq!(ring.script().buffers, [0, 1, 3]);
    driver.recycle(BufferId(2));
    assert!(driver.has_work(), "a buffer is to be published");
    poll(&mut driver);
    assert_eq!(ring.script().buffers, [0, 1, 3, 2]);
}

/// An enter that fails for the moment takes nothing, so everything is offered again.
#[test]
fn a_refused_submission_is_tried_again() {
    for errno in [libc::EBUSY, libc::EAGAIN, libc::ENOMEM] {
        let (mut driver, ring) = driver();
        let token = Token::new(1, 1);
        submit(&mut driver, token, readable()).unwrap();
        ring.script().turns.extend([Turn::failing(errno), Turn::default()]);
        ring.script().turns.push_back(Turn::failing(errno));
        assert_eq!(poll(&mut driver), []);
        assert!(driver.has_work(), "an entry waits");
        assert_eq!(poll(&mut driver), []);
        assert_eq!(ring.script().entry(token).unwrap().fd, 0);
        assert_eq!(driver.in_flight(), 1);
        ring.script().turns.clear();
        ring.script().turns.push_back(Turn::completing([cqe(token, 1, 0)]));
        assert_eq!(poll(&mut driver), [end(token, 1)]);
        let takes = ring.script().taken.iter().filter(|s| s.user_data == token.as_u64()).count();
        assert_eq!(takes, 1, "errno {errno}");
    }
}

/// What a short submission left over stays in the queue, in order, and goes next.
#[test]
fn a_submission_taken_in_part_goes_on_with_the_rest() {
    let (mut driver, ring) = driver();
    let tokens: Vec<_> = (0..3).map(|index| Token::new(index, 1)).collect();
    for &token in &tokens {
        submit(&mut driver, token, readable()).unwrap();
    }
    ring.script().turns.push_back(Turn::taking(1));
    assert_eq!(poll(&mut driver), []);
    assert_eq!(ring.script().queue.len(), 2);
    assert_eq!(poll(&mut driver), []);
    let taken: Vec<_> =
        ring.script().taken[1..].iter().map(|s| Token::from_u64(s.user_data)).collect();
    assert_eq!(taken, tokens);
}

/// While the kernel takes nothing, a wait is short and submits nothing, so that the
/// submission is soon offered again.
#[test]
fn a_refusal_never_waits_long() {
    let (mut driver, ring) = driver();
    let token = Token::new(1, 1);
    submit(&mut driver, token, readable()).unwrap();
    ring.script().turns.extend([
        Turn::failing(libc::EAGAIN),
        Turn::failing(libc::ETIME),
        Turn::completing([cqe(token, 1, 0)]),
    ]);
    let mut out = Vec::new();
    driver.poll(Wait::Forever, 64, &mut out).unwrap();
    assert_eq!(out, [end(token, 1)]);
    let short = Wait::AtMost(Duration::from_millis(1));
    assert_eq!(ring.script().enters, [(1, Wait::Forever), (0, short), (1, Wait::Forever)]);
}

/// An error that no retry can mend comes out of the poll.
#[test]
fn a_broken_ring_ends_the_poll() {
    for errno in [libc::EBADF, libc::EEXIST, libc::EFAULT] {
        let (mut driver, ring) = driver();
        submit(&mut driver, Token::new(1, 1), readable()).unwrap();
        ring.script().turns.push_back(Turn::failing(errno));
        let error = driver.poll(Wait::No, 64, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno));
    }
}

/// A multishot receive that found no buffer is over, names none, and can be armed again.
#[test]
fn a_receive_without_buffers_ends_and_can_be_armed_again() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, Op::RecvMulti { fd: 3 });
    ring.script().complete(cqe(token, -libc::ENOBUFS, 0));
    assert_eq!(poll(&mut driver), [end(token, -libc::ENOBUFS)]);
    assert_eq!(driver.in_flight(), 0);
    let again = Token::new(1, 2);
    submit(&mut driver, again, Op::RecvMulti { fd: 3 }).unwrap();
    ring.script().turns.push_back(Turn::completing([cqe(again, 5, MORE | with_buffer(0))]));
    let got = poll(&mut driver);
    assert_eq!(got, [Completion { buffer: Some(BufferId(0)), more: true, ..end(again, 5) }]);
}

/// Receives from the pool ask the kernel to wait first: a try would claim a buffer, and
/// end an idle receive when there is none.
#[test]
fn receives_from_the_pool_wait_before_they_claim_a_buffer() {
    let (mut driver, ring) = driver();
    let poll_first = |token| ring.script().entry(token).unwrap().ioprio & 1 == 1;
    let multi = arm(&mut driver, 1, Op::RecvMulti { fd: 3 });
    let once = arm(&mut driver, 2, Op::RecvPool { fd: 3 });
    assert!(poll_first(multi) && poll_first(once));
}

/// When one socket has taken every buffer, each comes out once, the next socket is told
/// that there is none, and recycled buffers serve it.
#[test]
fn buffers_of_a_busy_socket_serve_the_others_once_recycled() {
    let (mut driver, ring) = driver();
    let busy = arm(&mut driver, 1, Op::RecvMulti { fd: 3 });
    let quiet = arm(&mut driver, 2, Op::RecvMulti { fd: 4 });
    for id in 0..BUFFERS {
        ring.script().complete(cqe(busy, 4096, MORE | with_buffer(id)));
    }
    ring.script().complete(cqe(quiet, -libc::ENOBUFS, 0));
    let got = poll(&mut driver);
    let buffers: Vec<_> = got.iter().filter_map(|c| c.buffer).collect();
    assert_eq!(buffers, (0..BUFFERS).map(BufferId).collect::<Vec<_>>());
    assert_eq!(got.last(), Some(&end(quiet, -libc::ENOBUFS)));
    assert!(ring.script().buffers.is_empty());
    buffers.into_iter().for_each(|id| driver.recycle(id));
    submit(&mut driver, Token::new(2, 2), Op::RecvMulti { fd: 4 }).unwrap();
    assert_eq!(poll(&mut driver), []);
    assert_eq!(ring.script().buffers, [0, 1, 2, 3]);
}

/// A buffer flag on a failure or an end names no buffer: handing it out, and back, would
/// let two receives write into it.
#[test]
fn a_buffer_named_by_a_failure_is_not_handed_out() {
    let (mut driver, ring) = driver();
    for (index, result) in [(1, -libc::ECONNRESET), (2, 0)] {
        let token = arm(&mut driver, index, Op::RecvPool { fd: 3 });
        ring.script().complete(cqe(token, result, with_buffer(1)));
        assert_eq!(poll(&mut driver), [end(token, result)]);
    }
    assert_eq!(ring.script().buffers, [0, 1, 2, 3]);
}

/// Overflowed completions are fetched by entering the kernel without a wait, come out
/// once and in order, and never more than asked for.
#[test]
fn overflowed_completions_come_out_in_order() {
    let (mut driver, ring) = driver();
    ring.script().completion_capacity = 2;
    let token = arm(&mut driver, 1, Op::PollMulti { fd: 0, interest: Interest::Read });
    for result in 1..=7 {
        ring.script().complete(cqe(token, result, MORE));
    }
    ring.script().enters.clear();
    assert!(driver.has_work());
    let first: Vec<_> = poll_up_to(&mut driver, 5).iter().map(|c| c.result).collect();
    assert_eq!(first, [1, 2, 3, 4, 5]);
    assert!(driver.has_work());
    let rest: Vec<_> = poll(&mut driver).iter().map(|c| c.result).collect();
    assert_eq!(rest, [6, 7]);
    assert!(ring.script().enters.iter().all(|&enter| enter == (0, Wait::No)));
    assert!(!driver.has_work());
}

/// The flag for deferred work makes the next poll enter the kernel, once.
#[test]
fn deferred_work_is_seen_in_memory() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, readable());
    ring.script().enters.clear();
    assert!(!driver.has_work());
    ring.script().taskrun = true;
    assert!(driver.has_work());
    ring.script().turns.push_back(Turn::completing([cqe(token, 1, 0)]));
    assert_eq!(poll(&mut driver), [end(token, 1)]);
    assert_eq!(ring.script().enters, [(0, Wait::No)]);
    assert!(!driver.has_work());
}

/// A full queue refuses an operation without arming it, and takes it after a poll.
#[test]
fn a_full_queue_refuses_and_arms_nothing() {
    let (mut driver, ring) = driver();
    for index in 0..7 {
        submit(&mut driver, Token::new(index, 1), readable()).unwrap();
    }
    let one_more = Token::new(7, 1);
    assert_eq!(submit(&mut driver, one_more, readable()), Err(Full));
    assert_eq!(driver.in_flight(), 7);
    assert_eq!(ring.script().entry(one_more), None);
    assert_eq!(poll(&mut driver), []);
    submit(&mut driver, one_more, readable()).unwrap();
    assert_eq!(driver.in_flight(), 8);
}

/// A queue full of operations still takes a cancel, behind what it cancels.
#[test]
fn cancels_have_room_of_their_own() {
    let (mut driver, ring) = driver();
    for index in 0..7 {
        submit(&mut driver, Token::new(index, 1), readable()).unwrap();
    }
    driver.cancel(Token::new(6, 1));
    poll(&mut driver);
    assert_eq!(ring.script().cancelled(), [Token::new(6, 1)]);
    assert!(ring.script().taken.last().unwrap().is_cancel());
}

/// Cancels that find the whole queue full wait, and all leave once there is room.
#[test]
fn cancels_beyond_the_reserve_wait_their_turn() {
    let (mut driver, ring) = driver();
    let tokens: Vec<_> = (0..20).map(|index| arm(&mut driver, index, readable())).collect();
    for index in 20..27 {
        submit(&mut driver, Token::new(index, 1), readable()).unwrap();
    }
    for &token in &tokens {
        driver.cancel(token);
    }
    for _ in 0..4 {
        assert!(driver.has_work());
        assert_eq!(poll(&mut driver), []);
    }
    assert_eq!(ring.script().cancelled(), tokens);
    assert!(!driver.has_work());
}

/// A cancel that waits for room is forgotten when its operation ends: the next one of that
/// token is another.
#[test]
fn a_waiting_cancel_ends_with_its_operation() {
    let (mut driver, ring) = driver();
    let tokens: Vec<_> = (0..9).map(|index| arm(&mut driver, index, readable())).collect();
    tokens.iter().for_each(|&token| driver.cancel(token));
    let last = tokens[8];
    ring.script().turns.push_back(Turn::completing([cqe(last, 1, 0)]));
    assert_eq!(poll(&mut driver), [end(last, 1)]);
    submit(&mut driver, last, readable()).unwrap();
    assert_eq!(poll(&mut driver), []);
    assert_eq!(ring.script().cancelled(), tokens[..8]);
}

/// Cancelling again, or what has ended or never was, sends nothing.
#[test]
fn an_operation_is_cancelled_once() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, readable());
    driver.cancel(token);
    driver.cancel(token);
    driver.cancel(Token::new(9, 0));
    ring.script().turns.push_back(Turn::completing([cqe(token, 1, 0)]));
    assert_eq!(poll(&mut driver), [end(token, 1)]);
    driver.cancel(token);
    assert!(!driver.has_work());
    assert_eq!(ring.script().cancelled(), [token]);
}

/// A completion without `F_MORE` is the last one, whatever its result.
#[test]
fn a_multishot_that_the_kernel_ends_is_over() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, Op::AcceptMulti { fd: 3 });
    ring.script().complete(cqe(token, 8, MORE));
    assert_eq!(poll(&mut driver), [Completion { more: true, ..end(token, 8) }]);
    assert_eq!(driver.in_flight(), 1);
    ring.script().complete(cqe(token, 9, 0));
    assert_eq!(poll(&mut driver), [end(token, 9)]);
    assert_eq!(driver.in_flight(), 0);
}

/// A wake-up that the kernel ended is armed again, and the wake it carried is told.
#[test]
fn the_wake_up_is_armed_again_when_the_kernel_ends_it() {
    let (mut driver, ring) = driver();
    ring.script().complete(cqe(WAKE, 1, 0));
    let mut out = Vec::new();
    assert!(driver.poll(Wait::Forever, 64, &mut out).unwrap());
    assert!(driver.has_work(), "the wake-up is to be armed");
    assert!(!driver.poll(Wait::No, 64, &mut out).unwrap());
    let armed = ring.script().taken.iter().filter(|s| s.user_data == WAKE.as_u64()).count();
    assert_eq!(armed, 2);
    driver.waker().wake();
    ring.script().complete(cqe(WAKE, 1, MORE));
    assert!(driver.poll(Wait::Forever, 64, &mut out).unwrap());
    assert_eq!(out, []);
}

/// A worker that a cancel interrupts reports `EINTR`; the contract says `ECANCELED`. An
/// `EINTR` of its own stays one.
#[test]
fn an_interrupted_worker_counts_as_cancelled() {
    let (mut driver, ring) = driver();
    let fsync = Op::Fsync { fd: 3, data_only: false };
    let cancelled = arm(&mut driver, 1, fsync);
    let interrupted = arm(&mut driver, 2, fsync);
    driver.cancel(cancelled);
    ring.script().complete(cqe(cancelled, -libc::EINTR, 0));
    ring.script().complete(cqe(interrupted, -libc::EINTR, 0));
    let got = poll(&mut driver);
    assert_eq!(got, [end(cancelled, -libc::ECANCELED), end(interrupted, -libc::EINTR)]);
}

/// An endless wait goes on after a signal; one with an end gives the caller a look around.
#[test]
fn a_signal_does_not_end_an_endless_wait() {
    let (mut driver, ring) = driver();
    let token = arm(&mut driver, 1, readable());
    let turns = [Turn::failing(libc::EINTR), Turn::completing([cqe(token, 1, 0)])];
    ring.script().turns.extend(turns);
    let mut out = Vec::new();
    driver.poll(Wait::Forever, 64, &mut out).unwrap();
    assert_eq!(out, [end(token, 1)]);
    ring.script().turns.push_back(Turn::failing(libc::EINTR));
    let woken = driver.poll(Wait::AtMost(Duration::from_secs(9)), 64, &mut out).unwrap();
    assert!(!woken);
}

/// With nothing to submit, no flag and no wait, the kernel is not entered; nor is it when
/// completions are in the queue, even if the caller would wait.
#[test]
fn an_idle_poll_makes_no_system_call() {
    let (mut driver, ring) = driver();
    assert!(!driver.has_work());
    assert_eq!(poll(&mut driver), []);
    let token = arm(&mut driver, 1, readable());
    ring.script().enters.clear();
    ring.script().complete(cqe(token, 1, 0));
    let mut out = Vec::new();
    driver.poll(Wait::Forever, 64, &mut out).unwrap();
    assert_eq!(out, [end(token, 1)]);
    assert_eq!(ring.script().enters, []);
}

/// Dropping the driver asks everything to end and waits for each last completion.
#[test]
fn the_end_waits_for_what_is_in_flight() {
    let (mut driver, ring) = driver();
    for index in 0..5 {
        arm(&mut driver, index, readable());
    }
    submit(&mut driver, Token::new(9, 1), readable()).unwrap();
    assert_eq!(driver.drain(), 0);
    assert!(ring.script().completions.is_empty());
    assert!(ring.script().queue.is_empty(), "everything was submitted, then cancelled");
}

/// If the kernel does not let go in time, the pool's memory stays mapped for ever.
#[test]
fn a_pool_that_the_kernel_holds_is_given_up() {
    let (mut driver, ring) = driver();
    ring.script().deaf = true;
    arm(&mut driver, 1, Op::RecvPool { fd: 3 });
    let buffer = driver.buffer(BufferId(0));
    drop(driver);
    // SAFETY: the call only looks whether the page is mapped.
    let mapped = unsafe { libc::msync(buffer.cast(), 4096, libc::MS_ASYNC) };
    assert_eq!(mapped, 0, "the pool was unmapped under the kernel");
}

/// A connect is never tried inline: the ring's, coming second, would fail.
#[test]
fn a_connect_is_left_to_the_ring() {
    let (mut driver, _ring) = driver();
    let op = Op::Connect { fd: -1, addr: ptr::null() };
    // SAFETY: nothing that the operation names is touched, as the test shows.
    assert_eq!(unsafe { driver.attempt(&op) }, Attempt::WouldBlock);
}

//! Every interleaving of a client's slots and their servers with at most three preemptions, as
//! loom sees it. The way of the requests is a lane, which has models of its own; here they are
//! handed over by starting a thread.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p tautline-bus --lib loom
//! ```

use std::sync::Arc as StdArc;
use std::time::Duration;

use loom::thread;

use super::slots::Seat;
use super::*;
use crate::parker;
use crate::scope::{Local, Scope};
use crate::sync::Arc;

/// Checks `body` under every interleaving with at most three preemptions.
fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 5_000;
    model.check(body);
}

/// A reply that is counted, so that one that is lost or dropped twice is noticed.
type Reply = StdArc<u32>;
type Seated = Arc<Seat<Reply, Local>>;

/// A client with so many slots and a server, who sleep as soon as they find nothing.
fn seats(outstanding: usize) -> (Seated, Seated) {
    let wait = Wait::Park { spin_for: Duration::ZERO };
    let config = Config { outstanding, wait, ..Config::default() };
    let handle = Handle::<Replies<Reply>, Local>::create(Replies::new(config)).unwrap();
    let [client, server] = [Role::Giver, Role::Taker].map(|role| handle.attach(role).unwrap());
    (Local::share(client), Local::share(server))
}

/// Begins a call, and gives both its ends.
fn begun(client: &Seated, server: &Seated) -> Option<(Call<Reply, Local>, Ticket<Reply, Local>)> {
    let to = client.issue(&mut 0)?;
    Some((Call::new(client.clone(), to), Ticket::new(server.clone(), to)))
}

/// A client that sleeps is woken by its reply, for one call after the other through one slot.
#[test]
fn loom_no_wake_up_is_lost() {
    check(|| {
        let (client, server) = seats(1);
        for n in 0..2 {
            let (call, ticket) = begun(&client, &server).unwrap();
            let thread = thread::spawn(move || ticket.reply(n.into()));
            assert_eq!(call.wait(None).as_deref(), Ok(&n));
            thread.join().unwrap();
        }
    });
}

/// A client that waits by a waker is woken, also by a request that was dropped.
#[test]
fn loom_a_waker_is_called() {
    check(|| {
        let (client, server) = seats(1);
        let (mut call, ticket) = begun(&client, &server).unwrap();
        let thread = thread::spawn(move || drop(ticket));
        let taken = parker::block_on(None, |context| call.poll_take(context));
        assert_eq!(taken, Some(Err(TakeError::Abandoned)));
        thread.join().unwrap();
    });
}

/// A reply against a cancel: it meets nobody, is dropped once, and the next call through the slot
/// gets its own.
#[test]
fn loom_a_reply_to_a_cancelled_call_meets_nobody() {
    check(|| {
        let (client, server) = seats(1);
        let late = Reply::new(1);
        let (call, ticket) = begun(&client, &server).unwrap();
        let given = late.clone();
        let thread = thread::spawn(move || ticket.reply(given));
        assert!(call.cancel());
        // Its slot is free once the answer is there, and not before.
        let next = begun(&client, &server);
        thread.join().unwrap();
        let (next, ticket) = next.or_else(|| begun(&client, &server)).unwrap();
        assert_eq!(StdArc::strong_count(&late), 1);
        ticket.reply(2.into());
        assert_eq!(next.wait(None).as_deref(), Ok(&2));
    });
}

/// A call that is answered, taken on another thread, and its slot used again by the client.
#[test]
fn loom_a_slot_is_used_again_after_a_call_on_another_thread() {
    check(|| {
        let (client, server) = seats(1);
        let (call, ticket) = begun(&client, &server).unwrap();
        ticket.reply(1.into());
        let taker = thread::spawn(move || assert_eq!(call.wait(None).as_deref(), Ok(&1)));
        if let Some((call, ticket)) = begun(&client, &server) {
            ticket.reply(2.into());
            assert_eq!(call.wait(None).as_deref(), Ok(&2));
        }
        taker.join().unwrap();
    });
}

/// A client without a free slot sleeps until an answer to a cancelled call has freed one, or a call
/// on another thread.
#[test]
fn loom_a_client_without_a_slot_is_woken() {
    for cancels in [true, false] {
        check(move || {
            let (client, server) = seats(1);
            let (call, ticket) = begun(&client, &server).unwrap();
            let thread = if cancels {
                call.cancel();
                thread::spawn(move || ticket.reply(1.into()))
            } else {
                ticket.reply(1.into());
                thread::spawn(move || drop(call))
            };
            parker::block_on(None, |context| client.poll_free(context)).unwrap();
            assert!(client.issue(&mut 0).is_some());
            thread.join().unwrap();
        });
    }
}

/// A client that waits hears of the end of the last server.
#[test]
fn loom_a_client_hears_that_nobody_is_left() {
    check(|| {
        let (client, server) = seats(1);
        let to = client.issue(&mut 0).unwrap();
        let call = Call::<Reply, Local>::new(client, to);
        let thread = thread::spawn(move || drop(server));
        assert_eq!(call.wait(None).unwrap_err(), TakeError::Abandoned);
        thread.join().unwrap();
    });
}

/// A server that replies while client, call and handles go: nothing is left behind.
#[test]
fn loom_a_reply_against_the_end_leaves_nothing_behind() {
    check(|| {
        let (client, server) = seats(1);
        let reply = Reply::new(1);
        let (call, ticket) = begun(&client, &server).unwrap();
        let given = reply.clone();
        let thread = thread::spawn(move || ticket.reply(given));
        drop((call, client, server));
        thread.join().unwrap();
        assert_eq!(StdArc::strong_count(&reply), 1);
    });
}

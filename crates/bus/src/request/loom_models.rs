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

use super::slots::{Met, Seat};
use super::*;
use crate::object::Object;
use crate::parker;
use crate::ring::mortal_models::Deadly;
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
    let handle = Handle::<Replies<Reply>, Local>::create(Replies::new(config, 0)).unwrap();
    let [client, server] = [Role::Giver, Role::Taker].map(|role| handle.attach(role).unwrap());
    (Local::share(client), Local::share(server))
}

/// Begins a call, and gives both its ends.
fn begun(client: &Seated, server: &Seated) -> Option<(Call<Reply, Local>, Ticket<Reply, Local>)> {
    let to = client.issue(&mut 0)?;
    Some((Call::new(client.clone(), to), Ticket::new(server.clone(), to, false)))
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

/// A client whose request was sent while it was closed, and the server went, hears that nobody answers,
/// though there are handles by which others could come: whichever of the two is last.
#[test]
fn loom_a_client_hears_that_it_is_closed_and_nobody_is_there() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.max_branches = 5_000;
    model.check(|| {
        let (client, server) = seats(1);
        let call: Call<Reply, Local> = Call::new(client.clone(), client.issue(&mut 0).unwrap());
        let (handle, _kept) = (client.handle(), client.handle());
        let server = thread::spawn(move || drop(server));
        let closer = thread::spawn(move || handle.shape().close(handle.parts()));
        assert_eq!(call.wait(None), Err(TakeError::Abandoned));
        server.join().unwrap();
        closer.join().unwrap();
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

// ------------------------------------------------------------------------- where users may die

type Mortal = Arc<Seat<u32, Deadly>>;

/// A client with one slot, and two servers, all of which may die.
fn mortals() -> (Mortal, [Mortal; 2]) {
    let config = Config { servers: 2, outstanding: 1, ..Config::default() };
    let handle = Handle::<Replies<u32>, Deadly>::create(Replies::new(config, 0)).unwrap();
    let client = Deadly::share(handle.attach(Role::Giver).unwrap());
    (client, [(); 2].map(|()| Deadly::share(handle.attach(Role::Taker).unwrap())))
}

/// The user of that seat has died, as whoever clears its seat does it.
fn clear(seat: &Mortal, role: Role) {
    Object::died(seat.shape(), seat.parts(), role, seat.seat());
}

/// Takes the request of a call out of the channel, and keeps it.
fn take(server: &Mortal, to: Correlation) -> Met {
    take_as(server, to, false)
}

/// The same for one that the channel brings again, for who had it has died.
fn take_again(server: &Mortal, to: Correlation) -> Met {
    take_as(server, to, true)
}

fn take_as(server: &Mortal, to: Correlation, again: bool) -> Met {
    let met = server.meet(to, again);
    if met == Met::New {
        server.has_kept(to);
    }
    met
}

/// A server dies that had a request: another has it once, whether it finds it by itself or the
/// channel brings it, and its answer arrives.
#[test]
fn loom_what_a_dead_server_had_is_served_once_more() {
    check(|| {
        let (client, [dead, heir]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        assert_eq!(take(&dead, to), Met::New);
        let clearer = {
            let dead = dead.clone();
            thread::spawn(move || clear(&dead, Role::Taker))
        };
        let mut served = 0;
        if heir.take_over() == Some(to) {
            served += 1;
        }
        clearer.join().unwrap();
        served += u32::from(take_again(&heir, to) == Met::Again);
        served += u32::from(heir.take_over().is_some());
        assert_eq!(served, 1);
        heir.answer(to, Ok(7));
        assert_eq!(client.take(to), Ok(7));
        assert!(client.issue(&mut 0).is_some());
    });
}

/// A client gives a call up while its server dies and another takes it over: somebody answers, and
/// the slot is free.
#[test]
fn loom_a_call_of_the_dead_is_given_up() {
    check(|| {
        let (client, [dead, heir]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        assert_eq!(take(&dead, to), Met::New);
        let next = {
            let heir = heir.clone();
            thread::spawn(move || {
                clear(&dead, Role::Taker);
                if let Some(to) = heir.take_over() {
                    heir.answer(to, Ok(7));
                }
            })
        };
        client.cancel(to);
        next.join().unwrap();
        assert_eq!(heir.take_over(), None);
        let next = client.issue(&mut 0).expect("the slot is free");
        assert_eq!(client.take(next), Err(TakeError::Pending));
    });
}

/// A client dies while a server takes its request: it is served, as one that waits or one that was
/// told, and the next client's slot is free and without an answer.
#[test]
fn loom_a_dead_client_leaves_a_free_slot() {
    check(|| {
        let (client, [server, _]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        let serving = thread::spawn(move || match take(&server, to) {
            Met::New => server.answer(to, Ok(7)),
            met => assert_eq!(met, Met::Told),
        });
        clear(&client, Role::Giver);
        serving.join().unwrap();
        let next = client.issue(&mut 0).expect("the slot is free");
        assert_eq!(client.take(next), Err(TakeError::Pending));
    });
}

/// A server dies before it has kept a request, which its client gives up: the channel brings it to
/// another, as a call or as one that was told.
#[test]
fn loom_what_was_not_kept_comes_by_the_channel() {
    check(|| {
        let (client, [dead, heir]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        assert_eq!(dead.meet(to, false), Met::New);
        let next = thread::spawn(move || {
            clear(&dead, Role::Taker);
            assert_eq!(heir.take_over(), None);
            match take_again(&heir, to) {
                Met::New => heir.answer(to, Ok(7)),
                met => assert_eq!(met, Met::Told),
            }
        });
        client.cancel(to);
        next.join().unwrap();
        assert!(client.issue(&mut 0).is_some());
    });
}

/// A server dies before it has kept a request, and the channel brings it to another just while a
/// third process clears the seat: it is served, once.
#[test]
fn loom_what_was_not_kept_is_served_while_the_seat_is_cleared() {
    check(|| {
        let (client, [dead, heir]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        assert_eq!(dead.meet(to, false), Met::New);
        let clearer = thread::spawn(move || clear(&dead, Role::Taker));
        assert_eq!(take_again(&heir, to), Met::New);
        clearer.join().unwrap();
        assert_eq!(heir.take_over(), None);
        heir.answer(to, Ok(7));
        assert_eq!(client.take(to), Ok(7));
    });
}

/// A request that a server had which has died is answered by its heir, and its client has gone on to
/// the next call: the channel, which brings it again, brings nothing to be done.
#[test]
fn loom_what_was_answered_does_not_come_as_told() {
    check(|| {
        let (client, [dead, heir]) = mortals();
        let to = client.issue(&mut 0).unwrap();
        assert_eq!(take(&dead, to), Met::New);
        clear(&dead, Role::Taker);
        assert_eq!(heir.take_over(), Some(to));
        let goes_on = {
            let client = client.clone();
            thread::spawn(move || {
                _ = client.take(to).map(|reply| assert_eq!(reply, 7));
                client.issue(&mut 0)
            })
        };
        heir.answer(to, Ok(7));
        assert_eq!(take_again(&heir, to), Met::Served);
        let next = goes_on.join().unwrap();
        assert!(next.is_none_or(|next| take(&heir, next) == Met::New));
    });
}

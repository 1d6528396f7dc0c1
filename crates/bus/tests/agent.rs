//! Agents own things, in both scopes and by whatever they are run.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tautline_bus::agent::{Agent, Config, Mail, Owner, Panicked, Turn};
use tautline_bus::completion::TakeError;
use tautline_bus::request::{Exchanges, RequestError};
use tautline_bus::{InProcess, Local, Private, SendError, Wait};

/// Keeps what it is sent, replies with the sum, and panics over a hundred.
#[derive(Debug, Default, PartialEq)]
struct Ledger {
    entries: Vec<u32>,
    was_stopped: bool,
}

impl Owner for Ledger {
    type Message = u32;
    type Reply = u32;

    fn handle(&mut self, entry: u32) -> u32 {
        if entry == 100 {
            resume_unwind(Box::new("a hundred is too much")); // without a word on the console
        }
        self.entries.push(entry);
        self.entries.iter().sum()
    }

    fn stopped(&mut self) {
        assert!(!self.was_stopped);
        self.was_stopped = true;
    }
}

const PARK: Wait = Wait::Park { spin_for: Duration::ZERO };

fn made<S: Exchanges<u32, u32> + InProcess>() -> (Agent<Ledger, S>, Mail<u32, u32, S>) {
    let config = Config { wait: PARK, budget: 3, ..Config::default() };
    let agent = Agent::new(Ledger::default(), config).unwrap();
    let mail = agent.mail();
    (agent, mail)
}

fn ledger(entries: &[u32]) -> Ledger {
    Ledger { entries: entries.into(), was_stopped: true }
}

fn stops_after_what_was_sent<S: Exchanges<u32, u32> + InProcess>() {
    let (mut agent, mail) = made::<S>();
    let mut client = mail.client().unwrap();
    assert_eq!(agent.turn(9), Turn::Idle);
    client.tell(1).unwrap();
    let mut call = client.call(2).unwrap();
    client.tell(3).unwrap();
    assert_eq!(agent.turn(2), Turn::Busy);
    assert_eq!(call.try_take(), Ok(3));
    assert_eq!(agent.owner().entries, [1, 2]);
    let mut last = client.call(4).unwrap();
    mail.stop();
    assert_eq!(client.tell(5), Err(SendError::Closed(5)));
    assert_eq!(mail.len(), 2);
    assert_eq!(agent.turn(9), Turn::Ended);
    assert_eq!(last.try_take(), Ok(10));
    assert_eq!(agent.turn(9), Turn::Ended);
    assert_eq!(agent.finish(), Ok(ledger(&[1, 2, 3, 4])));
}

/// An agent that is polled by hand handles messages in order, as many as it may, and all that was
/// sent before it was stopped; then the owner comes back.
#[test]
fn an_agent_stops_after_what_was_sent() {
    stops_after_what_was_sent::<Private>();
    stops_after_what_was_sent::<Local>();
}

fn aborts<S: Exchanges<u32, u32> + InProcess>() {
    let (mut agent, mail) = made::<S>();
    let mut client = mail.client().unwrap();
    client.tell(1).unwrap();
    assert_eq!(agent.turn(1), Turn::Busy);
    let mut call = client.call(2).unwrap();
    client.tell(3).unwrap();
    mail.clone().abort();
    assert_eq!(agent.turn(9), Turn::Ended);
    assert_eq!(call.try_take(), Err(TakeError::Abandoned));
    assert_eq!(agent.finish(), Ok(ledger(&[1])));
}

/// An agent that is told to abort handles no other message, and those who wait hear of it.
#[test]
fn an_abort_abandons_what_waits() {
    aborts::<Private>();
    aborts::<Local>();
}

fn panics_are_told<S: Exchanges<u32, u32> + InProcess>() {
    let (mut agent, mail) = made::<S>();
    let mut client = mail.client().unwrap();
    let mut calls = [1, 100, 2].map(|n| client.call(n).unwrap());
    assert_eq!(agent.turn(9), Turn::Ended);
    let taken = calls.each_mut().map(|call| call.try_take());
    assert_eq!(taken, [Ok(1), Err(TakeError::Panicked), Err(TakeError::Abandoned)]);
    assert_eq!(client.tell(3), Err(SendError::Closed(3)));
    let message = "a hundred is too much".to_owned();
    assert_eq!(agent.finish(), Err(Panicked { message }));
}

/// A panic of the owner is told to the one who asked and to the one who waits for the end; those
/// behind hear that they were abandoned.
#[test]
fn a_panic_is_told_at_both_ends() {
    panics_are_told::<Private>();
    panics_are_told::<Local>();
}

fn runs_as_a_future<S: Exchanges<u32, u32> + InProcess>() {
    let (agent, mail) = made::<S>();
    let mut client = mail.client().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut run = pin!(agent.run());
    assert!(run.as_mut().poll(&mut context).is_pending());
    let mut calls: Vec<_> = (1..=5).map(|n| client.call(n).unwrap()).collect();
    // Woken by the first message; it handles that, then its budget, and gives way.
    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(calls[3].try_take(), Ok(10));
    assert_eq!(calls[4].try_take(), Err(TakeError::Pending));
    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(calls[4].try_take(), Ok(15));
    drop((client, mail));
    let Poll::Ready(owner) = run.poll(&mut context) else { panic!("nobody can send") };
    assert_eq!(owner, Ok(ledger(&[1, 2, 3, 4, 5])));
}

/// As a future an agent handles messages within its budget, then lets others run, and ends when
/// nobody can send any more.
#[test]
fn an_agent_runs_as_a_future() {
    runs_as_a_future::<Private>();
    runs_as_a_future::<Local>();
}

/// On a thread of its own it serves several clients, and gives its owner back when it is stopped.
#[test]
fn an_agent_runs_on_a_thread() {
    for wait in [Wait::Yield, PARK, Wait::default()] {
        let agent = Agent::new(Ledger::default(), Config { wait, ..Config::default() }).unwrap();
        let mail: Mail<_, _, Local> = agent.mail();
        let mut end = agent.spawn_thread("ledger").unwrap();
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let mut client = mail.client().unwrap();
                thread::spawn(move || {
                    for _ in 0..500 {
                        client.tell(1).unwrap();
                        assert!(client.request(1).unwrap() >= 2);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!(end.wait(Some(Duration::from_millis(1))), Err(TakeError::TimedOut));
        mail.stop();
        let owner = end.wait(None).unwrap().unwrap();
        assert_eq!((owner.entries.len(), owner.was_stopped), (2_000, true));
    }
}

/// The end of an agent that panics on its thread is told by what it was started with, and to the
/// client that is waiting.
#[test]
fn a_panic_on_a_thread_is_told() {
    let (agent, mail) = made::<Local>();
    let mut end = agent.spawn_thread("ledger").unwrap();
    let mut client = mail.client().unwrap();
    assert_eq!(client.request(100), Err(RequestError::NoReply(TakeError::Panicked)));
    assert!(end.wait(None).unwrap().unwrap_err().to_string().contains("a hundred is too much"));
    assert_eq!(client.request(1), Err(RequestError::NotSent(SendError::Closed(1))));
}

/// An agent that is dropped before its end abandons those who wait, also while they sleep.
#[test]
fn an_agent_that_is_dropped_abandons_its_callers() {
    let (agent, mail) = made::<Local>();
    let mut client = mail.client().unwrap();
    drop(mail);
    let thread = thread::spawn(move || {
        let call = client.call(1).unwrap();
        (call.wait(None), client)
    });
    thread::sleep(Duration::from_millis(5));
    drop(agent);
    let (answer, _client) = thread.join().unwrap();
    assert_eq!(answer, Err(TakeError::Abandoned));
}

/// An owner that is bound to its thread serves clients on others: it need not be `Send`.
#[test]
fn an_owner_may_be_bound_to_its_thread() {
    struct Bound(std::rc::Rc<u32>);
    impl Owner for Bound {
        type Message = ();
        type Reply = u32;
        fn handle(&mut self, (): ()) -> u32 {
            *self.0
        }
    }
    let (give, take) = mpsc::channel();
    let thread = thread::spawn(move || {
        let agent = Agent::<_, Local>::new(Bound(7.into()), Config::default()).unwrap();
        give.send(agent.mail()).unwrap();
        agent.run_blocking().map(|bound| *bound.0)
    });
    let mail = take.recv().unwrap();
    assert_eq!(mail.client().unwrap().request(()), Ok(7));
    drop(mail);
    assert_eq!(thread.join().unwrap(), Ok(7));
}

/// Clients, a stop and an abort race: whoever's send was accepted gets an answer or is told that
/// there is none, and what the owner was handed is what was answered.
#[test]
fn stop_and_abort_race_with_clients() {
    for round in 0..200 {
        let (agent, mail) = made::<Local>();
        let mut end = agent.spawn_thread("ledger").unwrap();
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let mut client = mail.client().unwrap();
                thread::spawn(move || {
                    let mut answered = 0;
                    loop {
                        match client.request(1) {
                            Ok(_) => answered += 1,
                            Err(RequestError::NoReply(TakeError::Abandoned)) => {}
                            Err(RequestError::NotSent(SendError::Closed(1))) => return answered,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        if round % 2 == 0 {
            mail.stop()
        } else {
            mail.abort()
        }
        let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(end.wait(None).unwrap().unwrap().entries.len(), answered);
    }
}

/// What was sent and not handled is dropped once.
#[test]
fn messages_that_nobody_handles_are_dropped() {
    struct Sink;
    impl Owner for Sink {
        type Message = Arc<()>;
        type Reply = Arc<()>;
        fn handle(&mut self, message: Arc<()>) -> Arc<()> {
            message
        }
    }
    let token = Arc::new(());
    let mut agent = Agent::<_, Local>::new(Sink, Config::default()).unwrap();
    let mail = agent.mail();
    let mut client = mail.client().unwrap();
    for _ in 0..3 {
        client.tell(token.clone()).unwrap();
        drop(client.call(token.clone()).unwrap());
    }
    assert_eq!(agent.turn(4), Turn::Busy);
    mail.abort();
    drop((agent, mail, client));
    assert_eq!(Arc::strong_count(&token), 1);
}

/// A name that no thread can have is refused, and nobody panics over it.
#[test]
fn a_thread_without_a_proper_name_is_refused() {
    let (agent, _mail) = made::<Local>();
    let error = agent.spawn_thread("a\0b").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains(r"a\0b"), "{error}");
}

//! Nothing that completes, answers or is handled allocates once it is made.

use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use tautline_bus::agent::{self, Agent, Owner};
use tautline_bus::completion::{self, Async, TakeError, wait_all, wait_first};
use tautline_bus::request::{self, Exchanges, Requests};
use tautline_bus::{Carries, InProcess, Local, Private, Wait};

/// Asserts that `work` does not allocate, once it has run before.
fn allocates_nothing(what: &str, mut work: impl FnMut()) {
    work();
    let measured = measure(|| (0..100).for_each(|_| work()));
    assert_eq!(measured.count_total, 0, "{what}: {measured:?}");
}

const PARK: Wait = Wait::Park { spin_for: Duration::ZERO };

fn completions<S: Carries<u64> + InProcess>() {
    let mut context = Context::from_waker(Waker::noop());
    let mut done = Async::<u64, S>::new(completion::Config { wait: PARK });
    allocates_nothing("complete and take", || {
        let completer = done.begin().unwrap();
        assert!(done.poll_take(&mut context).is_pending());
        completer.complete(1).unwrap();
        assert_eq!(done.try_take(), Ok(1));
    });
    allocates_nothing("drop, cancel", || {
        drop(done.begin().unwrap());
        assert_eq!(done.try_take(), Err(TakeError::Abandoned));
        let mut late = done.begin().unwrap();
        assert!(late.poll_cancelled(&mut context).is_pending());
        done.cancel();
        late.complete(1).unwrap_err();
    });
    let mut several = [Async::<u64, S>::new(completion::Config { wait: PARK }), done];
    allocates_nothing("several", || {
        let [a, b] = several.each_mut().map(|one| one.begin().unwrap());
        a.complete(1).unwrap();
        assert_eq!(wait_first(&mut several, None), Ok(0));
        b.complete(2).unwrap();
        assert_eq!(wait_all(&mut several, None), Ok(()));
        assert_eq!(several.each_mut().map(|one| one.try_take()), [Ok(1), Ok(2)]);
    });
}

/// A completion object is made once; operations, waits for several and cancels cost no memory.
#[test]
fn completions_allocate_nothing() {
    completions::<Private>();
    completions::<Local>();
}

fn requests<S: Exchanges<u64, u64> + InProcess>() {
    for servers in [1, 2] {
        let config = request::Config { wait: PARK, servers, ..request::Config::default() };
        let requests = Requests::<u64, u64, S>::new(config).unwrap();
        let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
        let mut context = Context::from_waker(Waker::noop());
        allocates_nothing("call and reply", || {
            assert!(server.poll_receive(&mut context).is_pending());
            client.tell(1).unwrap();
            let mut call = client.call(2).unwrap();
            assert!(call.poll_take(&mut context).is_pending());
            server.serve(|n| n).unwrap();
            server.receive().unwrap().reply(3);
            assert_eq!(call.try_take(), Ok(3));
        });
        allocates_nothing("give up", || {
            drop(client.call(1).unwrap());
            drop(server.receive().unwrap());
            let mut call = client.call(2).unwrap();
            drop(server.receive().unwrap());
            assert_eq!(call.try_take(), Err(TakeError::Abandoned));
        });
    }
}

/// Requests, replies, and calls that are given up cost no memory.
#[test]
fn requests_allocate_nothing() {
    requests::<Private>();
    requests::<Local>();
}

struct Double;

impl Owner for Double {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, n: u64) -> u64 {
        2 * n
    }
}

/// An agent that is asked from another thread costs no memory, on either side, also when both
/// sleep.
#[test]
fn agents_allocate_nothing() {
    for wait in [PARK, Wait::Yield] {
        let config = agent::Config { wait, ..agent::Config::default() };
        let agent = Agent::<_, Local>::new(Double, config).unwrap();
        let mail = agent.mail();
        let thread = thread::spawn(move || {
            let mut agent = agent;
            let measured = measure(|| while agent.turn(8) != agent::Turn::Ended {});
            assert_eq!(measured.count_total, 0, "{measured:?}");
        });
        let mut client = mail.client().unwrap();
        allocates_nothing("request", || {
            client.tell(1).unwrap();
            assert_eq!(client.request(2), Ok(4));
            assert_eq!(client.call(3).unwrap().wait(None), Ok(6));
            let mut calls = [client.call(4).unwrap(), client.call(5).unwrap()];
            wait_all(&mut calls, None).unwrap();
        });
        mail.stop();
        thread.join().unwrap();
    }
}

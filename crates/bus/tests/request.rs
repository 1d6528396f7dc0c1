//! Requests find their answers, in both scopes.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tautline_bus::completion::{Async, Completion, TakeError, wait_all, wait_first};
use tautline_bus::request::{Call, Config, Exchanges, Request, RequestError, Requests};
use tautline_bus::{
    CreateError, Full, InProcess, Local, Private, ReceiveError, SendError, Wait, completion,
};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), Waker::from(count))
}

impl Count {
    fn so_far(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A policy under which users sleep at once.
const PARK: Wait = Wait::Park { spin_for: Duration::ZERO };

fn refusing(outstanding: usize) -> Config {
    Config { outstanding, full: Full::Refuse, wait: PARK, ..Config::default() }
}

/// Runs `test` with one server, by lanes, and with several, who share a ring.
fn each(test: impl Fn(Config)) {
    test(refusing(4));
    test(Config { servers: 2, ..refusing(4) });
}

fn answers_in_any_order<S: Exchanges<u32, u32> + InProcess>() {
    each(|config| {
        let requests = Requests::<u32, u32, S>::new(config).unwrap();
        let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
        assert_eq!(server.try_receive().unwrap_err(), ReceiveError::Empty);
        for round in 0..100 {
            let mut calls: Vec<_> = (0..4).map(|n| client.call(round + n).unwrap()).collect();
            assert_eq!(client.call(9).unwrap_err(), SendError::Full(9));
            assert_eq!(requests.len(), 4);
            let mut taken: Vec<_> = (0..4).map(|_| server.receive().unwrap()).collect();
            assert_eq!(calls[0].try_take(), Err(TakeError::Pending));
            taken.swap(0, 3);
            for request in taken {
                let reply = 2 * request.message;
                request.reply(reply);
            }
            for (n, call) in calls.iter_mut().enumerate() {
                assert_eq!(call.try_take(), Ok(2 * (round + n as u32)));
                assert_eq!(call.try_take(), Err(TakeError::Idle));
            }
        }
    });
}

/// Replies may come in any order, and each finds its call; there are as many at once as was said.
#[test]
fn replies_find_their_calls_in_any_order() {
    answers_in_any_order::<Private>();
    answers_in_any_order::<Local>();
}

fn drops_are_told<S: Exchanges<u32, u32> + InProcess>() {
    each(|config| {
        let requests = Requests::<u32, u32, S>::new(config).unwrap();
        let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
        let mut call = client.call(1).unwrap();
        drop(server.receive().unwrap());
        assert_eq!(call.try_take(), Err(TakeError::Abandoned));
        let (mut held, mut queued) = (client.call(2).unwrap(), client.call(3).unwrap());
        let request = server.receive().unwrap();
        drop((server, requests));
        // The request that was taken is still answered; nobody will take the other.
        assert_eq!(queued.try_take(), Err(TakeError::Pending));
        request.reply(20);
        assert_eq!(held.try_take(), Ok(20));
        assert_eq!(queued.try_take(), Err(TakeError::Abandoned));
        assert_eq!(client.call(4).unwrap_err(), SendError::Closed(4));
        assert_eq!(client.tell(5), Err(SendError::Closed(5)));
    });
}

/// A request that is dropped, and the end of the last server, are told to those who wait.
#[test]
fn whoever_waits_hears_that_there_will_be_no_reply() {
    drops_are_told::<Private>();
    drops_are_told::<Local>();
}

fn told_ones<S: Exchanges<u32, u32> + InProcess>() {
    each(|config| {
        let requests = Requests::<u32, u32, S>::new(config).unwrap();
        let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
        client.tell(1).unwrap();
        let mut call = client.call(2).unwrap();
        let told = server.receive().unwrap();
        assert!(!told.ticket.is_wanted());
        told.reply(0);
        let Request { message, ticket } = server.receive().unwrap();
        assert!(ticket.is_wanted());
        ticket.reply(message + 1);
        assert_eq!(call.try_take(), Ok(3));
        requests.close();
        assert_eq!(client.tell(4), Err(SendError::Closed(4)));
        assert_eq!(server.receive().unwrap_err(), ReceiveError::Closed);
    });
}

/// A message that was told comes in order with the requests, and its reply goes to nobody.
#[test]
fn a_message_can_be_told() {
    told_ones::<Private>();
    told_ones::<Local>();
}

/// A reply that counts how many of it there are.
type Counted<S> = <S as TestScope>::Pointer;

trait TestScope: Exchanges<u32, Self::Pointer> + InProcess {
    type Pointer: Clone + 'static;
    fn pointer() -> Self::Pointer;
    fn count(pointer: &Self::Pointer) -> usize;
}

impl TestScope for Private {
    type Pointer = std::rc::Rc<()>;
    fn pointer() -> Self::Pointer {
        std::rc::Rc::new(())
    }
    fn count(pointer: &Self::Pointer) -> usize {
        std::rc::Rc::strong_count(pointer)
    }
}

impl TestScope for Local {
    type Pointer = Arc<()>;
    fn pointer() -> Self::Pointer {
        Arc::new(())
    }
    fn count(pointer: &Self::Pointer) -> usize {
        Arc::strong_count(pointer)
    }
}

fn cancelled_ones<S: TestScope>() {
    let reply = S::pointer();
    let requests = Requests::<u32, Counted<S>, S>::new(refusing(1)).unwrap();
    let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
    let call = client.call(1).unwrap();
    let request = server.receive().unwrap();
    assert!(request.ticket.is_wanted());
    assert!(call.cancel());
    assert!(!request.ticket.is_wanted());
    // The slot is the late reply's until that has come.
    assert_eq!(client.call(2).unwrap_err(), SendError::Full(2));
    request.reply(reply.clone());
    assert_eq!(S::count(&reply), 2);
    let mut call = client.call(3).unwrap();
    assert_eq!(S::count(&reply), 1);
    assert_eq!(call.try_take().err(), Some(TakeError::Pending));

    // Answered, and then given up.
    server.receive().unwrap().reply(reply.clone());
    drop(call);
    assert_eq!(S::count(&reply), 1);

    // Given up, answered, and never used again.
    drop(client.call(4).unwrap());
    server.receive().unwrap().reply(reply.clone());
    drop((client, server, requests));
    assert_eq!(S::count(&reply), 1);
}

/// The reply to a call that was given up meets nobody, and is dropped once.
#[test]
fn replies_to_cancelled_calls_meet_nobody() {
    cancelled_ones::<Private>();
    cancelled_ones::<Local>();
}

fn seats_are_inherited<S: Exchanges<u32, u32> + InProcess>() {
    let requests = Requests::<u32, u32, S>::new(refusing(2)).unwrap();
    let mut client = requests.client_as("the first").unwrap();
    let mut server = requests.server().unwrap();
    let (call, given_up) = (client.call(1).unwrap(), client.call(2).unwrap());
    drop((client, given_up));
    let error = requests.client().unwrap_err(); // its call is not over
    assert_eq!((error.user, error.limit), ("client", 1));
    assert_eq!(error.holders, ["the first"]);
    assert_eq!(requests.users(), [1, 1]);
    let late = (server.receive().unwrap(), server.receive().unwrap());
    late.0.reply(10);
    assert_eq!(call.wait(None), Ok(10));

    let mut client = requests.client().unwrap();
    let mut call = client.call(3).unwrap();
    assert_eq!(client.call(4).unwrap_err(), SendError::Full(4)); // a reply is still owed
    late.1.reply(20);
    assert_eq!(call.try_take(), Err(TakeError::Pending));
    let mut other = client.call(5).unwrap();
    for request in [server.receive().unwrap(), server.receive().unwrap()] {
        let reply = 10 * request.message;
        request.reply(reply);
    }
    assert_eq!((call.try_take(), other.try_take()), (Ok(30), Ok(50)));
}

/// Whoever takes the seat of a client meets none of its replies.
#[test]
fn a_seat_that_is_taken_over_brings_no_old_replies() {
    seats_are_inherited::<Private>();
    seats_are_inherited::<Local>();
}

fn wakers_are_called<S: Exchanges<u32, u32> + InProcess>() {
    let (count, waker) = counting();
    let mut context = Context::from_waker(&waker);
    let requests = Requests::<u32, u32, S>::new(refusing(2)).unwrap();
    let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
    assert!(server.poll_receive(&mut context).is_pending());
    let mut calls = [client.call(1).unwrap(), client.call(2).unwrap()];
    assert_eq!(count.so_far(), 1);
    for call in &mut calls {
        assert!(pin!(call).poll(&mut context).is_pending());
    }
    let Poll::Ready(Ok(request)) = server.poll_receive(&mut context) else {
        panic!("one is there")
    };
    request.reply(10);
    assert_eq!(count.so_far(), 2); // one reply wakes one call
    let [mut first, second] = calls;
    assert_eq!(pin!(&mut first).poll(&mut context), Poll::Ready(Ok(10)));
    let (third, mut again) = (client.call(3).unwrap(), pin!(client.call_async(4)));
    assert!(again.as_mut().poll(&mut context).is_pending());
    drop(third); // unanswered: its slot is not free yet
    assert!(again.as_mut().poll(&mut context).is_pending());
    let before = count.so_far();
    drop(second); // nor this one's
    drop(server.receive().unwrap());
    assert!(count.so_far() > before);
    let Poll::Ready(Ok(mut call)) = again.poll(&mut context) else { panic!("a slot is free") };
    drop(server.receive().unwrap()); // the third
    server.receive().unwrap().reply(40);
    assert_eq!(call.try_take(), Ok(40));
}

/// Servers, calls, and callers without a slot leave wakers, which are called when there is
/// something for them.
#[test]
fn wakers_are_called_when_there_is_something() {
    wakers_are_called::<Private>();
    wakers_are_called::<Local>();
}

/// What can be asked in no way is refused when the place is made.
#[test]
fn impossible_wishes_are_refused() {
    let made = |config| Requests::<u32, u32, Local>::new(config).map(drop);
    let none = Config { outstanding: 0, ..Config::default() };
    assert!(matches!(made(none), Err(CreateError::Capacity { asked: 0, .. })));
    let many = Config { outstanding: usize::MAX, ..Config::default() };
    assert!(matches!(made(many), Err(CreateError::Capacity { asked: usize::MAX, .. })));
    let nobody = Config { clients: 0, ..Config::default() };
    assert!(matches!(made(nobody), Err(CreateError::NoUsers { user: "client", .. })));
    let over = Config { full: Full::Overwrite, ..Config::default() };
    assert!(matches!(made(over), Err(CreateError::Conflict { .. })));
}

/// A call without room waits up to its deadline; a request waits for its reply up to its own, and
/// is then given up.
#[test]
fn waits_end_at_their_deadlines() {
    let limit = Duration::from_millis(2);
    for wait in [Wait::Spin, Wait::Yield, PARK] {
        let full = Full::Block(Some(limit));
        let config = Config { outstanding: 1, full, patience: Some(limit), wait, ..refusing(1) };
        let requests = Requests::<u32, u32, Local>::new(config).unwrap();
        let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
        assert_eq!(client.request(1), Err(RequestError::NoReply(TakeError::TimedOut)));
        assert_eq!(client.request(2), Err(RequestError::NotSent(SendError::TimedOut(2))));
        server.receive().unwrap().reply(10);
        let mut call = client.call(3).unwrap();
        assert_eq!(call.wait_for(limit), Err(TakeError::TimedOut));
        server.receive().unwrap().reply(30);
        assert_eq!(call.wait_for(limit), Ok(30));
    }
    let requests = Requests::<u32, u32, Private>::new(Config::default()).unwrap();
    let (mut client, _server) = (requests.client().unwrap(), requests.server().unwrap());
    assert_eq!(client.request(1), Err(RequestError::NoReply(TakeError::Pending)));
}

/// A panic of the work is told to the caller by its name, and the server serves on.
#[test]
fn a_panic_of_the_work_is_told() {
    let requests = Requests::<u32, u32, Local>::new(Config::default()).unwrap();
    let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
    let call = client.call(1).unwrap();
    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.serve(|_| std::panic::resume_unwind(Box::new("no")))
    }));
    assert!(served.is_err());
    assert_eq!(call.wait(None), Err(TakeError::Panicked));
    let call = client.call(2).unwrap();
    server.try_serve(|n| n).unwrap();
    assert_eq!(server.try_serve(|n| n), Err(ReceiveError::Empty));
    assert_eq!(call.wait(None), Ok(2));
}

/// Calls are completions like others: they are waited for together.
#[test]
fn calls_are_waited_for_among_other_completions() {
    let requests = Requests::<u32, u32, Local>::new(Config::default()).unwrap();
    let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
    let mut done = Async::<(), Local>::new(completion::Config::default());
    let completer = done.begin().unwrap();
    let (mut one, mut two) = (client.call(1).unwrap(), client.call(2).unwrap());
    let thread = thread::spawn(move || {
        server.serve(|n| n).unwrap();
        server.serve(|n| n).unwrap();
        completer.complete(()).unwrap();
    });
    let mut all: [&mut dyn Completion; 3] = [&mut done, &mut one, &mut two];
    assert!(wait_first(&mut all, None).is_ok());
    wait_all(&mut all, None).unwrap();
    assert_eq!((one.try_take(), two.try_take(), done.try_take()), (Ok(1), Ok(2), Ok(())));
    thread.join().unwrap();
}

/// Several clients, several servers, and calls that are given up at random times: every call that
/// is waited for gets its own reply.
#[test]
fn many_clients_and_servers_mix_nothing_up() {
    for wait in [Wait::Yield, PARK] {
        let config = Config { clients: 2, servers: 2, outstanding: 3, wait, ..Config::default() };
        let requests = Requests::<u64, Box<u64>, Local>::new(config).unwrap();
        let servers: Vec<_> = (0..2)
            .map(|_| {
                let mut server = requests.server().unwrap();
                thread::spawn(move || while server.serve(|n| Box::new(n * 3)).is_ok() {})
            })
            .collect();
        let clients: Vec<_> = (0..2_u64)
            .map(|id| {
                let mut client = requests.client().unwrap();
                thread::spawn(move || {
                    let mut calls: VecDeque<(u64, Call<_, _>)> = VecDeque::new();
                    for n in (0..5_000).map(|n| n * 2 + id) {
                        calls.push_back((n, client.call(n).unwrap()));
                        if n % 7 == 0 {
                            calls.pop_front();
                        } else if calls.len() == 3 {
                            let (n, call) = calls.pop_front().unwrap();
                            assert_eq!(*call.wait(None).unwrap(), n * 3);
                        }
                    }
                })
            })
            .collect();
        drop(requests);
        clients.into_iter().chain(servers).for_each(|thread| thread.join().unwrap());
    }
}

// ------------------------------------------------------------------------------------ model

#[derive(Clone, Debug)]
enum Step {
    Call,
    Tell,
    Receive,
    /// To the taken request of that index.
    Reply(usize),
    Drop(usize),
    /// Of the call of that index.
    Take(usize),
    Cancel(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Call),
        1 => Just(Step::Tell),
        4 => Just(Step::Receive),
        3 => (0_usize..3).prop_map(Step::Reply),
        1 => (0_usize..3).prop_map(Step::Drop),
        3 => (0_usize..3).prop_map(Step::Take),
        1 => (0_usize..3).prop_map(Step::Cancel),
    ];
    prop::collection::vec(step, 0..80)
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Answered(Result<u32, TakeError>),
}

/// What the model knows of a request: its fate, and whether its slot is still its own.
struct Known {
    fate: Fate,
    has_slot: bool,
    /// The call was taken or given up.
    over: bool,
}

fn follows_the_model<S: Exchanges<u32, u32> + InProcess>(config: Config, steps: &[Step]) {
    let requests = Requests::<u32, u32, S>::new(config).unwrap();
    let (mut client, mut server) = (requests.client().unwrap(), requests.server().unwrap());
    let mut known: Vec<Known> = Vec::new();
    let mut calls: Vec<(u32, Call<u32, S>)> = Vec::new();
    let (mut queued, mut taken) = (VecDeque::new(), Vec::new());
    for step in steps {
        let id = known.len() as u32;
        match *step {
            Step::Call => {
                let slots = known.iter().filter(|k| k.has_slot).count();
                let called = client.call(id);
                let room = slots < config.outstanding && queued.len() < config.capacity;
                assert_eq!(called.is_ok(), room);
                if let Ok(call) = called {
                    calls.push((id, call));
                    queued.push_back(id);
                    known.push(Known { fate: Fate::Open, has_slot: true, over: false });
                }
            }
            Step::Tell => {
                assert_eq!(client.tell(id).is_ok(), queued.len() < config.capacity);
                if queued.len() < config.capacity {
                    queued.push_back(id);
                    known.push(Known { fate: Fate::Open, has_slot: false, over: true });
                }
            }
            Step::Receive => {
                let received = server.try_receive().ok();
                assert_eq!(received.as_ref().map(|request| request.message), queued.pop_front());
                taken.extend(received);
            }
            Step::Reply(at) | Step::Drop(at) if at < taken.len() => {
                let request: Request<u32, u32, S> = taken.remove(at);
                let one = &mut known[request.message as usize];
                assert_eq!(request.ticket.is_wanted(), !one.over);
                if matches!(step, Step::Reply(_)) {
                    one.fate = Fate::Answered(Ok(request.message + 100));
                    let reply = request.message + 100;
                    request.reply(reply);
                } else {
                    one.fate = Fate::Answered(Err(TakeError::Abandoned));
                    drop(request);
                }
                one.has_slot &= !one.over;
            }
            Step::Take(at) if at < calls.len() => {
                let (id, call) = &mut calls[at];
                let one = &mut known[*id as usize];
                match one.fate {
                    Fate::Open => assert_eq!(call.try_take(), Err(TakeError::Pending)),
                    Fate::Answered(answer) => {
                        assert_eq!(call.try_take(), answer);
                        (one.has_slot, one.over) = (false, true);
                        calls.remove(at);
                    }
                }
            }
            Step::Cancel(at) if at < calls.len() => {
                let (id, call) = calls.remove(at);
                assert!(call.cancel());
                let one = &mut known[id as usize];
                (one.has_slot, one.over) = (one.fate == Fate::Open, true);
            }
            Step::Reply(_) | Step::Drop(_) | Step::Take(_) | Step::Cancel(_) => {}
        }
    }
}

proptest! {
    /// Any run of steps by a client and a server goes as in a model that knows each request.
    #[test]
    fn any_run_follows_the_model(steps in steps()) {
        for config in [
            Config { capacity: 4, ..refusing(3) },
            Config { capacity: 4, servers: 2, ..refusing(3) },
        ] {
            follows_the_model::<Private>(config, &steps);
            follows_the_model::<Local>(config, &steps);
        }
    }
}

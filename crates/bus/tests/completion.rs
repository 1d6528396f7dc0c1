//! Completion objects do what their names say, in both scopes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tautline_bus::completion::{
    self, Async, Busy, Completer, Completion, Config, TakeError, wait_all, wait_first,
};
use tautline_bus::{Carries, InProcess, Local, Private, Wait};

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

fn made<T, S: Carries<T> + InProcess>() -> Async<T, S> {
    Async::new(Config { wait: PARK })
}

fn one_after_the_other<S: Carries<u32> + InProcess>() {
    let mut done = made::<u32, S>();
    assert_eq!(done.try_take(), Err(TakeError::Idle));
    for n in 0..10 {
        let completer = done.begin().unwrap();
        assert_eq!(done.begin().unwrap_err(), Busy);
        assert_eq!(done.try_take(), Err(TakeError::Pending));
        completer.complete(n).unwrap();
        assert_eq!(done.begin().unwrap_err(), Busy); // the result was not taken
        assert_eq!(done.wait(None), Ok(n));
        assert!(done.is_idle());
    }
    drop(done.begin().unwrap());
    assert_eq!(done.try_take(), Err(TakeError::Abandoned));
    assert_eq!(done.try_take(), Err(TakeError::Idle));
}

/// One object serves one operation after the other; each result is taken once, and an operation
/// that was given up is told.
#[test]
fn one_object_serves_many_operations() {
    one_after_the_other::<Private>();
    one_after_the_other::<Local>();
}

fn late_is_late<S: Carries<u32> + InProcess>() {
    let mut done = made::<u32, S>();
    let late = done.begin().unwrap();
    assert!(!late.is_cancelled());
    assert!(done.cancel());
    assert!(late.is_cancelled());
    let next = done.begin().unwrap();
    assert_eq!(late.complete(1), Err(1));
    assert_eq!(done.try_take(), Err(TakeError::Pending));
    next.complete(2).unwrap();
    assert!(!done.cancel()); // it was complete; the result is dropped
    assert_eq!(done.try_take(), Err(TakeError::Idle));
    let orphan = done.begin().unwrap();
    drop(done);
    assert!(orphan.is_cancelled());
    assert_eq!(orphan.complete(3), Err(3));
}

/// The completer of an operation that was cancelled, or whose owner is gone, gets its value back
/// and disturbs no later operation.
#[test]
fn late_completers_meet_nobody() {
    late_is_late::<Private>();
    late_is_late::<Local>();
}

fn wakers_are_called<S: Carries<u32> + InProcess>() {
    let (count, waker) = counting();
    let mut context = Context::from_waker(&waker);
    let mut done = made::<u32, S>();
    let completer = done.begin().unwrap();
    assert!(done.poll_take(&mut context).is_pending());
    assert!(pin!(&mut done).poll(&mut context).is_pending());
    completer.complete(5).unwrap();
    assert_eq!(count.so_far(), 1);
    assert_eq!(pin!(&mut done).poll(&mut context), Poll::Ready(Ok(5)));

    let mut completer = done.begin().unwrap();
    assert!(completer.poll_cancelled(&mut context).is_pending());
    done.cancel();
    assert_eq!(count.so_far(), 2);
    assert!(completer.poll_cancelled(&mut context).is_ready());

    // A watcher is forgotten with its operation.
    let mut completer = done.begin().unwrap();
    assert!(completer.poll_cancelled(&mut context).is_pending());
    completer.complete(6).unwrap();
    done.cancel();
    done.begin().unwrap().complete(7).unwrap();
    assert_eq!(count.so_far(), 2);
    drop((done, waker));
    assert_eq!(Arc::strong_count(&count), 1);
}

/// A waker that was left is called once: the owner's by the result, the completer's by a cancel.
#[test]
fn wakers_are_called_once() {
    wakers_are_called::<Private>();
    wakers_are_called::<Local>();
}

/// A wait ends at its deadline, and the operation goes on.
#[test]
fn a_wait_ends_at_its_deadline() {
    for wait in [Wait::Spin, Wait::Yield, PARK, Wait::default()] {
        let mut done = Async::<u32, Local>::new(Config { wait });
        let completer = done.begin().unwrap();
        let limit = Some(Duration::from_millis(2));
        assert_eq!(done.wait(limit), Err(TakeError::TimedOut));
        let thread = thread::spawn(move || completer.complete(1));
        assert_eq!(done.wait(None), Ok(1));
        thread.join().unwrap().unwrap();
    }
    let mut alone = made::<u32, Private>();
    let _completer = alone.begin().unwrap();
    assert_eq!(alone.wait(None), Err(TakeError::Pending)); // nobody else runs
}

/// A wait for all ends with the last, one for the first with any; a deadline ends both.
#[test]
fn several_are_waited_for() {
    for wait in [Wait::Spin, Wait::Yield, PARK] {
        let mut number = Async::<u32, Local>::new(Config { wait });
        let mut text = Async::<String, Local>::new(Config { wait });
        let (number_done, text_done) = (number.begin().unwrap(), text.begin().unwrap());
        let limit = Some(Duration::from_millis(2));
        let mut both: [&mut dyn Completion; 2] = [&mut number, &mut text];
        assert_eq!(wait_all(&mut both, limit), Err(TakeError::TimedOut));
        assert_eq!(wait_first(&mut both, limit), Err(TakeError::TimedOut));
        let thread = thread::spawn(move || text_done.complete("two".into()).unwrap());
        assert_eq!(wait_first(&mut both, None), Ok(1));
        let other = thread::spawn(move || drop(number_done));
        assert_eq!(wait_all(&mut both, None), Ok(()));
        assert_eq!(number.try_take(), Err(TakeError::Abandoned));
        assert_eq!(text.try_take().as_deref(), Ok("two"));
        thread.join().unwrap();
        other.join().unwrap();
    }
}

/// Several are awaited by one task, which any of them wakes.
#[test]
fn several_are_awaited() {
    let (count, waker) = counting();
    let mut context = Context::from_waker(&waker);
    let mut several = [made::<u32, Private>(), made(), made()];
    let [a, b, c] = several.each_mut().map(|one| one.begin().unwrap());
    {
        let mut first = pin!(completion::first(&mut several));
        assert!(first.as_mut().poll(&mut context).is_pending());
        b.complete(2).unwrap();
        assert_eq!(count.so_far(), 1);
        assert_eq!(first.poll(&mut context), Poll::Ready(1));
    }
    let mut all = pin!(completion::all(&mut several));
    assert!(all.as_mut().poll(&mut context).is_pending());
    a.complete(1).unwrap();
    assert!(all.as_mut().poll(&mut context).is_pending());
    drop(c);
    assert!(all.as_mut().poll(&mut context).is_ready());
    assert_eq!(count.so_far(), 3);
}

/// In the scope of one thread a blocking wait for what is not there says so.
#[test]
fn nobody_completes_while_the_only_thread_blocks() {
    let (mut one, mut two) = (made::<u32, Private>(), made::<u32, Private>());
    let (first, _second) = (one.begin().unwrap(), two.begin().unwrap());
    assert_eq!(wait_first(&mut [&mut one, &mut two], None), Err(TakeError::Pending));
    first.complete(1).unwrap();
    assert_eq!(wait_first(&mut [&mut one, &mut two], None), Ok(0));
    assert_eq!(wait_all(&mut [&mut one, &mut two], None), Err(TakeError::Pending));
}

/// Owner and completer race through completes, drops, cancels and waits: each value is either
/// taken or given back, and none is lost.
#[test]
fn races_lose_no_value() {
    let live = Arc::new(());
    let (to_worker, inbox) = std::sync::mpsc::sync_channel::<Completer<Arc<()>, Local>>(4);
    let given = live.clone();
    let worker = thread::spawn(move || {
        let mut unwanted = 0;
        for (n, completer) in inbox.into_iter().enumerate() {
            match n % 5 {
                0 => drop(completer),
                1 => {
                    thread::yield_now();
                    unwanted += usize::from(completer.complete(given.clone()).is_err());
                }
                _ => unwanted += usize::from(completer.complete(given.clone()).is_err()),
            }
        }
        unwanted
    });
    let mut done = made::<Arc<()>, Local>();
    let mut cancelled = 0;
    for n in 0..20_000 {
        to_worker.send(done.begin().unwrap()).unwrap();
        match n % 3 {
            0 => cancelled += usize::from(done.cancel()),
            1 => drop(done.wait(None)),
            _ if done.wait(Some(Duration::from_nanos(100))) == Err(TakeError::TimedOut) => {
                cancelled += usize::from(done.cancel());
            }
            _ => {}
        }
        assert!(done.is_idle());
    }
    drop(to_worker);
    assert!(worker.join().unwrap() <= cancelled);
    assert_eq!(Arc::strong_count(&live), 1);
}

// ------------------------------------------------------------------------------------ model

#[derive(Clone, Debug)]
enum Step {
    Begin,
    /// By the completer of that index, of those that are left.
    Complete(usize, u8),
    Drop(usize),
    Cancel,
    Take,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        3 => (0_usize..4, any::<u8>()).prop_map(|(which, value)| Step::Complete(which, value)),
        1 => (0_usize..4).prop_map(Step::Drop),
        2 => Just(Step::Cancel),
        3 => Just(Step::Take),
    ];
    prop::collection::vec(step, 0..60)
}

/// What an object should be like: the latest operation, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Idle,
    Pending(usize),
    Over(Result<u8, TakeError>),
}

fn follows_the_model<S: Carries<u8> + InProcess>(steps: &[Step]) {
    let (mut done, mut model) = (made::<u8, S>(), Model::Idle);
    let mut completers: Vec<(usize, Completer<u8, S>)> = Vec::new();
    for (now, step) in steps.iter().enumerate() {
        match *step {
            Step::Begin => {
                let begun = done.begin();
                assert_eq!(begun.is_ok(), model == Model::Idle);
                if let Ok(completer) = begun {
                    completers.push((now, completer));
                    model = Model::Pending(now);
                }
            }
            Step::Complete(which, value) if which < completers.len() => {
                let (id, completer) = completers.remove(which);
                let wanted = model == Model::Pending(id);
                assert_eq!(completer.is_cancelled(), !wanted);
                assert_eq!(completer.complete(value), if wanted { Ok(()) } else { Err(value) });
                model = if wanted { Model::Over(Ok(value)) } else { model };
            }
            Step::Drop(which) if which < completers.len() => {
                let (id, completer) = completers.remove(which);
                drop(completer);
                if model == Model::Pending(id) {
                    model = Model::Over(Err(TakeError::Abandoned));
                }
            }
            Step::Complete(..) | Step::Drop(_) => {}
            Step::Cancel => {
                assert_eq!(done.cancel(), matches!(model, Model::Pending(_)));
                model = Model::Idle;
            }
            Step::Take => {
                let expected = match model {
                    Model::Idle => Err(TakeError::Idle),
                    Model::Pending(_) => Err(TakeError::Pending),
                    Model::Over(result) => {
                        model = Model::Idle;
                        result
                    }
                };
                assert_eq!(done.try_take(), expected);
            }
        }
        assert_eq!(done.is_ready(), !matches!(model, Model::Pending(_)));
    }
}

proptest! {
    /// Any run of steps by the owner and several completers goes as in a model of one line each.
    #[test]
    fn any_run_follows_the_model(steps in steps()) {
        follows_the_model::<Private>(&steps);
        follows_the_model::<Local>(&steps);
    }
}

//! Objects through which fibers wait for each other: what each promises, also to those that are
//! cancelled while they wait, or too late.

#[path = "fiber_sync/channels.rs"]
mod channels;
#[path = "fiber_sync/chaos.rs"]
mod chaos;
#[path = "fiber_sync/costs.rs"]
mod costs;
#[path = "fiber_sync/locks.rs"]
mod locks;
#[path = "fiber_sync/selects.rs"]
mod selects;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::fiber::{
    self, AcquireError, Builder, Condition, JoinHandle, Mutex, RecvError, Semaphore, SendError,
    Stack,
};
use tautline_runtime::time::Instant;
use tautline_runtime::{Config, DriverChoice, Error, Runtime, sim, task, timer};

/// A runtime whose time is simulated.
fn runtime() -> Runtime {
    let driver = DriverChoice::Sim(Box::new(sim::Config::new(1)));
    Runtime::new(Config { driver, operations: 64, descriptors: 64, ..Config::default() }).unwrap()
}

/// Does `work` in a fiber.
fn in_fiber<T: 'static>(work: impl FnOnce() -> T + 'static) -> T {
    runtime().run_fiber(Stack::Small, work).unwrap()
}

fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    fiber::spawn(Stack::Small, work).unwrap()
}

/// A fiber that is told of its cancellation by errors.
fn spawn_by_error<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new(Stack::Small).cancel_by_error().spawn(work).unwrap()
}

/// Lets all others run until they wait.
fn settle() {
    (0..20).for_each(|_| fiber::yield_now().unwrap());
}

fn soon() -> Instant {
    tautline_runtime::now().unwrap() + Duration::from_millis(1)
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u32>>>);

impl Log {
    fn add(&self, entry: u32) {
        self.0.borrow_mut().push(entry);
    }

    fn entries(&self) -> Vec<u32> {
        self.0.borrow().clone()
    }
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Proves that outside a fiber calls that wait say so, also if they would not have to, and that
/// all others do their work there.
#[test]
fn outside_a_fiber_nothing_waits() {
    let _runtime = runtime();
    let mutex = Mutex::new(7);
    assert!(matches!(mutex.lock(), Err(Error::NotInFiber)));
    assert!(matches!(mutex.lock_until(soon()), Err(Error::NotInFiber)));
    let mut guard = mutex.try_lock().unwrap();
    let condition = Condition::new();
    assert!(matches!(condition.wait(&mut guard), Err(Error::NotInFiber)));
    assert!(matches!(condition.wait_while(&mut guard, |_| false), Err(Error::NotInFiber)));
    assert!(mutex.is_locked());
    condition.notify_all();
    let semaphore = Semaphore::new(1);
    let error = semaphore.acquire().unwrap_err();
    assert!(matches!(error, AcquireError::Wait(Error::NotInFiber)));
    assert!(semaphore.try_acquire().is_some());
    let (sender, receiver) = fiber::channel(1);
    let error = sender.send(5).unwrap_err();
    assert!(matches!(error, SendError::Wait(5, Error::NotInFiber)));
    sender.try_send(6).unwrap();
    assert!(matches!(receiver.recv(), Err(RecvError::Wait(Error::NotInFiber))));
    assert_eq!(receiver.try_recv().unwrap(), 6);
    assert!(matches!(fiber::select([&semaphore], None), Err(Error::NotInFiber)));
}

/// Proves that without a runtime there is nothing to wait on, and the rest works.
#[test]
fn without_a_runtime_nothing_waits() {
    let (sender, receiver) = fiber::channel(1);
    assert!(matches!(Mutex::new(()).lock(), Err(Error::NoRuntime)));
    assert!(matches!(sender.send(1), Err(SendError::Wait(1, Error::NoRuntime))));
    sender.try_send(2).unwrap();
    assert_eq!(receiver.try_recv().unwrap(), 2);
}

/// Proves that callbacks and tasks unlock, release, send and notify for fibers.
#[test]
fn callbacks_and_tasks_let_fibers_go_on() {
    let log = Log::default();
    let seen = log.clone();
    in_fiber(move || {
        let shared = Rc::new((Mutex::new(0), Condition::new(), Semaphore::new(0)));
        let (sender, receiver) = fiber::channel(1);
        let theirs = shared.clone();
        let later = Duration::from_millis(1);
        timer::after(later, move || {
            sender.try_send(1).unwrap();
            theirs.2.release(1);
            *theirs.0.try_lock().unwrap() = 3;
            theirs.1.notify_one();
        })
        .unwrap();
        let mut guard = shared.0.lock().unwrap();
        shared.1.wait_while(&mut guard, |value| *value == 0).unwrap();
        seen.add(*guard);
        seen.add(receiver.recv().unwrap());
        drop(shared.2.acquire().unwrap());
        let theirs = shared.clone();
        drop(task::spawn(async move { theirs.2.release(2) }).unwrap());
        seen.add(shared.2.acquire_many(2).unwrap().count() as u32);
    });
    assert_eq!(log.entries(), [3, 1, 2]);
}

/// Proves that a runtime that is dropped unwinds those who wait in every object, and that
/// nothing of them stays behind in it.
#[test]
fn a_dropped_runtime_ends_every_wait() {
    let runtime = runtime();
    let mutex = Rc::new(Mutex::new(()));
    let condition = Rc::new(Condition::new());
    let semaphore = Rc::new(Semaphore::new(1));
    let (full, full_receiver) = fiber::channel(1);
    let (empty_sender, empty) = fiber::channel::<u8>(1);
    full.try_send(1).unwrap();
    let held = Rc::new(());
    let hold = || held.clone();
    {
        let (mutex, semaphore, held) = (mutex.clone(), semaphore.clone(), hold());
        drop(spawn(move || {
            let _held = (mutex.lock(), semaphore.acquire().unwrap(), held);
            fiber::park()
        }));
    }
    let waits: [Box<dyn FnOnce()>; 6] = [
        Box::new({
            let mutex = mutex.clone();
            move || drop(mutex.lock())
        }),
        Box::new({
            let condition = condition.clone();
            move || condition.wait(&mut Mutex::new(()).lock().unwrap()).unwrap()
        }),
        Box::new({
            let semaphore = semaphore.clone();
            move || drop(semaphore.acquire())
        }),
        Box::new({
            let full = full.clone();
            move || full.send(2).unwrap()
        }),
        Box::new({
            let empty = empty.clone();
            move || drop(empty.recv())
        }),
        Box::new({
            let (mutex, semaphore) = (mutex.clone(), semaphore.clone());
            move || drop(fiber::select([&mutex, &semaphore, &full, &empty], None))
        }),
    ];
    for wait in waits {
        let held = hold();
        drop(spawn(move || {
            let _held = held;
            wait();
            unreachable!("nobody lets it go on");
        }));
    }
    runtime.poll().unwrap();
    assert_eq!(Rc::strong_count(&held), 8);
    drop(runtime);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(mutex.try_lock().is_some() && semaphore.try_acquire().is_some());
    assert_eq!(full_receiver.try_recv().unwrap(), 1);
    assert!(matches!(full_receiver.try_recv(), Err(RecvError::Closed)));
    assert!(matches!(empty_sender.try_send(1), Err(SendError::Closed(1))));
}

//! What the loop does around fibers, on its own stack: it warns, tells whoever joins, ends fibers
//! that have not begun, and goes. Code of the user's that runs there may wait or panic, and finds
//! no fiber.

mod common;

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Wake, Waker};

use common::{REAL, small};
use tautline_runtime::fiber::{self, Band, Builder, JoinError, JoinHandle, Stack};
use tautline_runtime::{Config, Descriptor, Error, Runtime, task};

/// A runtime with one small stack.
fn one_stack() -> Runtime {
    let mut config = small();
    config.stacks.small.count = 1;
    Runtime::new(config).unwrap()
}

/// Hears messages.
type Listener = Box<dyn FnMut(&str)>;

thread_local! {
    /// What this thread's messages are told.
    static ON_MESSAGE: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Gives each message to its thread's listener.
struct Teller;

impl log::Log for Teller {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let message = record.args().to_string();
        let listener = ON_MESSAGE.take();
        if let Some(mut listener) = listener {
            listener(&message);
            ON_MESSAGE.set(Some(listener));
        }
    }

    fn flush(&self) {}
}

/// Has `listener` called with what is logged on this thread.
fn listen(listener: impl FnMut(&str) + 'static) {
    static TELLER: Once = Once::new();
    TELLER.call_once(|| {
        log::set_logger(&Teller).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    ON_MESSAGE.set(Some(Box::new(listener)));
}

/// A logger that waits finds no fiber where the loop itself has something to say, also when one
/// has just parked.
#[test]
fn a_logger_that_waits_is_outside_a_fiber() {
    let runtime = one_stack();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let theirs = heard.clone();
    listen(move |message| {
        theirs.borrow_mut().push((message.to_owned(), fiber::yield_now()));
    });
    let first = fiber::spawn(Stack::Small, fiber::park).unwrap();
    let second = fiber::spawn(Stack::Small, || 7).unwrap();
    runtime.poll().unwrap();
    ON_MESSAGE.set(None);
    let heard = heard.take();
    assert!(heard.iter().any(|(message, _)| message.contains("fibers wait for a small stack")));
    assert!(heard.iter().all(|(_, waited)| matches!(waited, Err(Error::NotInFiber))), "{heard:?}");
    first.fiber().unpark();
    assert_eq!(runtime.block_on(second).unwrap().unwrap(), 7);
    assert!(first.is_finished());
}

/// Work that says whether it has begun, and whether it was dropped.
fn noted() -> (impl FnOnce() + 'static, Rc<Cell<bool>>, Rc<()>) {
    let (begun, alive) = (Rc::new(Cell::new(false)), Rc::new(()));
    let (theirs, held) = (begun.clone(), alive.clone());
    let work = move || {
        theirs.set(true);
        drop(held);
    };
    (work, begun, alive)
}

/// A fiber that was handed the stack of one that ended, and that is cancelled before it runs, never
/// begins: its work is dropped, and the stack goes on to the next.
#[test]
fn a_fiber_that_was_handed_a_stack_never_begins() {
    let runtime = one_stack();
    let first = fiber::spawn(Stack::Small, fiber::park).unwrap();
    let unpark = first.fiber().clone();
    let (work, begun, alive) = noted();
    let second = fiber::spawn(Stack::Small, work).unwrap();
    let third = fiber::spawn(Stack::Small, || 7).unwrap();
    let target = second.fiber().clone();
    // Told of the first's end before the second runs.
    let cancels = Builder::new(Stack::Medium).band(Band::High).spawn(move || {
        first.join().unwrap().unwrap();
        target.cancel();
    });
    runtime.poll().unwrap();
    unpark.unpark();
    runtime.poll().unwrap();
    assert!(cancels.unwrap().is_finished());
    assert!(!begun.get() && Rc::strong_count(&alive) == 1);
    assert!(matches!(runtime.block_on(second), Ok(Err(JoinError::Cancelled))));
    assert_eq!(runtime.block_on(third).unwrap().unwrap(), 7);
    assert_eq!(fiber::stacks().unwrap().map(|class| class.in_use), [0; 3]);
}

/// So it is where the runtime goes.
#[test]
fn a_fiber_that_was_handed_a_stack_goes_with_its_runtime() {
    let mut config = small();
    config.stacks.small.count = 1;
    config.budgets.fibers = 3;
    let runtime = Runtime::new(config).unwrap();
    let parks = |stack| fiber::spawn(stack, fiber::park).unwrap();
    let three = [Stack::Small, Stack::Medium, Stack::Medium].map(parks);
    let (work, begun, alive) = noted();
    let last = fiber::spawn(Stack::Small, work).unwrap();
    runtime.poll().unwrap();
    // These are all that run in a turn; the first of them hands its stack on.
    three.iter().for_each(|handle| handle.fiber().unpark());
    runtime.poll_once().unwrap();
    assert!(three.iter().all(JoinHandle::is_finished) && !last.is_finished());
    drop(runtime);
    assert!(last.is_finished());
    assert!(!begun.get() && Rc::strong_count(&alive) == 1);
}

/// And so are the fibers of a scope that is cancelled.
#[test]
fn a_child_that_was_handed_a_stack_never_begins() {
    let runtime = one_stack();
    let (work, begun, alive) = noted();
    let parent = Builder::new(Stack::Medium).band(Band::High).spawn(move || {
        fiber::scope(|scope| {
            let first = scope.spawn(Stack::Small, || fiber::yield_now().map(|()| 7)).unwrap();
            drop(scope.spawn(Stack::Small, work).unwrap());
            assert_eq!(first.join().unwrap().unwrap(), 7);
            scope.cancel();
        })
    });
    runtime.block_on(parent.unwrap()).unwrap().unwrap().unwrap();
    assert!(!begun.get() && Rc::strong_count(&alive) == 1);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a bomb"));
    }
}

/// A callback that waits for a fiber's end is dropped with its runtime; what that panics with
/// stays in there, and the thread can have another runtime.
#[test]
fn a_callback_panics_when_its_runtime_goes() {
    let runtime = Runtime::new(small()).unwrap();
    let bomb = Bomb;
    fiber::spawn(Stack::Small, fiber::park).unwrap().then(move |_| drop(bomb));
    let other = fiber::spawn(Stack::Small, fiber::park).unwrap();
    runtime.poll().unwrap();
    drop(runtime);
    assert!(other.is_finished());
    assert_eq!(Runtime::new(small()).unwrap().run_fiber(Stack::Small, || 7).unwrap(), 7);
}

/// A waker that panics when a fiber has ended is noted; the loop goes on.
#[test]
fn a_waker_panics_when_a_fiber_ends() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("a waker"));
        }
    }
    let runtime = Runtime::new(small()).unwrap();
    let mut joined = fiber::spawn(Stack::Small, || 7).unwrap();
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut joined).poll(&mut Context::from_waker(&waker)).is_pending());
    let other = fiber::spawn(Stack::Small, || 8).unwrap();
    runtime.poll().unwrap();
    assert_eq!(runtime.metrics().panics, 1);
    assert_eq!(runtime.block_on(joined).unwrap().unwrap(), 7);
    assert_eq!(runtime.block_on(other).unwrap().unwrap(), 8);
}

/// What a task panics with when its runtime drops it comes out of that drop, as ever, and the
/// thread can have another runtime.
#[test]
fn a_task_panics_when_its_runtime_goes() {
    let runtime = Runtime::new(small()).unwrap();
    let bomb = Bomb;
    let holds = task::spawn(async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    });
    drop(holds.unwrap());
    drop(fiber::spawn(Stack::Small, fiber::park).unwrap());
    runtime.poll().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(runtime))).is_err());
    assert_eq!(Runtime::new(small()).unwrap().run_fiber(Stack::Small, || 7).unwrap(), 7);
}

/// A large write that leaves at once is one of a fiber's immediate completions: a fiber that does
/// nothing else lets the others run, and can be cancelled.
#[test]
fn a_fiber_that_writes_for_ever_lets_others_run() {
    for bytes in [1 << 16, 1 << 10] {
        let runtime = Runtime::new(Config { send_chunks: 4, ..small() }).unwrap();
        let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let null = Descriptor::new(null.into()).unwrap();
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        let writes = fiber::spawn(Stack::Small, move || {
            let (buf, mut rounds) = (vec![0; bytes], 0);
            while !stopped.get() {
                rounds += 1;
                assert!(rounds < 1_000_000, "nobody else runs");
                null.blocking().write_all(&buf)?;
            }
            std::io::Result::Ok(())
        });
        let other = fiber::spawn(Stack::Small, move || stop.set(true)).unwrap();
        runtime.block_on(other).unwrap().unwrap();
        runtime.block_on(writes.unwrap()).unwrap().unwrap().unwrap();
    }
}

/// A runtime that is one of its thread's own values, and goes with them, resumes nobody: a fiber
/// may hold what went before it. What it has lent is taken back.
#[test]
fn a_runtime_that_goes_with_its_thread_resumes_nobody() {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
        static BUF: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    /// Notes that the frame that holds it was gone on with.
    struct Resumed(Arc<AtomicBool>);
    impl Drop for Resumed {
        fn drop(&mut self) {
            // Relaxed: the thread is joined before it is read.
            self.0.store(true, Ordering::Relaxed);
        }
    }
    for driver in REAL {
        let (mut far, near) = UnixStream::pair().unwrap();
        let resumed = Arc::new(AtomicBool::new(false));
        let theirs = resumed.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
            RUNTIME.set(Some(runtime));
            let near = Descriptor::new(near.into()).unwrap();
            let reads = fiber::spawn(Stack::Small, move || {
                let _resumed = Resumed(theirs);
                BUF.with_borrow_mut(|buf| {
                    buf.resize(64, 0);
                    drop(near.blocking().read(buf));
                });
            });
            reads.unwrap().detach();
            RUNTIME.with_borrow(|runtime| runtime.as_ref().unwrap().poll()).unwrap();
        });
        thread.join().unwrap();
        assert!(!resumed.load(Ordering::Relaxed));
        // The kernel has let go of the socket, and so of the buffer.
        assert!(far.write_all(&[1; 64]).is_err());
    }
}

/// One that goes so, and whose fibers have ended, goes as ever.
#[test]
fn a_runtime_without_fibers_goes_with_its_thread() {
    thread_local! {
        static RUNTIME: Runtime = Runtime::new(small()).unwrap();
    }
    let alive = Arc::new(());
    let theirs = alive.clone();
    let thread = std::thread::spawn(move || {
        let sum = RUNTIME.with(|runtime| {
            drop(task::spawn(async move {
                let _theirs = theirs;
                std::future::pending::<()>().await;
            }));
            runtime.run_fiber(Stack::Small, || 3 + 4).unwrap()
        });
        assert_eq!(sum, 7);
    });
    thread.join().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
}

//! What the loop does around fibers, on its own stack: it warns, tells whoever joins, ends fibers
//! that have not begun, and goes. Code of the user's that runs there may wait or panic, and finds
//! no fiber.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Once;

use common::small;
use tautline_runtime::fiber::{self, Band, Builder, JoinError, JoinHandle, Stack};
use tautline_runtime::{Error, Runtime};

/// A runtime with one small stack.
fn one_stack() -> Runtime {
    let mut config = small();
    config.stacks.small.count = 1;
    Runtime::new(config).unwrap()
}

thread_local! {
    /// What this thread's messages are told.
    static ON_MESSAGE: RefCell<Option<Box<dyn FnMut(&str)>>> = const { RefCell::new(None) };
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

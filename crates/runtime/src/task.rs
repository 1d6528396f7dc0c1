//! Tasks: futures that run on the loop's thread and need not be `Send`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Wake, Waker};

use crate::Error;
use crate::core::Core;
use crate::mailbox::Sleeper;
use crate::slab::{Key, NONE, Slab};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::wake_list::{Link, Linked, WakeList, WakeSender, wake_list};

/// What a task's wakers point at.
pub(crate) struct Header {
    task: Key,
    /// The core that polls the task.
    core: u64,
    /// In the run queue or the wake list, or about to be.
    scheduled: AtomicBool,
    link: Link<Self>,
    remote: WakeSender<Self>,
}

// SAFETY: `link` is a field of the node, and no other node returns it.
unsafe impl Linked for Header {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Wake for Header {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: what was done before the wake is seen by the poll that clears the
        // flag with the same ordering, also when this wake finds it set already.
        if self.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let local = Core::try_current(|core| {
            let here = core.id == self.core;
            if here {
                core.tasks.queue.borrow_mut().push_back(self.clone());
            }
            here
        });
        if local != Some(true) {
            self.remote.push(self);
        }
    }
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    /// Absent while it is being polled.
    future: Option<LocalFuture>,
    waker: Waker,
    name: &'static str,
}

/// All tasks of a loop and those that are ready.
pub(crate) struct Executor {
    core: u64,
    tasks: RefCell<Slab<Task>>,
    pub(crate) queue: RefCell<VecDeque<Arc<Header>>>,
    woken: RefCell<WakeList<Header>>,
    remote: WakeSender<Header>,
    /// The future of `block_on` was woken.
    main_woken: Cell<bool>,
}

/// The key that stands for the future of `block_on`.
const MAIN: Key = Key { index: NONE, generation: 0 };

impl Executor {
    /// Room for `limit` tasks.
    pub(crate) fn new(core: u64, limit: usize, sleeper: Arc<Sleeper>) -> Self {
        let (remote, woken) = wake_list(sleeper);
        Self {
            core,
            tasks: RefCell::new(Slab::new(limit)),
            queue: RefCell::new(VecDeque::with_capacity(limit.min(1 << 16))),
            woken: RefCell::new(woken),
            remote,
            main_woken: Cell::new(false),
        }
    }

    fn header(&self, task: Key, scheduled: bool) -> Arc<Header> {
        Arc::new(Header {
            task,
            core: self.core,
            scheduled: AtomicBool::new(scheduled),
            link: Link::new(),
            remote: self.remote.clone(),
        })
    }

    /// A waker for the future of `block_on`.
    pub(crate) fn main_waker(&self) -> Waker {
        self.main_woken.set(true);
        Waker::from(self.header(MAIN, false))
    }

    /// Whether the future of `block_on` was woken since this was asked last.
    pub(crate) fn take_main_woken(&self) -> bool {
        self.main_woken.replace(false)
    }

    /// Keeps a future that is polled on this loop, and goes by `name`.
    pub(crate) fn spawn(&self, future: LocalFuture, name: &'static str) -> Result<Key, Error> {
        let task = Task { future: Some(future), waker: Waker::noop().clone(), name };
        let mut tasks = self.tasks.borrow_mut();
        let limit = tasks.limit();
        let key = match tasks.insert(task) {
            Ok(key) => key,
            Err(task) => {
                drop(tasks);
                drop(task);
                return Err(Error::Exhausted { what: "task", limit, knob: "tasks" });
            }
        };
        let header = self.header(key, true);
        if let Some(task) = tasks.get_mut(key) {
            task.waker = Waker::from(header.clone());
        }
        drop(tasks);
        self.queue.borrow_mut().push_back(header);
        Ok(key)
    }

    /// Whether nothing is ready.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.borrow().is_empty() && self.woken.borrow().is_empty() && !self.main_woken.get()
    }

    /// Tasks that are alive.
    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Polls at most `budget` tasks that were ready when this was called.
    pub(crate) fn run(&self, core: &Core, budget: usize) -> usize {
        self.take_remote();
        let ready = self.queue.borrow().len().min(budget);
        for _ in 0..ready {
            let Some(header) = self.queue.borrow_mut().pop_front() else { break };
            // AcqRel: pairs with the swap in `wake_by_ref`.
            header.scheduled.swap(false, Ordering::AcqRel);
            if header.task == MAIN {
                self.main_woken.set(true);
            } else {
                self.poll(core, header.task);
            }
        }
        ready
    }

    fn take_remote(&self) {
        let mut woken = self.woken.borrow_mut();
        while let Some(header) = woken.pop() {
            self.queue.borrow_mut().push_back(header);
        }
    }

    fn poll(&self, core: &Core, key: Key) {
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(key)
            .and_then(|task| Some((task.future.take()?, task.waker.clone(), task.name)));
        let Some((mut future, waker, name)) = taken else { return };
        let mut cx = Context::from_waker(&waker);
        let polled = core.user_code(name, || future.as_mut().poll(&mut cx));
        if polled == Some(Poll::Pending) {
            let mut tasks = self.tasks.borrow_mut();
            if let Some(task) = tasks.get_mut(key) {
                task.future = Some(future);
                return;
            }
        }
        // Ended, panicked, or aborted while it ran: dropped unborrowed.
        let task = self.tasks.borrow_mut().remove(key);
        core.guard(name, || drop((task, future)));
    }

    /// Drops a task's future, wherever it stands.
    pub(crate) fn abort(&self, key: Key) {
        let task = self.tasks.borrow_mut().remove(key);
        drop(task);
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        loop {
            let key = self.tasks.borrow().keys().next();
            let Some(key) = key else { break };
            self.abort(key);
        }
        let queue = std::mem::take(&mut *self.queue.borrow_mut());
        drop(queue);
    }
}

/// Runs `future` as a task on this thread's loop.
///
/// # Errors
/// [`Error::NoRuntime`] on a thread without one, [`Error::Exhausted`] when there are
/// `Config::tasks` already.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, task};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(Config::default())?;
/// let answer = runtime.block_on(async {
///     let handle = task::spawn(async { 6 * 7 })?;
///     Ok::<_, tautline_runtime::Error>(handle.await)
/// })??;
/// assert_eq!(answer.unwrap(), 42);
/// # Ok(())
/// # }
/// ```
pub fn spawn<F>(future: F) -> Result<JoinHandle<F::Output>, Error>
where
    F: Future + 'static,
{
    let core = Core::current()?;
    let shared = Rc::new(Shared { result: RefCell::new(None), waker: RefCell::new(None) });
    let root = Root { future: Some(future), shared: shared.clone() };
    let key = core.tasks.spawn(Box::pin(root), std::any::type_name::<F>())?;
    Ok(JoinHandle { core, key, shared })
}

/// Lets the other tasks that are ready run first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Shared<T> {
    result: RefCell<Option<Result<T, JoinError>>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Shared<T> {
    fn settle(&self, result: Result<T, JoinError>) {
        self.result.replace(Some(result));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A task's future with its way to the join handle.
struct Root<F: Future> {
    /// Structurally pinned; gone once it has ended.
    future: Option<F>,
    shared: Rc<Shared<F::Output>>,
}

impl<F: Future> Future for Root<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is never moved out; it is dropped in place below.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        // SAFETY: `future` is pinned because `self` is.
        let future = unsafe { Pin::new_unchecked(future) };
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(JoinError::Panicked(Panic::new(payload))),
        };
        this.future = None;
        this.shared.settle(result);
        Poll::Ready(())
    }
}

impl<F: Future> Drop for Root<F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            self.shared.settle(Err(JoinError::Cancelled));
        }
    }
}

/// Waits for a task's result. Dropping it lets the task run on.
pub struct JoinHandle<T> {
    core: Rc<Core>,
    key: Key,
    shared: Rc<Shared<T>>,
}

/// What a task or fiber has panicked with.
pub struct Panic(Box<dyn Any + Send>);

// SAFETY: a shared reference gives access to text alone, which is `Sync`.
unsafe impl Sync for Panic {}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(payload)
    }

    /// The message, if it was text.
    pub fn message(&self) -> &str {
        panic_message(self.0.as_ref())
    }

    /// The value, for [`resume_unwind`](std::panic::resume_unwind) or to be looked at.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.0
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// Why a task has no result.
pub enum JoinError {
    /// It panicked; this is what it panicked with.
    Panicked(Panic),
    /// It was aborted, or its runtime dropped.
    Cancelled,
}

impl JoinError {
    /// The panic's message, if it was text.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Panicked(panic) => Some(panic.message()),
            Self::Cancelled => None,
        }
    }
}

/// Drops what a panic was raised with, which may panic itself.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // It may go on like that for ever.
        std::mem::forget(another);
    }
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "the task panicked: {message}"),
            None => f.write_str("the task was cancelled"),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

impl<T> JoinHandle<T> {
    /// Drops the task's future; its result is then [`JoinError::Cancelled`]. A task
    /// that has ended keeps its result.
    pub fn abort(&self) {
        self.core.tasks.abort(self.key);
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        self.shared.result.borrow().is_some()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.shared.result.take() {
            return Poll::Ready(result);
        }
        let old = self.shared.waker.replace(Some(cx.waker().clone()));
        drop(old);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("key", &self.key).finish_non_exhaustive()
    }
}

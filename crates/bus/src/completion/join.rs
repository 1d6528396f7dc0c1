//! Waiting for several completions at once.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::bells::due;
use crate::completion::TakeError;
use crate::parker;

/// Something that will be complete: what a wait for several needs to know of each.
///
/// To be *ready* says that taking the result would not wait: it is there, or there will be none.
pub trait Completion {
    /// Whether it is ready.
    fn is_ready(&self) -> bool;

    /// Whether others may complete it while this thread blocks.
    fn others_run(&self) -> bool;

    /// Ready, or leaves a waker for when it is.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

impl<C: Completion + ?Sized> Completion for &mut C {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn others_run(&self) -> bool {
        (**self).others_run()
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (**self).poll_ready(context)
    }
}

/// Blocks until all are ready, at most for `limit`. Their results are then taken one by one.
///
/// # Errors
/// [`TakeError::TimedOut`]; [`TakeError::Pending`] when one that is not ready is in the scope
/// [`Private`](crate::Private), where nobody could complete it meanwhile.
///
/// ```
/// use tautline_bus::{Local, completion::{Async, Completion, Config, wait_all}};
/// let mut name = Async::<String, Local>::new(Config::default());
/// let mut count = Async::<usize, Local>::new(Config::default());
/// let (name_done, count_done) = (name.begin()?, count.begin()?);
/// let thread = std::thread::spawn(move || {
///     count_done.complete(3).unwrap();
///     name_done.complete("lamps".into()).unwrap();
/// });
/// wait_all::<&mut dyn Completion>(&mut [&mut name, &mut count], None)?;
/// assert_eq!((count.try_take()?, name.try_take()?), (3, "lamps".into()));
/// # thread.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_all<C: Completion>(
    several: &mut [C],
    limit: Option<Duration>,
) -> Result<(), TakeError> {
    if several.iter().any(|one| !one.others_run() && !one.is_ready()) {
        return Err(TakeError::Pending);
    }
    parker::block_on(due(limit), |context| poll_all(context, several)).ok_or(TakeError::TimedOut)
}

/// Blocks until one is ready, at most for `limit`: which. Of several that are ready it is the one
/// that comes first in the slice.
///
/// # Errors
/// [`TakeError::TimedOut`]; [`TakeError::Pending`] when all are in the scope
/// [`Private`](crate::Private), where nobody could complete them meanwhile, or there is none.
pub fn wait_first<C: Completion>(
    several: &mut [C],
    limit: Option<Duration>,
) -> Result<usize, TakeError> {
    if let Some(ready) = several.iter().position(Completion::is_ready) {
        return Ok(ready);
    }
    if !several.iter().any(Completion::others_run) {
        return Err(TakeError::Pending);
    }
    parker::block_on(due(limit), |context| poll_first(context, several)).ok_or(TakeError::TimedOut)
}

/// Ready when all are; leaves a waker with each of the others.
pub fn poll_all<C: Completion>(context: &mut Context<'_>, several: &mut [C]) -> Poll<()> {
    let waits =
        several.iter_mut().filter_map(|one| one.poll_ready(context).is_pending().then_some(()));
    if waits.count() == 0 { Poll::Ready(()) } else { Poll::Pending }
}

/// Ready when one is: which. Leaves a waker with each otherwise.
pub fn poll_first<C: Completion>(context: &mut Context<'_>, several: &mut [C]) -> Poll<usize> {
    match several.iter_mut().position(|one| one.poll_ready(context).is_ready()) {
        Some(ready) => Poll::Ready(ready),
        None => Poll::Pending,
    }
}

/// Waits until all are ready; the task sleeps meanwhile.
pub async fn all<C: Completion>(several: &mut [C]) {
    poll_fn(|context| poll_all(context, several)).await;
}

/// Waits until one is ready: which. The task sleeps meanwhile.
pub async fn first<C: Completion>(several: &mut [C]) -> usize {
    poll_fn(|context| poll_first(context, several)).await
}

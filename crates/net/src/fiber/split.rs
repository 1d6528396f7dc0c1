//! The two directions of a stream, each with an owner of its own, for fibers.

use std::fmt;
use std::io;
use std::time::Duration;

use tautline_runtime::Descriptor;

use super::calls::{reading, timed, view, writing};
use super::timeouts::{Timed, Timeouts};
use crate::calls::Stands;
use crate::split::Duplex;

/// The receiving half of a stream, which is [`io::Read`]. To make one stream of the halves again,
/// [reunite](crate::ReadHalf::reunite) what they are views of.
pub struct ReadHalf<S: Duplex> {
    inner: crate::ReadHalf<S>,
    timeouts: Timeouts,
}

/// The sending half of a stream, which is [`io::Write`]. Dropping it ends sending, once
/// everything that was written has left; the other half goes on.
///
/// ```
/// # use std::io::{BufRead, BufReader, BufWriter, Write};
/// # use tautline_net::fiber::UnixStream;
/// # use tautline_runtime::{Runtime, fiber::{self, Stack}};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let (near, far) = UnixStream::pair()?;
/// let (_, sending) = near.split();
/// let writer = fiber::spawn(Stack::Small, move || {
///     let mut sending = BufWriter::new(sending);
///     (0..3).try_for_each(|n| writeln!(sending, "{n}"))
/// })?;
/// let lines = BufReader::new(far).lines().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(lines, ["0", "1", "2"]);
/// # writer.join().unwrap()
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WriteHalf<S: Duplex> {
    inner: crate::WriteHalf<S>,
    timeouts: Timeouts,
}

view!([S: Duplex] ReadHalf<S>, crate::ReadHalf<S>, timeouts);
view!([S: Duplex] WriteHalf<S>, crate::WriteHalf<S>, timeouts);
timed!([S: Duplex] ReadHalf<S>);
timed!([S: Duplex] WriteHalf<S>);
reading!([S: Duplex] ReadHalf<S>);
writing!([S: Duplex] WriteHalf<S>);

/// The halves with the timeouts of their stream.
pub(super) fn split<S: Duplex>(
    (reading, writing): (crate::ReadHalf<S>, crate::WriteHalf<S>),
    timeouts: Timeouts,
) -> (ReadHalf<S>, WriteHalf<S>) {
    let read = ReadHalf { inner: reading, timeouts: timeouts.clone() };
    (read, WriteHalf { inner: writing, timeouts })
}

impl<S: Duplex> Stands for crate::ReadHalf<S> {
    fn stands(&self) -> &Descriptor {
        self.stream().stands()
    }
}

impl<S: Duplex> Stands for crate::WriteHalf<S> {
    fn stands(&self) -> &Descriptor {
        self.stream().stands()
    }
}

impl<S: Duplex> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<S: Duplex> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

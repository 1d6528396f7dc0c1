//! Lines onto the bus.

use std::fmt;
use std::io;

use tautline_bus::channel::Sender;
use tautline_bus::{Carries, Scope, SendError};

use super::{Entry, Sink};
use crate::Line;

/// Sends lines into a channel of the bus: to a thread that shows them, or with the scope
/// [`Shared`](tautline_bus::Shared) to another process.
///
/// What happens when the channel is full is what the channel was made for: with `Full::Block` the
/// log waits, with `Full::Refuse` the line is lost and counted, with `Full::Overwrite` the oldest
/// one is. It never waits for the receiver to read: a line counts as written once it is in the
/// channel.
///
/// ```
/// use tautline_bus::{Full, Local, channel};
/// use tautline_log::{Level, Line, sink::{Channel, Entry, Sink}};
/// # let line = Line { time: 0, level: Level::Info, target: "a", file: "", line: 1, thread: "",
/// #     message: "b", truncated: false, fields: &[] };
/// let config = channel::Config { full: Full::Refuse, ..channel::Config::default() };
/// let lines = channel::Channel::<Entry, Local>::new(config)?;
/// let mut sink = Channel::new(lines.sender()?);
/// let mut receiver = lines.receiver()?;
/// sink.line(&line)?;
/// assert_eq!(receiver.receive()?.line()?.message, "b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Channel<S: Carries<Entry>> {
    sender: Sender<Entry, S>,
    /// Nobody receives any more, and that was told.
    closed: bool,
    lost: u64,
}

impl<S: Carries<Entry>> fmt::Debug for Channel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl<S: Carries<Entry>> Channel<S> {
    /// A sink that sends by `sender`.
    pub fn new(sender: Sender<Entry, S>) -> Self {
        Self { sender, closed: false, lost: 0 }
    }
}

impl<S: Scope + Carries<Entry>> Sink for Channel<S>
where
    Sender<Entry, S>: Send,
{
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let Err(error) = self.sender.send(Entry::of(line)) else { return Ok(()) };
        self.lost += 1;
        if !matches!(error, SendError::Closed(_)) || self.closed {
            return Ok(());
        }
        self.closed = true;
        Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody receives log lines any more"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.lost + self.sender.overwritten()
    }
}

#[cfg(test)]
mod tests {
    use tautline_bus::channel::{self, Config};
    use tautline_bus::{Full, Local, Shared};

    use super::*;
    use crate::sink::testing::line;

    /// Proves that lines arrive whole and in order, that those for which there is no room are
    /// counted, and that a receiver who has gone is told of once.
    #[test]
    fn lines_arrive_or_are_counted() {
        let config = Config { capacity: 4, full: Full::Refuse, ..Config::default() };
        let lines = channel::Channel::<Entry, Local>::new(config).unwrap();
        let mut sink = Channel::new(lines.sender().unwrap());
        let mut receiver = lines.receiver().unwrap();
        drop(lines);
        for message in ["0", "1", "2", "3", "4", "5"] {
            sink.line(&line(message)).unwrap();
        }
        assert_eq!(sink.lost(), 2);
        for message in ["0", "1", "2", "3"] {
            assert_eq!(receiver.receive().unwrap().line().unwrap(), line(message));
        }
        drop(receiver);
        assert_eq!(sink.line(&line("6")).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        sink.line(&line("7")).unwrap();
        assert_eq!(sink.lost(), 4);
    }

    /// Proves that lines that were written over count as lost.
    #[test]
    fn lines_that_are_overwritten_are_counted() {
        let config = Config { capacity: 4, full: Full::Overwrite, ..Config::default() };
        let lines = channel::Channel::<Entry, Local>::new(config).unwrap();
        let mut sink = Channel::new(lines.sender().unwrap());
        let mut receiver = lines.receiver().unwrap();
        for message in ["0", "1", "2", "3", "4", "5"] {
            sink.line(&line(message)).unwrap();
        }
        assert_eq!((sink.lost(), receiver.dropped()), (2, 2));
        assert_eq!(receiver.receive().unwrap().line().unwrap(), line("2"));
    }

    /// Proves that a channel between processes carries lines as well.
    #[test]
    fn shared_channels_carry_lines() {
        let namespace = format!("log-sink-{}", std::process::id());
        let lines = channel::Channel::<Entry, Shared>::open(&namespace, "lines", Config::default())
            .unwrap();
        let mut sink = Channel::new(lines.sender().unwrap());
        let mut receiver = lines.receiver().unwrap();
        sink.line(&line("from afar")).unwrap();
        assert_eq!(receiver.receive().unwrap().line().unwrap(), line("from afar"));
    }
}

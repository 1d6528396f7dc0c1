//! Where lines go.
//!
//! | sink | for |
//! | --- | --- |
//! | [`Console`] | people, at a terminal or through a service manager |
//! | [`File`] | keeping: files that rotate by size and by time |
//! | [`Stream`] | anything that can be written to |
//! | [`Channel`] | other threads and processes, through the bus |
//! | [`Tee`] | several of them |
//!
//! The sinks of text take a [`Form`]: [`Human`], one line of plain text, or [`Json`], one object.
//! Whatever a message holds, both make exactly one line of it, so that text from outside cannot
//! pass itself off as another line.

mod channel;
mod console;
mod entry;
mod escape;
mod file;
mod form;
mod human;
mod json;
mod stamp;
mod stream;
mod tee;

pub use channel::Channel;
pub use console::Console;
pub use entry::Entry;
pub use escape::plain as escape;
pub use file::{Every, File, Rotation};
pub use form::Form;
pub use human::Human;
pub use json::Json;
pub use stream::Stream;
pub use tee::Tee;

use std::io;

use crate::Line;

/// Takes lines, on one thread, in the order of their times. One that panics gets no more lines, which
/// is told on standard error; the others go on.
///
/// ```
/// use std::io;
/// use tautline_log::{Level, Line, sink::Sink};
///
/// /// Counts what should be looked at.
/// #[derive(Default)]
/// struct Errors(u64);
///
/// impl Sink for Errors {
///     fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
///         self.0 += u64::from(line.level == Level::Error);
///         Ok(())
///     }
///
///     fn flush(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
/// ```
pub trait Sink: Send {
    /// Takes a line. It may keep it back until [`flush`](Self::flush), but not without bound.
    ///
    /// # Errors
    /// When writing has begun to fail. A sink goes on trying with each later call, and says no more
    /// of it until it has succeeded in between; what was lost is counted in [`lost`](Self::lost).
    fn line(&mut self, line: &Line<'_>) -> io::Result<()>;

    /// Hands on what it has kept back: there are no more lines for the moment, or for ever.
    ///
    /// # Errors
    /// As those of [`line`](Self::line). The lines since the last flush that succeeded are then not
    /// written: the log flushes again, and until that succeeds [`flush`](crate::flush()) does not.
    fn flush(&mut self) -> io::Result<()>;

    /// How many lines it has taken and keeps back, though a flush asked for them: it could not hand
    /// them on, and tries again with each later call. The log flushes again until there are none;
    /// until then [`flush`](crate::flush()) does not succeed.
    fn held(&self) -> u64 {
        0
    }

    /// How many lines it has taken, and has given up.
    fn lost(&self) -> u64 {
        0
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        (**self).line(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn held(&self) -> u64 {
        (**self).held()
    }

    fn lost(&self) -> u64 {
        (**self).lost()
    }
}

#[cfg(test)]
mod testing;

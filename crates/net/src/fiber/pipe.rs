//! Pipes for fibers.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tautline_runtime::{Conn, Descriptor};

use super::calls::{passed_on, reading, timed, view, writing};
use super::timeouts::{Timed, Timeouts};
use crate::calls::Stands;

/// The end of a pipe that reads, which is [`io::Read`]: of one made by [`pipe`], of a FIFO, or of
/// a child's output.
#[derive(Debug)]
pub struct PipeReader {
    inner: crate::PipeReader,
    timeouts: Timeouts,
}

/// The end of a pipe that writes, which is [`io::Write`]. Dropping it ends the stream, once
/// everything that was written has left.
#[derive(Debug)]
pub struct PipeWriter {
    inner: crate::PipeWriter,
    timeouts: Timeouts,
}

view!([] PipeReader, crate::PipeReader, timeouts);
view!([] PipeWriter, crate::PipeWriter, timeouts);
timed!([] PipeReader);
timed!([] PipeWriter);
reading!([] PipeReader);
writing!([] PipeWriter);
passed_on!(PipeReader {
    /// Names it.
    fn conn() -> &Conn;
});
passed_on!(PipeWriter {
    /// Names it.
    fn conn() -> &Conn;
});

/// A pipe within this process. This does not wait.
///
/// # Errors
/// No descriptors left.
///
/// ```
/// # use tautline_net::fiber::pipe;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let (reader, writer) = pipe()?;
/// writer.write_all(b"hello")?;
/// let mut buf = [0; 5];
/// reader.read_exact(&mut buf)?;
/// assert_eq!(&buf, b"hello");
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = crate::pipe()?;
    Ok((reader.into(), writer.into()))
}

impl PipeReader {
    /// Takes in the reading end of a pipe that was made elsewhere.
    ///
    /// # Errors
    /// As [`Descriptor::new`].
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(crate::PipeReader::new(fd)?.into())
    }
}

impl PipeWriter {
    /// Takes in the writing end of a pipe that was made elsewhere.
    ///
    /// # Errors
    /// As [`Descriptor::new`].
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(crate::PipeWriter::new(fd)?.into())
    }
}

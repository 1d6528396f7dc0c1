//! The standard streams for fibers.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use tautline_runtime::Conn;
use tautline_runtime::time::Instant;

use super::calls::{passed_on, read_timeout, view, write_timeout};
use super::timeouts::Timeouts;
use super::wait_until;

/// Standard input, which is [`io::Read`]: a terminal, a pipe or a redirected file. The descriptor
/// itself stays as it is, for other processes share it.
///
/// ```no_run
/// # use tautline_net::fiber::Stdin;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// use std::io::{BufRead, BufReader};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Medium, || {
/// for line in BufReader::new(Stdin::open()?).lines() {
///     println!("{}", line?);
/// }
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stdin {
    inner: crate::Stdin,
    timeouts: Timeouts,
}

/// Standard output, which is [`io::Write`]. What is written to a file or terminal goes in order
/// with what others write there. A redirected file is written behind, up to 64 KiB: what it has
/// accepted is there after `flush` or the next write, and if that failed, that is where it is
/// told.
#[derive(Debug)]
pub struct Stdout {
    inner: crate::Stdout,
    timeouts: Timeouts,
}

view!([] Stdin, crate::Stdin, timeouts);
view!([] Stdout, crate::Stdout, timeouts);
read_timeout!([] Stdin);
write_timeout!([] Stdout);
passed_on!(Stdin {
    /// Names its descriptor.
    fn conn() -> &Conn;
});
passed_on!(Stdout {
    /// Names its descriptor.
    fn conn() -> &Conn;

    /// Whether it was redirected to a regular file.
    fn is_file() -> bool;
});

impl Stdin {
    /// The process's own.
    ///
    /// # Errors
    /// Without a runtime on this thread; when standard input is closed.
    pub fn open() -> io::Result<Self> {
        Ok(crate::Stdin::open()?.into())
    }

    /// Any descriptor that is used like standard input.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_fd(fd: impl AsFd) -> io::Result<Self> {
        Ok(crate::Stdin::from_fd(fd)?.into())
    }

    /// Reads what is there, waiting for the first byte. Zero: that is the end, or `buf` is
    /// empty.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let deadline = self.timeouts.read.deadline()?;
        self.read_until(buf, deadline)
    }

    fn read_until(&mut self, buf: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        let read = poll_fn(|cx| Pin::new(&mut self.inner).poll_read(cx, buf));
        wait_until("read", deadline, read)
    }

    /// Reads until `buf` is full. What it has read when it fails is in `buf`, and not read again.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    pub fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let deadline = self.timeouts.read.deadline()?;
        let mut rest = buf;
        while !rest.is_empty() {
            match self.read_until(rest, deadline)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => rest = &mut rest[read..],
            }
        }
        Ok(())
    }
}

impl Stdout {
    /// The process's own.
    ///
    /// # Errors
    /// Without a runtime on this thread; when standard output is closed.
    pub fn open() -> io::Result<Self> {
        Ok(crate::Stdout::open()?.into())
    }

    /// Any descriptor that is used like standard output.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_fd(fd: impl AsFd) -> io::Result<Self> {
        Ok(crate::Stdout::from_fd(fd)?.into())
    }

    /// Writes what is taken of `buf`, at least a byte.
    ///
    /// # Errors
    /// What the kernel says, also of earlier writes; what all calls say.
    pub fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let deadline = self.timeouts.write.deadline()?;
        self.write_until(buf, deadline)
    }

    fn write_until(&mut self, buf: &[u8], deadline: Option<Instant>) -> io::Result<usize> {
        let write = poll_fn(|cx| Pin::new(&mut self.inner).poll_write(cx, buf));
        wait_until("write", deadline, write)
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        let mut rest = buf;
        while !rest.is_empty() {
            match self.write_until(rest, deadline)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
        }
        Ok(())
    }

    /// Waits until everything that was written has left.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        wait_until("flush", deadline, poll_fn(|cx| Pin::new(&mut self.inner).poll_flush(cx)))
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Self::read(self, buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        Self::read_exact(self, buf)
    }
}

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Self::write(self, buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        Self::write_all(self, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }
}

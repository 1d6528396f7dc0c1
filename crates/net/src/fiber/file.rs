//! Regular files for fibers.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::{Conn, Descriptor};

use super::calls::{read_timeout, timed, view, write_timeout};
use super::timeouts::{Timed, Timeouts};
use super::{wait, wait_until};
use crate::OpenOptions;
use crate::calls::Stands;

/// A regular file, which is [`io::Read`], [`io::Write`] and [`io::Seek`]. Its calls wait for the
/// disk, and let the loop go on meanwhile; what they read and write is not copied.
///
/// Calls at an offset take `&self`, may be many at a time, and have no order. The others take
/// `&mut self` and go on where the last one ended, whichever view it was made on.
///
/// A timeout asks the kernel to give a call up. What the disk has begun it ends, and then the call
/// succeeds, late: a timeout bounds the wait for the disk's turn, not the disk.
///
/// ```
/// # use tautline_net::fiber::File;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// use std::io::SeekFrom;
/// # let runtime = Runtime::new(Default::default())?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes");
/// # let all = runtime.run_fiber(Stack::Small, move || {
/// let mut file = File::create(&path)?;
/// file.write_all(b"first line\n")?;
/// file.sync(true)?;
/// let mut file = File::open(&path)?;
/// file.seek(SeekFrom::Start(6))?;
/// let mut buf = [0; 64];
/// let read = file.read(&mut buf)?;
/// assert_eq!(&buf[..read], b"line\n");
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct File {
    inner: crate::File,
    timeouts: Timeouts,
}

view!([] File, crate::File, timeouts);
timed!([] File);
read_timeout!([] File);
write_timeout!([] File);

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `path`; what all calls say.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(wait("open", crate::File::open(path))?.into())
    }

    /// Makes a file, or empties the one that is there, to write it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(wait("open", crate::File::create(path))?.into())
    }

    /// Opens a file as `options` say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(options: &OpenOptions, path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(wait("open", options.open(path))?.into())
    }

    /// Takes in a file that was opened elsewhere, at its beginning. This does not wait.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is no regular file or block device;
    /// what the kernel says.
    pub fn from_std(file: fs::File) -> io::Result<Self> {
        Ok(crate::File::from_std(file)?.into())
    }

    /// Reads from its position on, up to the length of `buf`. Zero: that is the end.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let deadline = self.timeouts.read.deadline()?;
        let start = self.begin(deadline)?;
        let read = self.inner.stands().blocking().deadline(deadline).read_at(buf, start)?;
        self.inner.move_to(start + read as u64)?;
        Ok(read)
    }

    /// Reads from its position on until `buf` is full.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    pub fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        Read::read_exact(self, buf)
    }

    /// Reads from `offset`, in bytes, up to the length of `buf`. Zero: that is the end.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.to_read()?.read_at(buf, offset)
    }

    /// Writes all of `buf` at its position. Cancelled, it may have written a part, and the
    /// position is behind all of it.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say; the position is where it was then.
    pub fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        let start = self.begin(deadline)?;
        self.inner.move_to(start + buf.len() as u64)?;
        let calls = self.inner.stands().blocking().deadline(deadline);
        let written = calls.write_at(buf, start);
        if written.is_err() {
            self.inner.step_back(start);
        }
        written
    }

    /// The same; returns how long `buf` is.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf).map(|()| buf.len())
    }

    /// Writes all of `buf` at `offset`, in bytes.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.to_write()?.write_at(buf, offset)
    }

    /// Waits for what the poll-based traits have accepted; the writes of fibers are over when
    /// they return.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn flush(&mut self) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        self.begin(deadline).map(|_| ())
    }

    /// Waits for what the poll-based traits have accepted; returns the position then.
    fn begin(&mut self, deadline: Option<Instant>) -> io::Result<u64> {
        wait_until("file position", deadline, self.inner.begin())
    }

    /// Makes what was written durable; with `data_only` without metadata that is not needed to
    /// read it back.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn sync(&self, data_only: bool) -> io::Result<()> {
        self.to_write()?.fsync(data_only)
    }

    /// Goes on from elsewhere; returns from where. This does not wait.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a place before the beginning.
    pub fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }

    /// Its position, in bytes.
    pub fn position(&self) -> u64 {
        self.inner.position()
    }

    /// Its length, in bytes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.inner.is_empty()
    }

    /// Cuts it, or lengthens it by zeroes.
    ///
    /// # Errors
    /// Where it was not opened for writing; what all calls say.
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        wait("set_len", self.inner.set_len(bytes))
    }

    /// Names its descriptor.
    pub fn conn(&self) -> &Conn {
        self.inner.conn()
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Self::read(self, buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Self::write(self, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        Self::seek(self, to)
    }
}

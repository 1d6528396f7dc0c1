//! Regular files.

mod callbacks;
mod options;
mod polled;

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use tautline_runtime::{Conn, Descriptor, IoBuf, IoBufMut, Operation, offload};

use self::polled::Work;
use crate::call::Call;
use crate::calls::Stands;
use crate::op;

pub use self::options::OpenOptions;

/// A regular file. Its operations never wait for anyone but the disk: where the driver
/// cannot do them itself, threads do, so that they never hold the loop up. There are no
/// `try_` calls: the kernel has no plain call on a file that never waits. It passes over
/// `O_NONBLOCK` there, and most file systems refuse `RWF_NOWAIT` for writes, some for reads.
///
/// Calls at an offset take `&self`, may be many at a time, and have no order. The others
/// take `&mut self` and go on where the last one ended, whichever face that was: owned
/// buffers or the poll-based traits. The latter write behind and read ahead, up to 64 KiB:
/// what they have accepted is in the file after their `flush` or the next call of this
/// sort, and if it failed, that is where it is told.
///
/// ```
/// # use tautline_net::File;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes");
/// runtime.block_on(async {
///     let mut file = File::create(&path).await?;
///     file.write("first line\n").await.0?;
///     file.sync(true).await?;
///     let file = File::open(&path).await?;
///     let (read, buf) = file.read_at(vec![0; 64], 6).await;
///     assert_eq!(&buf[..read?], b"line\n");
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct File {
    descriptor: Descriptor,
    /// Where the next call without an offset begins: behind everything that such calls
    /// have accepted or returned.
    position: u64,
    /// Others share the position: it is fetched and set with the descriptor's own.
    shared: bool,
    /// What the poll-based traits have under way.
    work: Work,
}

impl File {
    /// Opens a file to read it.
    ///
    /// The result is an error that names `path`.
    pub fn open(path: impl AsRef<Path>) -> Call<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Makes a file, or empties the one that is there, to write it.
    ///
    /// The result is an error that names `path`.
    pub fn create(path: impl AsRef<Path>) -> Call<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Takes in a file that was opened elsewhere, at its beginning.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is no regular file or block
    /// device; what the kernel says.
    pub fn from_std(file: fs::File) -> io::Result<Self> {
        Self::from_descriptor(Descriptor::new(OwnedFd::from(file))?)
    }

    /// Takes in a descriptor of a regular file, at its beginning.
    ///
    /// # Errors
    /// As [`from_std`](Self::from_std).
    pub fn from_descriptor(descriptor: Descriptor) -> io::Result<Self> {
        if !descriptor.is_file() {
            let message = "no regular file: use `FdAdapter`, which waits for readiness";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self { descriptor, position: 0, shared: false, work: Work::Idle })
    }

    /// One whose position other processes share, and go on from.
    pub(crate) fn sharing_position(descriptor: Descriptor) -> io::Result<Self> {
        let mut file = Self::from_descriptor(descriptor)?;
        file.shared = true;
        file.fetch_position()?;
        Ok(file)
    }

    /// Takes over where others who share the position have left it.
    fn fetch_position(&mut self) -> io::Result<()> {
        if self.shared {
            let place = self.conn().with_fd(|fd| Ok(rustix::fs::tell(fd)?))?;
            if place != self.position {
                self.forget_ahead();
                self.position = place;
            }
        }
        Ok(())
    }

    pub(crate) fn move_to(&mut self, place: u64) -> io::Result<()> {
        self.position = place;
        if self.shared {
            let to = rustix::fs::SeekFrom::Start(place);
            self.conn().with_fd(|fd| Ok(rustix::fs::seek(fd, to)?))?;
        }
        Ok(())
    }

    /// Goes back to where a write began that has failed, unless others may have gone on
    /// behind it.
    pub(crate) fn step_back(&mut self, place: u64) {
        if !self.shared {
            self.position = place;
        }
    }

    /// Where an owned call begins, once what the poll-based face has under way is over.
    pub(crate) async fn begin(&mut self) -> io::Result<u64> {
        poll_fn(|cx| self.poll_settle(cx)).await?;
        self.forget_ahead();
        self.fetch_position()?;
        Ok(self.position)
    }

    /// Names its descriptor.
    pub fn conn(&self) -> &Conn {
        self.descriptor.conn()
    }

    /// Leaves its descriptor to the loop, open.
    pub(crate) fn into_conn(self) -> Conn {
        self.descriptor.into_conn()
    }

    /// Reads from `offset`, in bytes, up to the buffer's length. Zero: that is the end.
    pub fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> Operation<op::ReadAt<B>> {
        self.descriptor.read_at(buf, offset)
    }

    /// Writes everything at `offset`, in bytes.
    pub fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> Operation<op::WriteAt<B>> {
        self.descriptor.write_at(buf, offset)
    }

    /// Makes what was written durable; with `data_only` without metadata that is not
    /// needed to read it back. What the poll-based traits have accepted is to be flushed
    /// first.
    pub fn sync(&self, data_only: bool) -> Operation<op::Fsync> {
        self.descriptor.fsync(data_only)
    }

    /// Reads from its position on. Dropped, it moves nothing.
    pub async fn read<B: IoBufMut>(&mut self, buf: B) -> (io::Result<usize>, B) {
        let start = match self.begin().await {
            Ok(start) => start,
            Err(error) => return (Err(error), buf),
        };
        let (read, buf) = self.descriptor.read_at(buf, start).await;
        let read = read.and_then(|n| self.move_to(start + n as u64).map(|()| n));
        (read, buf)
    }

    /// Writes everything at its position. Dropped after it has begun, it goes on in the
    /// background, and the next call goes on behind it.
    pub async fn write<B: IoBuf>(&mut self, buf: B) -> (io::Result<usize>, B) {
        let start = match self.begin().await {
            Ok(start) => start,
            Err(error) => return (Err(error), buf),
        };
        if let Err(error) = self.move_to(start + buf.bytes().len() as u64) {
            return (Err(error), buf);
        }
        let (written, buf) = self.descriptor.write_at(buf, start).await;
        if written.is_err() {
            self.step_back(start);
        }
        (written, buf)
    }

    /// Its position, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on from elsewhere; returns from where.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a place before the beginning.
    pub fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.fetch_position()?;
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.len()?.max(self.work.reaches()), offset),
        };
        let message = "a place before the beginning of the file";
        let place = base
            .checked_add_signed(offset)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        self.forget_ahead();
        self.move_to(place)?;
        Ok(place)
    }

    /// Its length, in bytes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn len(&self) -> io::Result<u64> {
        self.conn().with_fd(|fd| Ok(rustix::fs::fstat(fd)?.st_size as u64))
    }

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts it, or lengthens it by zeroes, on the runtime's pool of threads.
    ///
    /// The result is an error where it was not opened for writing.
    pub fn set_len(&self, bytes: u64) -> Call<()> {
        let copy = self.conn().with_fd(|fd| fd.try_clone_to_owned());
        Call::new(async move {
            let copy = copy?;
            offload(move || rustix::fs::ftruncate(copy, bytes)).await??;
            Ok(())
        })
    }
}

impl Stands for File {
    fn stands(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("position", &self.position).finish_non_exhaustive()
    }
}

//! Regular files.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tautline_runtime::{Conn, Descriptor, IoBuf, IoBufMut, Operation, offload};

use crate::call::Call;
use crate::error::at;
use crate::op;

/// How a file is to be opened: as `std` has it.
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(mut self, on: bool) -> Self {
            self.0.$name(on);
            self
        }
    )*};
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is chosen: not even reading.
    pub fn new() -> Self {
        Self(fs::OpenOptions::new())
    }

    choices! {
        /// It may be read.
        read,
        /// It may be written.
        write,
        /// Everything that is written goes to its end, wherever that is then.
        append,
        /// Its contents go.
        truncate,
        /// It is made if it is not there.
        create,
        /// It is made, and must not have been there.
        create_new,
    }

    /// Opens a file, on the runtime's pool of threads.
    ///
    /// The result is an error that names `path` and what would help.
    pub fn open(&self, path: impl AsRef<Path>) -> Call<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        Call::new(async move {
            let name = path.display().to_string();
            let opened = offload(move || options.open(path)).await?;
            opened.and_then(File::from_std).map_err(at("open", name))
        })
    }
}

/// A regular file. Its operations never wait for anyone but the disk: where the driver
/// cannot do them itself, threads do, so that they never hold the loop up. For the same
/// reason it has no `try_` calls.
///
/// Calls at an offset take `&self`, and may be many at a time. The others go on where
/// the last one ended, and take `&mut self`.
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
    /// Where the next call without an offset begins.
    position: u64,
    /// Others share the position: it is fetched and set with the descriptor's own.
    shared: bool,
    /// What the poll-based traits have under way.
    work: Work,
}

enum Work {
    Idle,
    Reading(Operation<op::ReadAt<Vec<u8>>>),
    Writing(Operation<op::WriteAt<Vec<u8>>>),
    /// Read, not yet taken: from this index up to that one.
    Read(Vec<u8>, usize, usize),
}

/// Bytes that a poll-based read asks for at a time, and a poll-based write takes at most.
const PIECE: usize = 64 << 10;

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

    fn fetch_position(&mut self) -> io::Result<()> {
        if self.shared {
            self.position = self.conn().with_fd(|fd| Ok(rustix::fs::tell(fd)?))?;
        }
        Ok(())
    }

    fn advance(&mut self, n: usize) -> io::Result<()> {
        self.position += n as u64;
        if self.shared {
            let to = rustix::fs::SeekFrom::Start(self.position);
            self.conn().with_fd(|fd| Ok(rustix::fs::seek(fd, to)?))?;
        }
        Ok(())
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
    /// needed to read it back.
    pub fn sync(&self, data_only: bool) -> Operation<op::Fsync> {
        self.descriptor.fsync(data_only)
    }

    /// Reads from its position on. Dropped, it moves nothing.
    pub async fn read<B: IoBufMut>(&mut self, buf: B) -> (io::Result<usize>, B) {
        if let Err(error) = self.fetch_position() {
            return (Err(error), buf);
        }
        let (read, buf) = self.descriptor.read_at(buf, self.position).await;
        let read = read.and_then(|n| self.advance(n).map(|()| n));
        (read, buf)
    }

    /// Writes everything at its position. Dropped, it may have written.
    pub async fn write<B: IoBuf>(&mut self, buf: B) -> (io::Result<usize>, B) {
        if let Err(error) = self.fetch_position() {
            return (Err(error), buf);
        }
        let (written, buf) = self.descriptor.write_at(buf, self.position).await;
        let written = written.and_then(|n| self.advance(n).map(|()| n));
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
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(offset) => (self.position, offset),
            SeekFrom::End(offset) => (self.len()?, offset),
        };
        let message = "a place before the beginning of the file";
        let place = base
            .checked_add_signed(offset)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        self.work = Work::Idle;
        self.position = place;
        self.advance(0)?;
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

/// The poll-based face: buffers of its own are lent to the operations.
impl File {
    /// Ends what is under way the other way, or at another place.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Work::Writing(write) = &mut self.work {
            let (written, _) = ready!(Pin::new(write).poll(cx));
            self.work = Work::Idle;
            let n = written?;
            self.advance(n)?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(cx))?;
        loop {
            match &mut self.work {
                Work::Read(bytes, start, end) if *start < *end => {
                    let n = out.len().min(*end - *start);
                    out[..n].copy_from_slice(&bytes[*start..*start + n]);
                    *start += n;
                    self.advance(n)?;
                    return Poll::Ready(Ok(n));
                }
                Work::Reading(read) => {
                    let (read, bytes) = ready!(Pin::new(read).poll(cx));
                    self.work = Work::Idle;
                    match read? {
                        0 => return Poll::Ready(Ok(0)),
                        n => self.work = Work::Read(bytes, 0, n),
                    }
                }
                _ => self.begin_read()?,
            }
        }
    }

    fn begin_read(&mut self) -> io::Result<()> {
        self.fetch_position()?;
        let buf = match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Read(bytes, ..) => bytes,
            _ => vec![0; PIECE],
        };
        self.work = Work::Reading(self.descriptor.read_at(buf, self.position));
        Ok(())
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.fetch_position()?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        let mut write = self.descriptor.write_at(piece.to_vec(), self.position);
        match Pin::new(&mut write).poll(cx) {
            Poll::Ready((written, _)) => {
                let n = written?;
                self.work = Work::Idle;
                self.advance(n)?;
            }
            Poll::Pending => self.work = Work::Writing(write),
        }
        Poll::Ready(Ok(piece.len()))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_settle(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("position", &self.position).finish_non_exhaustive()
    }
}

crate::calls::async_read!([] File);
crate::calls::async_write!([] File);

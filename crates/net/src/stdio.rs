//! The standard streams, whatever they are: terminals, pipes, sockets, files.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tautline_runtime::{Conn, Descriptor, IoBuf, IoBufMut, Outcome};

use crate::file::File;

/// What a standard stream turned out to be.
#[derive(Debug)]
enum Source {
    Stream(Descriptor),
    File(File),
}

impl Source {
    /// A copy of a descriptor that other processes share: nothing about it is changed.
    fn open(fd: impl AsFd) -> io::Result<Self> {
        let descriptor = Descriptor::shared(fd.as_fd().try_clone_to_owned()?)?;
        if descriptor.is_file() {
            return Ok(Self::File(File::sharing_position(descriptor)?));
        }
        Ok(Self::Stream(descriptor))
    }

    fn conn(&self) -> &Conn {
        match self {
            Self::Stream(descriptor) => descriptor.conn(),
            Self::File(file) => file.conn(),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(descriptor) => descriptor.poll_read(cx, buf),
            Self::File(file) => file.poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(descriptor) => descriptor.poll_write(cx, bytes),
            Self::File(file) => file.poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(descriptor) => descriptor.poll_flush(cx),
            Self::File(file) => file.poll_flush(cx),
        }
    }
}

/// Standard input: a terminal, a pipe or a redirected file. The descriptor itself stays
/// as it is, for other processes share it.
#[derive(Debug)]
pub struct Stdin(Source);

/// Standard output. What is written to a file or terminal goes in order with what
/// others write there.
#[derive(Debug)]
pub struct Stdout(Source);

impl Stdin {
    /// The process's own.
    ///
    /// # Errors
    /// Without a runtime on this thread; when standard input is closed.
    pub fn open() -> io::Result<Self> {
        Self::from_fd(io::stdin())
    }

    /// Any descriptor that is used like standard input.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_fd(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self(Source::open(fd)?))
    }

    /// Reads what is there, up to the buffer's length. Zero: that is the end.
    pub async fn read<B: IoBufMut>(&mut self, buf: B) -> (io::Result<usize>, B) {
        match &mut self.0 {
            Source::Stream(descriptor) => descriptor.read(buf).await,
            Source::File(file) => file.read(buf).await,
        }
    }

    /// Reads what is there now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there;
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a file, which is never known to
    /// be there; what the kernel says.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Source::Stream(descriptor) => descriptor.try_read(buf),
            Source::File(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Gives it to the loop, which calls `handler` with what is read. At the end, or on
    /// an error, the close handler of the returned name is called.
    ///
    /// # Errors
    /// When the operation or task table is full.
    pub fn on_data<F, R>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, &[u8]) -> R + 'static,
        R: Outcome,
    {
        match self.0 {
            Source::Stream(descriptor) => descriptor.on_data(handler),
            Source::File(file) => file.on_data(handler),
        }
    }

    /// Names its descriptor.
    pub fn conn(&self) -> &Conn {
        self.0.conn()
    }
}

impl Stdout {
    /// The process's own.
    ///
    /// # Errors
    /// Without a runtime on this thread; when standard output is closed.
    pub fn open() -> io::Result<Self> {
        Self::from_fd(io::stdout())
    }

    /// Any descriptor that is used like standard output.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_fd(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self(Source::open(fd)?))
    }

    /// Writes everything.
    pub async fn write_all<B: IoBuf>(&mut self, buf: B) -> (io::Result<usize>, B) {
        match &mut self.0 {
            Source::Stream(descriptor) => descriptor.write_all(buf).await,
            Source::File(file) => file.write(buf).await,
        }
    }

    /// Writes now what is taken at once.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing was taken;
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a file; what the kernel says.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Source::Stream(descriptor) => descriptor.conn().try_write(bytes),
            Source::File(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Names its descriptor.
    pub fn conn(&self) -> &Conn {
        self.0.conn()
    }

    /// Whether it was redirected to a regular file, whose calls are the async ones alone.
    pub fn is_file(&self) -> bool {
        matches!(self.0, Source::File(_))
    }
}

impl Stdin {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }
}

impl Stdout {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

crate::calls::async_read!([] Stdin);
crate::calls::async_write!([] Stdout);

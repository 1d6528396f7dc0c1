//! Pipes.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::pipe::PipeFlags;
use tautline_runtime::{Conn, Descriptor, IoBuf, IoBufMut, Operation, Outcome};

use crate::calls::{handing_over, of_descriptor, reading, writing};
use crate::op;

/// The end of a pipe that reads: of one made by [`pipe`], of a FIFO, or of a child's
/// output.
#[derive(Debug)]
pub struct PipeReader {
    descriptor: Descriptor,
}

/// The end of a pipe that writes. Dropping it ends the stream, once everything that was
/// written has left.
#[derive(Debug)]
pub struct PipeWriter {
    descriptor: Descriptor,
}

of_descriptor!(PipeReader);
of_descriptor!(PipeWriter);
reading!([] PipeReader);
writing!([] PipeWriter);
handing_over!(PipeReader);

/// A pipe within this process.
///
/// # Errors
/// No descriptors left.
///
/// ```
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let (reader, writer) = tautline_net::pipe()?;
/// runtime.block_on(async {
///     writer.write_all("hello").await.0?;
///     reader.read_exact(vec![0; 5]).await.0
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((PipeReader::new(reader)?, PipeWriter::new(writer)?))
}

impl PipeReader {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Takes in the reading end of a pipe that was made elsewhere.
    ///
    /// # Errors
    /// As [`Descriptor::new`].
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { descriptor: Descriptor::new(fd.into())? })
    }
}

impl PipeWriter {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Takes in the writing end of a pipe that was made elsewhere.
    ///
    /// # Errors
    /// As [`Descriptor::new`].
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { descriptor: Descriptor::new(fd.into())? })
    }

    /// A pipe has no half to end: it is closed.
    fn end(&self) -> io::Result<()> {
        self.conn().close();
        Ok(())
    }
}

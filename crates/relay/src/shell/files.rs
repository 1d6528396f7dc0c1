//! Opening files, pipes and the standard streams.

use std::fs::{self, File as StdFile, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tautline_net::{File, Stdin, Stdout};
use tautline_runtime::{Descriptor, WithBuffer};

/// What a place in the file system, or a standard stream, turned out to be: `S` goes on where its
/// last call ended.
pub(super) enum Opened<S> {
    /// A pipe, a terminal or another device.
    Stream(Descriptor),
    /// The same, and nobody may have opened its other end yet.
    NamedPipe(Descriptor),
    /// A regular file, or a standard stream, whatever that is.
    Sequence(S),
}

/// What is read from its start, or from where others have left it.
pub(super) enum Reader {
    File(File),
    Stdin(Stdin),
}

/// What is written to from its start, or from where others have left it.
pub(super) enum Writer {
    File(File),
    Stdout(Stdout),
}

impl Reader {
    pub(super) async fn read(&mut self, buffer: Vec<u8>) -> WithBuffer<Vec<u8>> {
        match self {
            Self::File(file) => file.read(buffer).await,
            Self::Stdin(stdin) => stdin.read(buffer).await,
        }
    }
}

impl Writer {
    /// Writes all of `buffer`.
    pub(super) async fn write(&mut self, buffer: Vec<u8>) -> WithBuffer<Vec<u8>> {
        match self {
            Self::File(file) => file.write(buffer).await,
            Self::Stdout(stdout) => stdout.write_all(buffer).await,
        }
    }

    /// Whether only the disk may hold a write up, and no reader.
    pub(super) fn is_file(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Stdout(stdout) => stdout.is_file(),
        }
    }
}

/// Opens a file, named pipe or device to read.
pub(super) fn open_source(path: &Path) -> io::Result<Opened<Reader>> {
    let file = OpenOptions::new().read(true).custom_flags(nonblock()).open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    adopt(file, Reader::File)
}

/// Opens a file to write from its start, or a named pipe or device. The second is what a file needs
/// before the first write.
pub(super) fn open_destination(path: &Path) -> io::Result<(Opened<Writer>, Option<Untouched>)> {
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(nonblock());
    // Only a file that was made here is taken away again.
    let (file, made) = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (options.create(true).open(path)?, false)
        }
        file => (file?, true),
    };
    let made = made.then(|| path.to_owned());
    let untouched = if file.metadata()?.is_file() {
        Some(Untouched { file: file.try_clone()?, made })
    } else {
        None
    };
    Ok((adopt(file, Writer::File)?, untouched))
}

/// A file that is to be written from its start, and still holds what it held before. Dropped before
/// it begins, it leaves everything as it was.
pub(super) struct Untouched {
    file: StdFile,
    /// Its path, if it was made for this.
    made: Option<PathBuf>,
}

impl Untouched {
    /// Empties the file.
    pub(super) fn begin(mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.made = None;
        Ok(())
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // Whoever has taken it away has done what is wanted.
            let _ = fs::remove_file(path);
        }
    }
}

/// Standard input.
pub(super) fn stdin() -> io::Result<Opened<Reader>> {
    Ok(Opened::Sequence(Reader::Stdin(Stdin::open()?)))
}

/// Standard output.
pub(super) fn stdout() -> io::Result<Opened<Writer>> {
    Ok(Opened::Sequence(Writer::Stdout(Stdout::open()?)))
}

/// A named pipe must not make the open wait for its other end.
fn nonblock() -> i32 {
    OFlags::NONBLOCK.bits() as i32
}

fn adopt<S>(file: StdFile, sequence: impl FnOnce(File) -> S) -> io::Result<Opened<S>> {
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_file() || kind.is_block_device() {
        Opened::Sequence(sequence(File::from_std(file)?))
    } else if kind.is_fifo() {
        Opened::NamedPipe(Descriptor::new(file.into())?)
    } else {
        Opened::Stream(Descriptor::new(file.into())?)
    })
}

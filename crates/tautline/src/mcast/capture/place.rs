//! Where a capture is.

use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::CaptureError;

/// Where a capture is, as it is written on a command line: `-` is standard input or output, whichever
/// it is about. A file of that name is `./-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Standard,
    File(PathBuf),
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Standard } else { Self::File(path) }
    }
}

impl Place {
    /// Opens it to be read, and names it.
    ///
    /// # Errors
    /// [`CaptureError::Open`], [`CaptureError::Terminal`].
    pub(super) fn open(&self) -> Result<(File, String), CaptureError> {
        let Self::File(path) = self else {
            let name = "standard input";
            if io::stdin().is_terminal() {
                return Err(CaptureError::Terminal(name));
            }
            let failed = |error| CaptureError::Open { name: name.to_owned(), error };
            return Ok((copy(io::stdin()).map_err(failed)?, name.to_owned()));
        };
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(file),
        });
        match opened {
            Ok(file) => Ok((file, name)),
            Err(error) => Err(CaptureError::Open { name, error }),
        }
    }

    /// Makes it, or empties the file that is there, and names it.
    ///
    /// # Errors
    /// [`CaptureError::Create`], [`CaptureError::Terminal`].
    pub(super) fn create(&self) -> Result<(File, String), CaptureError> {
        let (made, name) = match self {
            Self::Standard if io::stdout().is_terminal() => {
                return Err(CaptureError::Terminal("standard output"));
            }
            Self::Standard => (copy(io::stdout()), "standard output".to_owned()),
            Self::File(path) => (make(path), path.display().to_string()),
        };
        match made {
            Ok(file) => Ok((file, name)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                Err(CaptureError::Busy { name })
            }
            Err(error) => Err(CaptureError::Create { name, error }),
        }
    }
}

/// Makes a file, or empties the one that is there, unless somebody else writes a capture into it.
fn make(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    // Devices and pipes may have several who write.
    if file.metadata()?.is_file() {
        // Where there are no locks, nobody can be asked.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        file.set_len(0)?;
    }
    Ok(file)
}

/// A copy of the descriptor, for bytes that go past what Rust keeps back of a standard stream.
fn copy(stream: impl AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a dash alone is a standard stream, and any other name a file.
    #[test]
    fn a_dash_is_a_standard_stream() {
        assert_eq!(Place::from(PathBuf::from("-")), Place::Standard);
        for name in ["./-", "-a", "a.pcap", ""] {
            assert_eq!(Place::from(PathBuf::from(name)), Place::File(name.into()));
        }
    }

    /// Proves that a capture has one writer, who empties what was there, and that a device may have more.
    #[test]
    fn captures_have_one_writer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"before").unwrap();
        let place = Place::File(file.path().to_owned());
        let (first, _) = place.create().unwrap();
        assert_eq!(first.metadata().unwrap().len(), 0);
        let told = place.create().unwrap_err().to_string();
        assert!(told.ends_with(": somebody else writes it: write another name"), "{told}");
        drop(first);
        assert!(place.create().is_ok());
        let null = Place::File("/dev/null".into());
        assert!(null.create().and_then(|_first| null.create()).is_ok());
    }

    /// Proves that what cannot be opened or made is named, and that the remedy fits.
    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        let place = |name: &str| Place::from(PathBuf::from(name));
        let open = |name: &str| place(name).open().unwrap_err().to_string();
        let none = open("/nowhere/a.pcap");
        assert!(none.starts_with("/nowhere/a.pcap: No such file"), "{none}");
        assert!(none.contains("; write the name of a pcap or pcapng file, or - for"), "{none}");
        assert!(open("/").contains("; write the name of a file in it"));
        let made = place("/nowhere/a.pcap").create().unwrap_err().to_string();
        assert!(made.starts_with("/nowhere/a.pcap: No such file"), "{made}");
        assert!(made.contains("; make the folder first"), "{made}");
        assert!(place("/").create().unwrap_err().to_string().contains("a file in it"));
    }
}

//! Why a buffer could not be made.

use std::error;
use std::fmt;
use std::io;

/// Why a buffer or region could not be made. Nothing stays mapped, open or allocated after one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The size asked for was zero.
    ZeroSize,

    /// The size asked for, rounded up to whole pages, overflows what one mapping can address.
    TooLarge {
        /// Bytes asked for.
        requested: usize,
        /// The most bytes that this kind of buffer can be asked for.
        limit: usize,
    },

    /// The heap has no room for the buffer.
    Heap {
        /// Bytes that were to be allocated.
        size: usize,
    },

    /// The kernel refused a step of the mapping.
    Map {
        /// The step, as a verb and its object.
        what: &'static str,
        /// Bytes that the step was about.
        size: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// Huge pages were required, and the system has none to grant.
    HugePages {
        /// Bytes that the buffer was to have.
        size: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The pages could not be given memory in advance.
    Prefault {
        /// Bytes that were to be touched.
        size: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The pages could not be locked in memory.
    Lock {
        /// Bytes that were to be locked.
        size: usize,
        /// RLIMIT_MEMLOCK in bytes at that moment; `None` when there is no limit.
        limit: Option<u64>,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSize => {
                f.write_str("a buffer of 0 bytes holds nothing: ask for at least 1 byte")
            }
            Self::TooLarge { requested, limit } => write!(
                f,
                "a buffer of {requested} bytes cannot be addressed: ask for at most {limit} bytes"
            ),
            Self::Heap { size } => write!(
                f,
                "the heap refuses {size} bytes: ask for less, or raise RLIMIT_AS or the memory \
                 cgroup"
            ),
            Self::Map { what, size, source } => write!(
                f,
                "cannot {what} of {size} bytes ({source}): ask for less, or raise RLIMIT_AS, \
                 RLIMIT_NOFILE or vm.max_map_count, whichever is used up"
            ),
            Self::HugePages { size, source } => write!(
                f,
                "no huge pages for {size} bytes ({source}): reserve some with \
                 `sysctl vm.nr_hugepages=N`, or use HugePages::Try"
            ),
            Self::Prefault { size, source } => write!(
                f,
                "cannot prefault {size} bytes ({source}): ask for less, or raise the memory cgroup"
            ),
            Self::Lock { size, limit, source } => write!(
                f,
                "cannot lock {size} bytes in memory ({source}): the limit RLIMIT_MEMLOCK is \
                 {limit}; raise it (`ulimit -l`, LimitMEMLOCK= of a service) or grant CAP_IPC_LOCK",
                limit = Limit(*limit)
            ),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::ZeroSize | Self::TooLarge { .. } | Self::Heap { .. } => None,
            Self::Map { source, .. }
            | Self::HugePages { source, .. }
            | Self::Prefault { source, .. }
            | Self::Lock { source, .. } => Some(source),
        }
    }
}

/// Why bytes could not be kept aside. The buffer is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// No byte was readable, or none was asked for.
    Empty,

    /// Every slot is in use.
    Exhausted {
        /// Slots of this buffer.
        limit: usize,
    },
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "there is no readable byte to save: commit some first, and ask for at least 1",
            ),
            Self::Exhausted { limit } => write!(
                f,
                "all {limit} slots are in use: discard one, or construct the buffer with more"
            ),
        }
    }
}

impl error::Error for SaveError {}

/// A resource limit as people read it.
struct Limit(Option<u64>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes} bytes"),
            None => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refused lock names the limit and how to raise it.
    #[test]
    fn lock_error_names_the_limit_to_raise() {
        let source = io::Error::from_raw_os_error(12);
        let text = Error::Lock { size: 4096, limit: Some(1024), source }.to_string();
        assert!(text.contains("4096") && text.contains("1024 bytes") && text.contains("ulimit -l"));
        let source = io::Error::from_raw_os_error(12);
        let text = Error::Lock { size: 4096, limit: None, source }.to_string();
        assert!(text.contains("unlimited"));
    }
}

//! How a codec is coupled with a stream.

use tautline_buffer::Pool;

use super::{Decode, Framed, Outlet, Reader, Writer};
use crate::Link;

/// When what was sent leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flush {
    /// All that answers what one receive has brought leaves in one call: before the reader waits for
    /// more, at the end of a handler's items, or with the next turn of the loop at the latest.
    #[default]
    Turn,
    /// The same, and at once as soon as so many bytes wait.
    After(usize),
    /// When it is flushed, or its buffer is full.
    Manual,
}

/// How a codec is coupled with a stream; [`Framed::options`] makes one.
///
/// Buffers are lent from pools, to read while bytes of a frame are on their way, to write while
/// frames wait to leave: an idle stream holds none. Unless others are named, all streams of a thread
/// share 256 buffers of 64 KiB for each direction, made when they are needed.
///
/// ```
/// use tautline_buffer::Pool;
/// use tautline_net::UnixStream;
/// use tautline_net::codec::{Flush, Framed, LengthPrefix};
///
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let (near, _far) = UnixStream::pair()?;
/// let (small, large) = (Pool::new(1000, 4096), Pool::new(4, 1 << 20));
/// let options = Framed::<LengthPrefix>::options().read_from(&small).large_from(&large);
/// let framed = options.flush(Flush::After(1400)).open(near, LengthPrefix::u32());
/// # drop(framed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    read: Pool,
    large: Option<Pool>,
    write: Pool,
    flush: Flush,
    high_water: usize,
    half_open: bool,
}

/// Buffers of each direction that all streams of a thread share.
const SHARED: usize = 256;
/// Bytes of each.
const SIZE: usize = 64 << 10;

/// Bytes that may wait behind the buffer.
const HIGH_WATER: usize = 256 << 10;

thread_local! {
    static READ: Pool = Pool::new(SHARED, SIZE);
    static WRITE: Pool = Pool::new(SHARED, SIZE);
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read: READ.with(Pool::clone),
            large: None,
            write: WRITE.with(Pool::clone),
            flush: Flush::default(),
            high_water: HIGH_WATER,
            half_open: false,
        }
    }
}

impl Options {
    /// Reads into buffers of this pool: their size bounds how far a stream reads ahead, and how large
    /// a frame can be. Where all are in use, streams wait for one, first come first served.
    #[must_use]
    pub fn read_from(mut self, pool: &Pool) -> Self {
        self.read = pool.clone();
        self
    }

    /// A frame that does not fit is moved to a buffer of this pool. Without one it is an error.
    #[must_use]
    pub fn large_from(mut self, pool: &Pool) -> Self {
        self.large = Some(pool.clone());
        self
    }

    /// Frames are written to buffers of this pool: their size bounds how large one can be.
    #[must_use]
    pub fn write_to(mut self, pool: &Pool) -> Self {
        self.write = pool.clone();
        self
    }

    /// When what was sent leaves.
    #[must_use]
    pub fn flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// Bytes that may wait to be sent, once they have left the buffer, before the stream is full; it is
    /// ready again once they have fallen to a quarter. 256 KiB if not set. What makes it full may
    /// exceed this by one buffer.
    #[must_use]
    pub fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes;
        self
    }

    /// A stream with handlers stays open for sending when its peer has ended its side.
    #[must_use]
    pub fn keep_half_open(mut self) -> Self {
        self.half_open = true;
        self
    }

    /// Couples a codec with a stream.
    pub fn open<C: Decode + Clone>(&self, stream: impl Into<Link>, codec: C) -> Framed<C> {
        self.open_with(stream, codec.clone(), codec)
    }

    /// The same with a codec for each direction.
    pub fn open_with<D: Decode, E>(
        &self,
        stream: impl Into<Link>,
        decoder: D,
        encoder: E,
    ) -> Framed<D, E> {
        let outlet = Outlet::new(stream.into(), self.write.clone(), self.flush, self.high_water);
        let reader = Reader::new(outlet.clone(), decoder, self.read.clone(), self.large.clone())
            .keep_half_open(self.half_open);
        Framed { reader, writer: Writer::new(outlet, encoder) }
    }
}

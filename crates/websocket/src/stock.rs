//! What the connections of a thread share.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use tautline_buffer::{LendError, Lent, Pool};

use crate::frame::MaskKey;
use crate::{Keys, Options, deflate};

/// A larger ring is so many times as large as the next smaller.
const STEP: usize = 8;

/// What the connections of a thread share, so that an idle one has nothing of it: rings to read
/// into and to write from, contexts of compression, and keys to mask with. Cheap to clone; all clones are one stock.
#[derive(Clone)]
pub struct Stock {
    shared: Rc<Shared>,
}

struct Shared {
    /// From the smallest to the one that the longest message fits into.
    rings: Vec<Pool>,
    keys: RefCell<Keys>,
    contexts: deflate::Pool,
}

impl Stock {
    /// As large as the options say; rings are made when they are needed.
    pub fn new(options: &Options) -> Self {
        let largest = with_slack(usize::try_from(options.limits.whole).unwrap_or(usize::MAX >> 8));
        let pool = |size: usize| Pool::new((options.read_buffers / size).max(1), size);
        let mut size = options.read_buffer.max(4096);
        let mut rings = vec![pool(size)];
        while size < largest {
            size = size.saturating_mul(STEP).min(largest);
            rings.push(pool(size));
        }
        let contexts = deflate::Pool::new(options.contexts);
        Self { shared: Rc::new(Shared { rings, keys: RefCell::new(Keys::new()), contexts }) }
    }

    /// A ring of the smallest size.
    #[inline]
    pub(crate) fn ring(&self) -> Result<Lent, LendError> {
        self.shared.rings[0].lend()
    }

    /// The smallest rings.
    pub(crate) fn smallest(&self) -> &Pool {
        &self.shared.rings[0]
    }

    /// A ring for a message that needs `room` bytes, or the largest there is.
    pub(crate) fn ring_for(&self, room: usize) -> (&Pool, Result<Lent, LendError>) {
        let room = with_slack(room);
        let rings = &self.shared.rings;
        let fitting = rings.iter().find(|pool| pool.size() >= room);
        let pool = fitting.unwrap_or(&rings[rings.len() - 1]);
        (pool, pool.lend())
    }

    /// Bytes of the largest rings.
    pub(crate) fn largest(&self) -> usize {
        self.shared.rings[self.shared.rings.len() - 1].size()
    }

    /// Contexts of compression.
    pub fn contexts(&self) -> &deflate::Pool {
        &self.shared.contexts
    }

    /// A key for the next frame of a client.
    #[inline]
    pub(crate) fn key(&self) -> MaskKey {
        self.shared.keys.borrow_mut().draw()
    }

    /// Sixteen bytes for an opening handshake.
    pub fn nonce(&self) -> [u8; 16] {
        self.shared.keys.borrow_mut().nonce()
    }

    /// Rings that are lent out at the moment, of all sizes.
    pub fn lent(&self) -> usize {
        self.shared.rings.iter().map(Pool::lent).sum()
    }

    /// How often a connection had to wait for a ring.
    pub fn waits(&self) -> u64 {
        self.shared.rings.iter().map(Pool::refused).sum()
    }
}

/// Room for what lies between the frames of a message: with a sixteenth more than the message
/// needs, moving it together costs sixteen bytes moved for one received, at worst.
fn with_slack(room: usize) -> usize {
    room.saturating_add(room / 16).saturating_add(256)
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock").field("rings", &self.shared.rings).finish_non_exhaustive()
    }
}

//! Rings that are lent out while bytes are on their way, and held by nobody else.

mod lending;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

pub use self::lending::Lending;
use self::lending::Queue;
use crate::{Error, Fifo, MapOptions, Mirrored};

/// Rings of one size that many connections of a thread share: one is lent when bytes arrive, and
/// goes back when it is empty, so that an idle connection holds none. The one that came back last
/// is lent first, for it lies in the cache.
///
/// Rings are made when they are first needed, at most as many as was said, and then kept. Cheap to
/// clone; all clones are one pool.
///
/// ```
/// use tautline_buffer::{Fifo, LendError, Pool};
///
/// let pool = Pool::new(1, 4096);
/// let mut ring = pool.lend()?;
/// ring.put(b"half a message");
/// assert!(matches!(pool.lend(), Err(LendError::Exhausted { count: 1 })));
/// drop(ring);
/// assert!(pool.lend()?.is_empty());
/// # Ok::<(), LendError>(())
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

struct Shared {
    /// Bytes of each.
    size: usize,
    options: MapOptions,
    /// Rings that there may be.
    count: usize,
    /// Rings that there are.
    made: Cell<usize>,
    /// Those that nobody has, all of them empty.
    free: RefCell<Vec<Mirrored>>,
    /// Wait for one, first come first served.
    queue: RefCell<Queue>,
    /// How often there was none.
    refused: Cell<u64>,
}

/// A ring that is lent; dropped, it goes back, and what is in it is forgotten.
pub struct Lent {
    /// Absent only while it is being dropped.
    ring: Option<Mirrored>,
    from: Rc<Shared>,
}

/// Why no ring was lent.
#[derive(Debug)]
pub enum LendError {
    /// All are in use: wait by [`Pool::lending`], or make the pool larger.
    Exhausted {
        /// Rings of the pool.
        count: usize,
    },
    /// The system did not grant a new one.
    Map(Error),
}

impl fmt::Display for LendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { count } => write!(
                f,
                "all {count} buffers of the pool are in use: wait for one, or let the pool have more"
            ),
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exhausted { .. } => None,
            Self::Map(error) => Some(error),
        }
    }
}

impl From<Error> for LendError {
    fn from(error: Error) -> Self {
        Self::Map(error)
    }
}

impl Pool {
    /// At most `count` rings of at least `size` bytes each.
    pub fn new(count: usize, size: usize) -> Self {
        Self::with(count, size, MapOptions::new())
    }

    /// As [`new`](Self::new), with options for their mappings.
    pub fn with(count: usize, size: usize, options: MapOptions) -> Self {
        let shared = Shared {
            size,
            options,
            count,
            made: Cell::new(0),
            free: RefCell::new(Vec::new()),
            queue: RefCell::new(Queue::default()),
            refused: Cell::new(0),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Lends an empty ring.
    ///
    /// # Errors
    /// [`LendError`].
    #[inline]
    pub fn lend(&self) -> Result<Lent, LendError> {
        let free = self.shared.free.borrow_mut().pop();
        let ring = match free {
            Some(ring) => ring,
            None => self.shared.make()?,
        };
        Ok(Lent { ring: Some(ring), from: self.shared.clone() })
    }

    /// Bytes that each may hold, before rounding up to pages.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Rings that are lent out at the moment, or kept for who has waited.
    pub fn lent(&self) -> usize {
        self.shared.made.get() - self.shared.free.borrow().len()
    }

    /// Rings that have been made so far.
    pub fn made(&self) -> usize {
        self.shared.made.get()
    }

    /// How often all were in use when one was asked for.
    pub fn refused(&self) -> u64 {
        self.shared.refused.get()
    }
}

impl Shared {
    #[cold]
    fn make(&self) -> Result<Mirrored, LendError> {
        if self.made.get() == self.count {
            self.refused.set(self.refused.get() + 1);
            return Err(LendError::Exhausted { count: self.count });
        }
        let ring = Mirrored::with(self.size, self.options)?;
        self.made.set(self.made.get() + 1);
        Ok(ring)
    }

    fn came_back(&self, ring: Mirrored) {
        // Woken when nothing is borrowed, for it may ask at once.
        let waker = self.queue.borrow_mut().came_back(ring, &mut self.free.borrow_mut());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Deref for Lent {
    type Target = Mirrored;

    #[inline]
    fn deref(&self) -> &Mirrored {
        self.ring.as_ref().expect("absent only while it is being dropped")
    }
}

impl DerefMut for Lent {
    #[inline]
    fn deref_mut(&mut self) -> &mut Mirrored {
        self.ring.as_mut().expect("absent only while it is being dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut ring) = self.ring.take() else { return };
        ring.clear();
        self.from.came_back(ring);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.shared.size)
            .field("count", &self.shared.count)
            .field("lent", &self.lent())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.ring).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A ring that comes back with bytes in it is lent again empty, and no second one is made.
    #[test]
    fn a_ring_that_came_back_is_lent_again_and_empty() {
        let pool = Pool::new(4, 4096);
        for _ in 0..10 {
            let mut ring = pool.lend().unwrap();
            assert!(ring.is_empty());
            ring.put(b"left behind");
        }
        assert_eq!((pool.made(), pool.lent()), (1, 0));
    }

    /// Who waits is woken once for each ring that comes back, the first first.
    #[test]
    fn who_waits_is_woken_when_a_ring_comes_back() {
        let pool = Pool::new(1, 4096);
        let ring = pool.lend().unwrap();
        assert!(matches!(pool.lend(), Err(LendError::Exhausted { count: 1 })));
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let mut waiting = [pool.lending(), pool.lending()].map(Box::pin);
        for (lending, count) in waiting.iter_mut().zip(&counts) {
            let waker = count.clone().into();
            assert!(lending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::Relaxed));
        drop(ring);
        assert_eq!(woken(), [1, 0]);
        // The ring that was kept for the first, who has gone, is kept for the second.
        drop(waiting);
        assert_eq!((woken(), pool.refused()), ([1, 1], 3));
    }
}

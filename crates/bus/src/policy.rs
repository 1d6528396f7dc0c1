//! What happens where an object is full or empty: named when it is made.

use std::time::Duration;

/// How users wait for each other.
///
/// Both sides of an object wait alike, so that each knows whether the other may sleep. Under
/// [`Wait::Spin`] and [`Wait::Yield`] a publish costs a store. Where users may sleep, it also looks
/// at a word, behind a full fence or, where the kernel grants `membarrier(2)`, behind none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Looks again and again. For threads that have a core each. A task that waits is polled again
    /// and again.
    Spin,
    /// The same, giving way to other threads in between: for more threads than cores.
    Yield,
    /// Looks for some time, then sleeps and is woken, at most once for all that was published
    /// meanwhile. Who has left a waker, or a descriptor ([`wakeup`](crate::wakeup)), is woken in the
    /// same way.
    Park {
        /// How long it looks before it sleeps.
        spin_for: Duration,
    },
}

impl Default for Wait {
    /// Sleeps after 20 µs, about what a wake-up takes.
    fn default() -> Self {
        Self::Park { spin_for: Duration::from_micros(20) }
    }
}

impl Wait {
    /// Whether users may sleep.
    #[inline(always)]
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Self::Park { .. })
    }
}

/// What a send does that finds no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// Waits, at most for so long if that is said; then the message comes back.
    Block(Option<Duration>),
    /// Gives the message back.
    #[default]
    Refuse,
    /// Drops the oldest message to make room, and counts it
    /// ([`Receiver::dropped`](crate::channel::Receiver::dropped)).
    Overwrite,
}

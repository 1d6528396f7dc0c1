//! Waiting for a ring in a queue, where each ring that comes back is kept for who is first.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{LendError, Lent, Pool};
use crate::Mirrored;

/// Who waits for a ring.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Rings that came back for those who have not looked since.
    granted: Vec<(u64, Mirrored)>,
    /// Of the next who comes.
    ticket: u64,
}

struct Waiting {
    ticket: u64,
    waker: Waker,
}

impl Queue {
    /// A ring has come back: it is kept for the first, or is free for all. Returns whom to wake.
    pub(super) fn came_back(&mut self, ring: Mirrored, free: &mut Vec<Mirrored>) -> Option<Waker> {
        let Some(first) = self.waiting.pop_front() else {
            free.push(ring);
            return None;
        };
        self.granted.push((first.ticket, ring));
        Some(first.waker)
    }

    fn take_granted(&mut self, ticket: u64) -> Option<Mirrored> {
        let at = self.granted.iter().position(|(of, _)| *of == ticket)?;
        Some(self.granted.swap_remove(at).1)
    }

    fn draw(&mut self, waker: &Waker) -> u64 {
        self.ticket += 1;
        self.waiting.push_back(Waiting { ticket: self.ticket, waker: waker.clone() });
        self.ticket
    }

    fn wait_on(&mut self, ticket: u64, waker: &Waker) {
        let place = self.waiting.iter_mut().find(|waiting| waiting.ticket == ticket);
        if let Some(place) = place {
            place.waker.clone_from(waker);
        }
    }
}

/// A place in the queue for a ring: see [`Pool::lending`].
///
/// Dropped, it leaves the queue; a ring that was kept for it goes to the next.
#[must_use = "a future does nothing until it is awaited"]
pub struct Lending {
    pool: Pool,
    /// Its place, once it has had to wait.
    ticket: Option<u64>,
}

impl Pool {
    /// Lends an empty ring as soon as there is one, first come first served.
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use tautline_buffer::Pool;
    ///
    /// let pool = Pool::new(1, 4096);
    /// let ring = pool.lend()?;
    /// let mut next = pin!(pool.lending());
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(next.as_mut().poll(&mut cx).is_pending());
    /// drop(ring);
    /// assert!(pool.lend().is_err(), "it is kept for who has waited");
    /// assert!(matches!(next.poll(&mut cx), Poll::Ready(Ok(_))));
    /// # Ok::<(), tautline_buffer::LendError>(())
    /// ```
    pub fn lending(&self) -> Lending {
        Lending { pool: self.clone(), ticket: None }
    }
}

impl Future for Lending {
    /// An error only if the system does not grant a ring that the pool may have.
    type Output = Result<Lent, LendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { pool, ticket } = &mut *self;
        let shared = &pool.shared;
        let Some(drawn) = *ticket else {
            return match pool.lend() {
                Err(LendError::Exhausted { .. }) => {
                    *ticket = Some(shared.queue.borrow_mut().draw(cx.waker()));
                    Poll::Pending
                }
                lent => Poll::Ready(lent),
            };
        };
        let mut queue = shared.queue.borrow_mut();
        match queue.take_granted(drawn) {
            None => {
                queue.wait_on(drawn, cx.waker());
                Poll::Pending
            }
            Some(ring) => {
                *ticket = None;
                Poll::Ready(Ok(Lent { ring: Some(ring), from: shared.clone() }))
            }
        }
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.pool.shared.queue.borrow_mut();
        queue.waiting.retain(|waiting| waiting.ticket != ticket);
        let granted = queue.take_granted(ticket);
        drop(queue);
        if let Some(ring) = granted {
            self.pool.shared.came_back(ring);
        }
    }
}

impl fmt::Debug for Lending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lending").field("pool", &self.pool).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Those who wait are served in their order, and nobody overtakes them.
    #[test]
    fn who_waits_is_served_in_order() {
        let pool = Pool::new(1, 4096);
        let cx = &mut Context::from_waker(Waker::noop());
        let ring = pool.lend().unwrap();
        let (mut first, mut second) = (pin!(pool.lending()), pin!(pool.lending()));
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(second.as_mut().poll(cx).is_pending());
        drop(ring);
        assert!(second.as_mut().poll(cx).is_pending());
        assert!(pool.lend().is_err());
        assert_eq!(pool.lent(), 1, "kept for the first");
        let Poll::Ready(Ok(ring)) = first.poll(cx) else { panic!("it is the first's") };
        drop(ring);
        let Poll::Ready(Ok(ring)) = second.poll(cx) else { panic!("it is the second's") };
        drop(ring);
        assert_eq!(pool.lent(), 0);
    }

    /// Who leaves the queue, before or after a ring was kept for it, costs nobody that ring.
    #[test]
    fn who_leaves_the_queue_loses_no_ring() {
        let pool = Pool::new(1, 4096);
        let cx = &mut Context::from_waker(Waker::noop());
        let ring = pool.lend().unwrap();
        let (mut gone, mut late) = (Box::pin(pool.lending()), Box::pin(pool.lending()));
        let mut last = pin!(pool.lending());
        for waiting in [&mut gone, &mut late] {
            assert!(waiting.as_mut().poll(cx).is_pending());
        }
        assert!(last.as_mut().poll(cx).is_pending());
        drop(gone);
        drop(ring);
        drop(late);
        assert!(matches!(last.poll(cx), Poll::Ready(Ok(_))));
        assert_eq!((pool.lent(), pool.made()), (0, 1));
    }
}

//! Batches that handlers of datagrams receive into, which all sockets of a thread share.

use std::cell::RefCell;
use std::io;

use tautline_runtime::{Batch, Conn, Details, Drained, Outcome, Packet};

use crate::datagrams::{Inflow, Sifts, TURN};

/// Batches that a thread keeps for its handlers to receive the same details into: more than one
/// only for those that were paused while they held one.
const KEPT: usize = 4;

thread_local! {
    /// What no handler is using at the moment.
    static SHARED: RefCell<Vec<(Details, Batch)>> = const { RefCell::new(Vec::new()) };
}

/// Reads for the handler of one socket.
pub(crate) struct Reader {
    details: Details,
    inflow: Inflow,
    /// What is left of an earlier call that was paused.
    rest: Option<Lent>,
}

impl Reader {
    /// For `socket`, which asks for these details.
    pub(crate) fn new(socket: &impl Sifts, details: Details) -> Self {
        Self { details, inflow: Inflow::of(socket), rest: None }
    }

    /// Takes datagrams, first what is left of an earlier call.
    pub(crate) fn take_some<F, R>(&mut self, conn: &Conn, handler: &mut F) -> io::Result<Drained>
    where
        F: FnMut(&Conn, Packet<'_>) -> R,
        R: Outcome,
    {
        let mut lent = self.rest.take().unwrap_or_else(|| Lent::take(self.details));
        let taken = lent.hand_out(conn, &mut self.inflow, handler);
        if taken.is_ok() && !lent.is_used_up() && conn.is_open() {
            self.rest = Some(lent);
        } else {
            lent.give_back();
        }
        taken
    }
}

/// A batch of the thread's, out for one socket.
pub(crate) struct Lent {
    details: Details,
    batch: Batch,
    /// The first datagram that the handler has not seen.
    next: usize,
}

impl Lent {
    fn take(details: Details) -> Self {
        let kept = SHARED.with_borrow_mut(|shared| {
            let at = shared.iter().position(|(others, _)| *others == details)?;
            Some(shared.swap_remove(at).1)
        });
        let mut batch = kept.unwrap_or_else(|| Batch::with_details(32, 1 << 16, details));
        batch.clear();
        Self { details, batch, next: 0 }
    }

    fn give_back(self) {
        SHARED.with_borrow_mut(|shared| {
            if shared.iter().filter(|(details, _)| *details == self.details).count() < KEPT {
                shared.push((self.details, self.batch));
            }
        });
    }

    fn is_used_up(&self) -> bool {
        self.next >= self.batch.len()
    }

    fn hand_out<F, R>(
        &mut self,
        conn: &Conn,
        inflow: &mut Inflow,
        handler: &mut F,
    ) -> io::Result<Drained>
    where
        F: FnMut(&Conn, Packet<'_>) -> R,
        R: Outcome,
    {
        let mut left = TURN;
        loop {
            let mut is_all = false;
            if self.is_used_up() {
                self.next = 0;
                let room = inflow.room(conn).min(left);
                let came = inflow.receive(conn, &mut self.batch, room)?;
                (left, is_all) = (left.saturating_sub(came.count), came.is_all);
            }
            while let Some(packet) = self.batch.get(self.next) {
                self.next += 1;
                handler(conn, packet).into_result()?;
                if conn.is_paused() {
                    return Ok(Drained::Yes);
                }
            }
            match (is_all, left) {
                (true, _) => return Ok(Drained::Yes),
                (false, 0) => return Ok(Drained::No),
                (false, _) => {}
            }
        }
    }
}

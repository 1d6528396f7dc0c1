//! A connection's deadlines, beside the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::{Conn, timer};

use super::Limits;
use super::limits::Missed;
use super::shared::{Part, Phase};
use super::under_way::Busy;
use crate::rt::{Ledger, Queue, Sleep};

/// How a connection came to its end.
pub(super) enum End {
    Done(hyper::Result<()>),
    Missed(Missed),
    Cut,
}

/// What is asked of a connection of either protocol.
pub(super) enum Ask<'a, 'b> {
    /// To go on.
    Poll(&'a mut Context<'b>),
    /// To begin nothing more.
    Finish,
}

/// How long an idle client of HTTP/2 that has heard of the end may take to agree.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection whose deadlines are kept, and that is told when the server ends.
pub(super) struct Watched<'s> {
    limits: Limits,
    part: &'s Part,
    queue: Queue,
    ledger: Rc<Ledger>,
    busy: Rc<Busy>,
    /// Whatever is heard without a request is the head of one.
    heads: bool,
    armed: Option<(Instant, Sleep)>,
    finishing: bool,
    /// Until when a client that has heard of the end may stay.
    farewell: Option<Instant>,
}

impl<'s> Watched<'s> {
    pub(super) fn new(
        limits: Limits,
        part: &'s Part,
        held: Conn,
        ledger: Rc<Ledger>,
        busy: Rc<Busy>,
    ) -> Self {
        let (armed, farewell, queue) = (None, None, Queue::new(held));
        let (heads, finishing) = (false, false);
        Self { limits, part, queue, ledger, busy, heads, armed, finishing, farewell }
    }

    /// Of HTTP/1.1: whatever is heard without a request is the head of one, and an idle connection
    /// is told nothing.
    pub(super) fn heads(mut self) -> Self {
        self.heads = true;
        self
    }

    pub(super) async fn run(
        mut self,
        mut turn: impl FnMut(Ask<'_, '_>) -> Poll<hyper::Result<()>>,
    ) -> End {
        poll_fn(|cx| {
            match self.part.poll_phase(cx) {
                Phase::Cut => return Poll::Ready(End::Cut),
                Phase::Draining if !std::mem::replace(&mut self.finishing, true) => {
                    let _ = turn(Ask::Finish);
                }
                _ => {}
            }
            loop {
                self.busy.looks(cx);
                let done = turn(Ask::Poll(cx));
                self.busy.looked();
                if let Poll::Ready(done) = done {
                    return Poll::Ready(End::Done(done));
                }
                let Poll::Ready(missed) = self.poll_missed(cx) else { return Poll::Pending };
                if !self.bids_farewell(missed) {
                    return Poll::Ready(End::Missed(missed));
                }
                let _ = turn(Ask::Finish);
            }
        })
        .await
    }

    /// Whether the peer is to be told, rather than left. Never twice.
    fn bids_farewell(&mut self, missed: Missed) -> bool {
        if self.heads || missed != Missed::Idle || self.farewell.is_some() {
            return false;
        }
        self.finishing = true;
        self.farewell = tautline_runtime::now().ok().map(|now| now + FAREWELL);
        self.farewell.is_some()
    }

    fn due(&mut self) -> Option<(Instant, Missed)> {
        let (due, missed) = self.limits.due(&self.ledger, &self.busy, self.heads)?;
        if missed == Missed::Idle
            && let Some(until) = self.farewell
        {
            return Some((due.max(until), missed));
        }
        Some((self.queue.until(due), missed))
    }

    /// Looks after the deadline that is next. A timer that is early is only looked at again, so
    /// that a busy connection moves none.
    fn poll_missed(&mut self, cx: &mut Context<'_>) -> Poll<Missed> {
        loop {
            let Some((due, missed)) = self.due() else { return Poll::Pending };
            if self.armed.as_ref().is_none_or(|(armed, _)| due < *armed) {
                self.armed = Some((due, Sleep::new(timer::sleep_until(due))));
            }
            let Some((armed, sleep)) = &mut self.armed else { return Poll::Pending };
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let is_due = due <= *armed;
            self.armed = None;
            if is_due && !self.queue.is_taken(due, self.limits.progress_within) {
                let stalls = missed == Missed::Idle && self.queue.queued() > 0;
                return Poll::Ready(if stalls { Missed::Progress } else { missed });
            }
        }
    }
}

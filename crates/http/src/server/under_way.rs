//! What is under way on a connection: requests, and the answers that have not left whole.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tautline_runtime::time::Instant;

use crate::rt::Ledger;

/// How many requests are under way on a connection, and how their answers go on.
pub(super) struct Busy {
    ledger: Rc<Ledger>,
    count: Cell<usize>,
    /// Since when there is no request.
    since: Cell<Instant>,
    /// There was one.
    begun: Cell<bool>,
    /// Pieces of answers that have left neither `hyper` nor, on HTTP/2, the window of the peer.
    pieces: Cell<usize>,
    /// When a byte of a piece was last taken, or the first was put there.
    moved: Cell<Instant>,
    /// Whoever keeps the deadlines, unless it is about to look at them anyway.
    watch: RefCell<Option<Waker>>,
    looking: Cell<bool>,
}

impl Busy {
    pub(super) fn new(ledger: Rc<Ledger>, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            ledger,
            count: Cell::new(0),
            since: Cell::new(now),
            begun: Cell::new(false),
            pieces: Cell::new(0),
            moved: Cell::new(now),
            watch: RefCell::default(),
            looking: Cell::new(false),
        })
    }

    /// Since when there is no request.
    pub(super) fn idle(&self) -> Option<Instant> {
        (self.count.get() == 0).then(|| self.since.get())
    }

    /// Whether there was none yet.
    pub(super) fn is_new(&self) -> bool {
        !self.begun.get()
    }

    /// Since when nothing of the answers was taken, if something is to be taken.
    pub(super) fn waits(&self) -> Option<Instant> {
        let stalled = self.ledger.stalled.get();
        let waits = (self.pieces.get() > 0).then(|| self.moved.get());
        stalled.into_iter().chain(waits).min()
    }

    /// Whoever keeps the deadlines is about to look, once what it lets happen now has happened.
    pub(super) fn looks(&self, cx: &Context<'_>) {
        self.looking.set(true);
        match &mut *self.watch.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// It looks now, and is woken when something changes from here on.
    pub(super) fn looked(&self) {
        self.looking.set(false);
    }

    fn changed(&self) {
        if !self.looking.get() {
            let watch = self.watch.borrow().clone();
            watch.iter().for_each(Waker::wake_by_ref);
        }
    }

    fn moved(&self) {
        let before = self.moved.get();
        self.moved.set(tautline_runtime::now().unwrap_or(before));
    }
}

/// A request that is under way until this is dropped, which the last piece of its answer does.
pub(super) struct UnderWay {
    busy: Rc<Busy>,
}

impl UnderWay {
    pub(super) fn new(busy: &Rc<Busy>) -> Rc<Self> {
        busy.count.set(busy.count.get() + 1);
        busy.begun.set(true);
        Rc::new(Self { busy: busy.clone() })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let busy = &self.busy;
        busy.count.set(busy.count.get() - 1);
        let since = busy.since.get();
        busy.since.set(tautline_runtime::now().unwrap_or(since));
        // What is heard from now on is the next head.
        busy.ledger.heard.set(None);
        busy.changed();
    }
}

pin_project! {
    /// The body of an answer, of which each piece says when it has left.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        under_way: Rc<UnderWay>,
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, under_way: Rc<UnderWay>) -> Self {
        Self { body, under_way }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Answer<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = self.project();
        let piece = |bytes| Piece::new(bytes, this.under_way.clone());
        this.body.poll_frame(cx).map_ok(|frame| frame.map_data(piece))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer on their way to the peer. `hyper` drops it when the stream has taken them.
pub(super) struct Piece {
    bytes: Bytes,
    under_way: Rc<UnderWay>,
}

impl Piece {
    fn new(bytes: Bytes, under_way: Rc<UnderWay>) -> Self {
        let busy = &under_way.busy;
        if busy.pieces.replace(busy.pieces.get() + 1) == 0 {
            busy.moved();
            busy.changed();
        }
        Self { bytes, under_way }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let pieces = &self.under_way.busy.pieces;
        pieces.set(pieces.get() - 1);
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.under_way.busy.moved();
    }

    fn chunks_vectored<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(parts)
    }
}

//! What becomes of a side in the ready queue: its operations are attempted.

use std::os::fd::RawFd;

use super::super::{Attempt, BufferId, Completion, Interest, Op, Token, sys};
use super::table::{Armed, Registration, Side};
use super::{ReadinessDriver, Registered};

/// Completions that one multishot operation may bring before the next side's turn.
const BURST: usize = 4;

/// How an armed operation stands after it was served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It had its final completion.
    Finished,
    /// It waits for an event.
    Waits,
    /// It could go on.
    Ready,
}

/// Where completions go, and how many may come.
struct Output<'a> {
    out: &'a mut Vec<Completion>,
    /// Length that `out` may reach.
    limit: usize,
}

impl Output<'_> {
    fn is_full(&self) -> bool {
        self.out.len() >= self.limit
    }

    fn more(&mut self, token: Token, result: i32, buffer: Option<BufferId>) {
        self.out.push(Completion { token, result, buffer, more: true });
    }

    fn last(&mut self, token: Token, result: i32, buffer: Option<BufferId>) -> Step {
        self.out.push(Completion { token, result, buffer, more: false });
        Step::Finished
    }
}

impl ReadinessDriver {
    /// Gives each side that stands in the ready queue one turn, until `out` has `limit`
    /// completions.
    pub(super) fn serve_ready(&mut self, limit: usize, out: &mut Vec<Completion>) {
        let mut output = Output { out, limit };
        for _ in 0..self.queue.len() {
            if output.is_full() {
                return;
            }
            let Some(side) = self.queue.pop_front() else {
                return;
            };
            self.state(side).queued = false;
            if self.serve_side(side, &mut output) {
                self.enqueue(side);
            }
        }
    }

    /// Serves what is armed on `side`, oldest first; whether some of it could go on.
    fn serve_side(&mut self, side: Side, output: &mut Output<'_>) -> bool {
        let mut could_go_on = false;
        let mut index = self.state(side).first();
        while let Some(armed) = self.operations.get(index) {
            if output.is_full() {
                return true;
            }
            let (token, op, next) = (armed.token, armed.op, armed.next);
            match self.serve(token, &op, side, output) {
                Step::Finished => {
                    self.disarm(index, side);
                }
                Step::Waits => self.await_event(index, side),
                Step::Ready => could_go_on = true,
            }
            index = next;
        }
        could_go_on
    }

    fn serve(&mut self, token: Token, op: &Op, side: Side, output: &mut Output<'_>) -> Step {
        match *op {
            Op::RecvMulti { fd } => self.receive_burst(token, fd, output),
            Op::RecvPool { fd } => self.receive_one(token, fd, false, output),
            Op::AcceptMulti { fd } => self.accept_burst(token, fd, output),
            Op::PollMulti { fd, interest } => self.tell_edge(token, fd, interest, output),
            _ => self.serve_once(token, op, side, output),
        }
    }

    fn serve_once(&mut self, token: Token, op: &Op, side: Side, output: &mut Output<'_>) -> Step {
        let always = self.descriptors[side.fd() as usize].registration == Registration::Always;
        // SAFETY: the operation is armed, so that its memory is valid: `Driver::submit`.
        let result = unsafe { if always { sys::perform(op) } else { sys::attempt(op) } };
        self.learn(op, result);
        match result {
            Attempt::Done(result) => output.last(token, result, None),
            Attempt::WouldBlock => Step::Waits,
        }
    }

    fn receive_burst(&mut self, token: Token, fd: RawFd, output: &mut Output<'_>) -> Step {
        for _ in 0..BURST {
            if output.is_full() {
                break;
            }
            match self.receive_one(token, fd, true, output) {
                Step::Ready => {}
                step => return step,
            }
        }
        Step::Ready
    }

    /// Receives into one buffer of the pool. What came is the last completion unless
    /// `multi`.
    fn receive_one(
        &mut self,
        token: Token,
        fd: RawFd,
        multi: bool,
        output: &mut Output<'_>,
    ) -> Step {
        let Some(buffer) = self.free.take() else {
            return self.out_of_buffers(token, fd, output);
        };
        let size = self.pool.size();
        // SAFETY: the buffer was free, and now is this receive's own.
        let result = unsafe { sys::recv(fd, self.pool.ptr(buffer), size) };
        if let Attempt::Done(count) = result
            && count > 0
        {
            let empty = self.received(fd, count, size);
            if !multi {
                return output.last(token, count, Some(buffer));
            }
            output.more(token, count, Some(buffer));
            return if empty { Step::Waits } else { Step::Ready };
        }
        self.free.give(buffer);
        match result {
            Attempt::Done(end) => output.last(token, end, None),
            Attempt::WouldBlock => self.would_block(fd, Interest::Read),
        }
    }

    /// No buffer is free: an error only if there is something to receive.
    fn out_of_buffers(&mut self, token: Token, fd: RawFd, output: &mut Output<'_>) -> Step {
        match sys::ready(fd, Interest::Read) {
            Attempt::Done(_) => output.last(token, -libc::ENOBUFS, None),
            Attempt::WouldBlock => self.would_block(fd, Interest::Read),
        }
    }

    fn accept_burst(&mut self, token: Token, fd: RawFd, output: &mut Output<'_>) -> Step {
        for _ in 0..BURST {
            if output.is_full() {
                break;
            }
            // SAFETY: an accept names no memory.
            match unsafe { sys::attempt(&Op::Accept { fd }) } {
                Attempt::Done(child) if child >= 0 => {
                    self.accepted(fd, child);
                    output.more(token, child, None);
                }
                Attempt::Done(error) => return output.last(token, error, None),
                Attempt::WouldBlock => return self.would_block(fd, Interest::Read),
            }
        }
        Step::Ready
    }

    /// One completion per edge, if it still stands.
    fn tell_edge(
        &mut self,
        token: Token,
        fd: RawFd,
        interest: Interest,
        output: &mut Output<'_>,
    ) -> Step {
        let edge = self
            .operations
            .get_mut(token.index())
            .is_some_and(|armed| std::mem::take(&mut armed.edge));
        if edge {
            match sys::ready(fd, interest) {
                Attempt::Done(bits) if bits >= 0 => output.more(token, bits, None),
                Attempt::Done(error) => return output.last(token, error, None),
                Attempt::WouldBlock => return self.would_block(fd, interest),
            }
        }
        Step::Waits
    }

    fn would_block(&mut self, fd: RawFd, interest: Interest) -> Step {
        self.state(Side::new(fd, interest)).ready = false;
        Step::Waits
    }

    /// Sees to it that the armed operation `index` on `side` hears of events, or ends it.
    pub(super) fn await_event(&mut self, index: u32, side: Side) {
        match self.register(side.fd()) {
            Ok(Registered::Waits) => {}
            Ok(Registered::JustRefused) => self.enqueue(side),
            Err(error) => {
                if let Some(armed) = self.disarm(index, side) {
                    self.finish_later(armed.token, error);
                }
            }
        }
    }

    /// Takes operation `index` off `side`.
    pub(super) fn disarm(&mut self, index: u32, side: Side) -> Option<Armed> {
        let state = self.descriptors[side.fd() as usize].side_mut(side.interest());
        self.operations.disarm(state, index)
    }
}

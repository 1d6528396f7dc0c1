//! io_uring by hand: multishot receive out of a ring of provided buffers, answers sent straight
//! from the buffer that the message arrived in.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsRawFd,
};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::{End, RECEIVE_BUFFER, Wait, send};

mod buffers;

use buffers::Buffers;

/// How answers leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    /// A plain call at once.
    Direct,
    /// Through the ring, all answers of a turn in one submission.
    Batched,
}

/// Depth of the submission queue.
const DEPTH: u32 = 2048;
/// Marks the completion of a send; the low half is the connection.
const SENT: u64 = 1 << 32;

/// Runs until every connection is closed; when `end` is over it closes them.
pub(super) fn run(
    connections: &[TcpStream],
    wait: Wait,
    mode: Send,
    end: &mut impl End,
) -> io::Result<()> {
    let mut echo = Echo::new(connections, mode)?;
    let mut closing = false;
    (0..connections.len()).try_for_each(|index| echo.arm(index))?;
    while echo.open > 0 {
        echo.turn(wait, end)?;
        if !closing && end.is_over() {
            closing = true;
            // A connection that is gone already needs no closing.
            connections.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
    Ok(())
}

/// What waits to be sent on one connection: at most the first is in the kernel's hands.
#[derive(Default)]
struct Outgoing {
    queue: VecDeque<(u16, u32)>,
    closed: bool,
}

struct Echo<'a> {
    /// Dropped before the buffers, which it may still refer to.
    ring: IoUring,
    buffers: Buffers,
    connections: &'a [TcpStream],
    outgoing: Vec<Outgoing>,
    /// Receives that ended for want of a buffer.
    unarmed: Vec<usize>,
    /// Completions of one turn, copied out of the ring.
    batch: Vec<(u64, i32, u32)>,
    mode: Send,
    open: usize,
}

impl<'a> Echo<'a> {
    fn new(connections: &'a [TcpStream], mode: Send) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(2 * DEPTH)
            .build(DEPTH)?;
        let buffers = Buffers::register(&ring)?;
        let outgoing = connections.iter().map(|_| Outgoing::default()).collect();
        let open = connections.len();
        let (unarmed, batch) = (Vec::new(), Vec::new());
        Ok(Self { ring, buffers, connections, outgoing, unarmed, batch, mode, open })
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: receives name the registered buffer ring; sends name a buffer of it that is
        // given back only on completion; both live until the ring is gone.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Starts the multishot receive of a connection.
    fn arm(&mut self, index: usize) -> io::Result<()> {
        let fd = types::Fd(self.connections[index].as_raw_fd());
        self.push(&opcode::RecvMulti::new(fd, buffers::GROUP).build().user_data(index as u64))
    }

    fn turn(&mut self, wait: Wait, end: &mut impl End) -> io::Result<()> {
        self.enter(wait)?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.extend(
            self.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())),
        );
        for (data, result, flags) in batch.drain(..) {
            match (data & SENT != 0, (data & 0xffff_ffff) as usize) {
                (true, index) => self.sent(index, result)?,
                (false, index) => self.received(index, result, flags, end)?,
            }
        }
        self.batch = batch;
        self.buffers.publish();
        let unarmed = std::mem::take(&mut self.unarmed);
        unarmed.into_iter().try_for_each(|index| self.arm(index))
    }

    /// Submits what is queued and, unless spinning, waits for a completion (100 ms at most).
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if wait == Wait::Sleep {
            let tenth = types::Timespec::new().nsec(100_000_000);
            let arguments = types::SubmitArgs::new().timespec(&tenth);
            return match self.ring.submitter().submit_with_args(1, &arguments) {
                Err(error) if error.raw_os_error() != Some(libc::ETIME) => Err(error),
                _ => Ok(()),
            };
        }
        let submission = self.ring.submission();
        let (queued, work) = (submission.len(), submission.taskrun());
        drop(submission);
        if queued > 0 || work {
            const GET_EVENTS: u32 = 1;
            // SAFETY: no signal mask is passed; the ring is valid.
            unsafe {
                self.ring.submitter().enter::<libc::sigset_t>(queued as u32, 0, GET_EVENTS, None)?
            };
        }
        Ok(())
    }

    fn received(
        &mut self,
        index: usize,
        result: i32,
        flags: u32,
        end: &mut impl End,
    ) -> io::Result<()> {
        match (result, cqueue::buffer_select(flags)) {
            (count @ 1.., Some(buffer)) => self.answer(index, buffer, count as u32, end)?,
            (_, Some(buffer)) => self.buffers.give_back(buffer),
            _ => {}
        }
        if cqueue::more(flags) {
            return Ok(());
        }
        // Out of buffers ends a multishot receive; so may a completion queue that ran full.
        if result > 0 || result == -libc::ENOBUFS {
            self.unarmed.push(index);
        } else if !std::mem::replace(&mut self.outgoing[index].closed, true) {
            self.open -= 1;
        }
        Ok(())
    }

    fn answer(
        &mut self,
        index: usize,
        buffer: u16,
        count: u32,
        end: &mut impl End,
    ) -> io::Result<()> {
        if !end.arrived(count as usize) {
            self.buffers.give_back(buffer);
            return Ok(());
        }
        if self.mode == Send::Direct {
            send(&self.connections[index], self.buffers.bytes(buffer, count))?;
            self.buffers.give_back(buffer);
            return Ok(());
        }
        self.outgoing[index].queue.push_back((buffer, count));
        if self.outgoing[index].queue.len() == 1 { self.send_first(index) } else { Ok(()) }
    }

    fn send_first(&mut self, index: usize) -> io::Result<()> {
        let Some(&(buffer, count)) = self.outgoing[index].queue.front() else {
            return Ok(());
        };
        let fd = types::Fd(self.connections[index].as_raw_fd());
        let bytes = self.buffers.bytes(buffer, count);
        let entry = opcode::Send::new(fd, bytes.as_ptr(), count)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(SENT | index as u64);
        self.push(&entry)
    }

    fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let Some((buffer, count)) = self.outgoing[index].queue.pop_front() else {
            return Ok(());
        };
        self.buffers.give_back(buffer);
        if result >= 0 && result as u32 != count {
            return Err(io::Error::other(format!("the ring sent {result} of {count} bytes")));
        }
        self.send_first(index)
    }
}

const _: () = assert!(RECEIVE_BUFFER <= u32::MAX as usize);

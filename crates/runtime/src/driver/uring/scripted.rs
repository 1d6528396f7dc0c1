//! A ring that follows a script: what each enter answers and which completions come
//! when. It checks what the kernel would not forgive: a buffer provided twice.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use io_uring::opcode::AsyncCancel;
use io_uring::squeue::Entry;

use super::ring::{Cqe, Ring};
use crate::driver::pool::Pool;
use crate::driver::{BufferId, Full, Token, Wait};

/// `IORING_CQE_F_MORE`.
pub(super) const MORE: u32 = 2;

/// `IORING_CQE_F_BUFFER` with buffer `id`.
pub(super) const fn with_buffer(id: u16) -> u32 {
    1 | (id as u32) << 16
}

/// A completion of `token`.
pub(super) const fn cqe(token: Token, result: i32, flags: u32) -> Cqe {
    Cqe { user_data: token.as_u64(), result, flags }
}

/// What of a submission queue entry the tests look at.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sqe {
    pub(super) opcode: u8,
    pub(super) flags: u8,
    pub(super) ioprio: u16,
    pub(super) fd: i32,
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) len: u32,
    pub(super) op_flags: u32,
    pub(super) user_data: u64,
    rest: [u64; 3],
}

impl Sqe {
    fn of(entry: &Entry) -> Self {
        const { assert!(size_of::<Sqe>() == size_of::<Entry>()) };
        // SAFETY: an entry is the kernel's structure of 64 bytes of integers, whose fields
        // lie as those of `Sqe`.
        unsafe { std::ptr::from_ref(entry).cast::<Self>().read() }
    }

    /// Whether it is a cancel.
    pub(super) fn is_cancel(&self) -> bool {
        self.opcode == AsyncCancel::CODE
    }

    fn cancels_everything(&self) -> bool {
        const ALL_AND_ANY: u32 = 1 | 4;
        self.is_cancel() && self.op_flags == ALL_AND_ANY
    }
}

/// What one enter does.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// Entries it takes at most; all if `None`.
    takes: Option<u32>,
    /// It fails with this `errno` and takes nothing.
    fails: Option<i32>,
    /// What then completes.
    completes: Vec<Cqe>,
}

impl Turn {
    /// Takes everything, and `completes`.
    pub(super) fn completing(completes: impl Into<Vec<Cqe>>) -> Self {
        Self { completes: completes.into(), ..Self::default() }
    }

    /// Fails with `errno`.
    pub(super) fn failing(errno: i32) -> Self {
        Self { fails: Some(errno), ..Self::default() }
    }

    /// Takes `count` entries.
    pub(super) fn taking(count: u32) -> Self {
        Self { takes: Some(count), ..Self::default() }
    }
}

/// What is scripted, and what has happened.
#[derive(Default)]
pub(super) struct Script {
    /// Entries of the submission queue.
    pub(super) capacity: u32,
    /// Entries of the completion queue; what does not fit overflows.
    pub(super) completion_capacity: usize,
    /// What the coming enters do; beyond them each takes all and completes nothing.
    pub(super) turns: VecDeque<Turn>,
    /// A cancel of everything is not answered.
    pub(super) deaf: bool,
    /// The registration of the pool fails with this `errno`.
    pub(super) refuses_pool: Option<i32>,
    /// Pushed, not yet taken.
    pub(super) queue: VecDeque<Sqe>,
    /// Taken, oldest first.
    pub(super) taken: Vec<Sqe>,
    /// What each enter was asked: entries to submit, and the wait.
    pub(super) enters: Vec<(u32, Wait)>,
    /// Reapable.
    pub(super) completions: VecDeque<Cqe>,
    /// Overflowed.
    pub(super) overflow: VecDeque<Cqe>,
    /// Deferred work waits.
    pub(super) taskrun: bool,
    /// The kernel's free buffers, published, oldest first.
    pub(super) buffers: VecDeque<u16>,
    /// Staged buffers.
    staged: Vec<u16>,
}

impl Script {
    /// Completes something now, or overflows.
    pub(super) fn complete(&mut self, cqe: Cqe) {
        if let Some(id) = io_uring::cqueue::buffer_select(cqe.flags)
            && cqe.result > 0
        {
            self.buffers.retain(|&free| free != id);
        }
        if self.completions.len() < self.completion_capacity && self.overflow.is_empty() {
            self.completions.push_back(cqe);
        } else {
            self.overflow.push_back(cqe);
        }
    }

    /// The user data of the cancels taken so far, by what they cancel.
    pub(super) fn cancelled(&self) -> Vec<Token> {
        let cancels = self.taken.iter().filter(|sqe| sqe.is_cancel());
        cancels.map(|sqe| Token::from_u64(sqe.address)).collect()
    }

    /// What has been pushed, taken or not, of `token`.
    pub(super) fn entry(&self, token: Token) -> Option<Sqe> {
        let all = self.taken.iter().chain(&self.queue);
        all.copied().rfind(|sqe| sqe.user_data == token.as_u64())
    }

    fn take(&mut self, count: u32) {
        for _ in 0..count {
            let Some(sqe) = self.queue.pop_front() else { break };
            if sqe.cancels_everything() && !self.deaf {
                self.end_everything();
            }
            self.taken.push(sqe);
        }
    }

    /// Ends with `ECANCELED` whatever was taken and has not been seen to end.
    fn end_everything(&mut self) {
        let armed: Vec<u64> =
            self.taken.iter().filter(|sqe| !sqe.is_cancel()).map(|sqe| sqe.user_data).collect();
        for user_data in armed {
            self.complete(Cqe { user_data, result: -libc::ECANCELED, flags: 0 });
        }
    }

    fn unload(&mut self) {
        self.taskrun = false;
        while self.completions.len() < self.completion_capacity {
            let Some(cqe) = self.overflow.pop_front() else { break };
            self.completions.push_back(cqe);
        }
    }
}

/// The ring that follows it; clones share the script.
#[derive(Clone)]
pub(super) struct ScriptedRing(Rc<RefCell<Script>>);

impl ScriptedRing {
    /// A ring of `capacity` submissions and room for 64 completions.
    pub(super) fn new(capacity: u32) -> Self {
        let script = Script { capacity, completion_capacity: 64, ..Script::default() };
        Self(Rc::new(RefCell::new(script)))
    }

    /// The script.
    pub(super) fn script(&self) -> RefMut<'_, Script> {
        self.0.borrow_mut()
    }
}

impl Ring for ScriptedRing {
    fn capacity(&self) -> u32 {
        self.script().capacity
    }

    fn unsubmitted(&self) -> u32 {
        self.script().queue.len() as u32
    }

    unsafe fn push(&mut self, entry: &Entry) -> Result<(), Full> {
        let mut script = self.script();
        if script.queue.len() == script.capacity as usize {
            return Err(Full);
        }
        script.queue.push_back(Sqe::of(entry));
        Ok(())
    }

    fn enter(&mut self, submit: u32, wait: Wait) -> io::Result<u32> {
        let mut script = self.script();
        script.enters.push((submit, wait));
        let turn = script.turns.pop_front().unwrap_or_default();
        if let Some(errno) = turn.fails {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let taken = submit.min(turn.takes.unwrap_or(u32::MAX));
        script.take(taken);
        script.unload();
        for cqe in turn.completes {
            script.complete(cqe);
        }
        Ok(taken)
    }

    fn reap(&mut self, mut each: impl FnMut(Cqe) -> bool) {
        while let Some(cqe) = { self.script().completions.pop_front() } {
            if !each(cqe) {
                break;
            }
        }
    }

    fn has_completions(&self) -> bool {
        !self.script().completions.is_empty()
    }

    fn wants_enter(&self) -> bool {
        self.script().taskrun || self.overflowed()
    }

    fn overflowed(&self) -> bool {
        !self.script().overflow.is_empty()
    }

    unsafe fn register(&mut self, _: &Pool) -> io::Result<()> {
        match self.script().refuses_pool {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }

    fn provide(&mut self, id: BufferId, _: *mut u8, _: u32) {
        let mut script = self.script();
        let twice = script.buffers.contains(&id.0) || script.staged.contains(&id.0);
        assert!(!twice, "buffer {} was provided twice", id.0);
        script.staged.push(id.0);
    }

    fn publish(&mut self) {
        let mut script = self.script();
        let staged = std::mem::take(&mut script.staged);
        script.buffers.extend(staged);
    }
}

//! Blocking work beside the loop: `offload`, and file operations where the driver has
//! none of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::config::Config;
use crate::core::Core;
use crate::driver::Op;
use crate::engine::ops::Phase;
use crate::inline_fn::Job;
use crate::mailbox::{Mailbox, Poster, Sleeper, mailbox};
use crate::offload::{Limits, Offload};
use crate::slab::Key;
use crate::sync::Arc;

/// The pool of blocking threads, and the way back from it.
pub(crate) struct Files {
    pool: RefCell<Offload>,
    /// Results on their way back. Has room for all that the pool may hold, so that a
    /// result always finds a place.
    back: RefCell<Mailbox<Done>>,
    poster: Poster<Done>,
    /// Operations that found the pool's queue full; tried again every turn.
    waiting: RefCell<VecDeque<Key>>,
}

/// An operation that the pool has performed.
struct Done {
    op: Key,
    result: i32,
}

/// An operation on its way to another thread.
struct Errand(Op);

// SAFETY: the memory that the operation names is owned by its slot, which is neither
// freed nor touched before the result has come back.
unsafe impl Send for Errand {}

impl Files {
    pub(crate) fn new(config: &Config, sleeper: Arc<Sleeper>) -> Self {
        let limits = Limits::new(config.offload_threads, config.offload_queue);
        let room = config.offload_queue + config.offload_threads;
        let (poster, back) = mailbox(room, sleeper);
        Self {
            pool: RefCell::new(Offload::new(limits)),
            back: RefCell::new(back),
            poster,
            waiting: RefCell::new(VecDeque::new()),
        }
    }

    /// Whether no result has come back and nothing waits for the pool.
    pub(crate) fn is_idle(&self) -> bool {
        self.back.borrow().is_empty() && self.waiting.borrow().is_empty()
    }

    /// Gives work to the pool; gives it back when its queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        self.pool.borrow_mut().submit(job)
    }
}

impl Core {
    /// Sends a file operation to the pool, now or in a later turn.
    pub(crate) fn send_to_pool(&self, key: Key) {
        let op = self.with(|engine| {
            let slot = engine.ops.get(key)?;
            (slot.phase == Phase::Offloaded).then_some(slot.op)
        });
        let Some(op) = op else { return };
        let errand = Errand(op);
        let poster = self.files.poster.clone();
        let job = Job::new(move || {
            let errand = errand;
            // SAFETY: see `Errand`: the memory is valid until the result is back.
            let result = unsafe { perform(&errand.0) };
            let _ = poster.post(Done { op: key, result });
        });
        if self.files.submit(job).is_err() {
            self.files.waiting.borrow_mut().push_back(key);
        }
    }

    /// Takes in what the pool has performed, and sends what waited for it.
    pub(crate) fn collect_files(self: &Rc<Self>) -> usize {
        let mut collected = 0;
        loop {
            let done = self.files.back.borrow_mut().take();
            let Some(done) = done else { break };
            self.with(|engine| engine.offloaded(done.op, done.result));
            collected += 1;
        }
        let waiting = self.files.waiting.borrow().len();
        for _ in 0..waiting {
            let key = self.files.waiting.borrow_mut().pop_front();
            if let Some(key) = key {
                self.send_to_pool(key);
            }
        }
        collected
    }
}

/// Performs a file operation, waiting as long as it takes.
///
/// # Safety
/// The memory that `op` names is valid.
unsafe fn perform(op: &Op) -> i32 {
    loop {
        // SAFETY: the caller's promise.
        let result = unsafe { call(op) };
        if result >= 0 {
            return i32::try_from(result).unwrap_or(i32::MAX);
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            errno => return -errno.unwrap_or(libc::EIO),
        }
    }
}

unsafe fn call(op: &Op) -> isize {
    // SAFETY: the caller promises that the memory is valid; lengths go with it.
    unsafe {
        match *op {
            Op::ReadAt { fd, buf, len, offset } => {
                libc::pread(fd, buf.cast(), len, offset as libc::off_t)
            }
            Op::WriteAt { fd, buf, len, offset } => {
                libc::pwrite(fd, buf.cast(), len, offset as libc::off_t)
            }
            Op::Fsync { fd, data_only: true } => libc::fdatasync(fd) as isize,
            Op::Fsync { fd, data_only: false } => libc::fsync(fd) as isize,
            Op::Open { path, flags, mode } => {
                libc::open(path, flags | libc::O_CLOEXEC, mode) as isize
            }
            _ => unreachable!("only file operations go to the pool"),
        }
    }
}

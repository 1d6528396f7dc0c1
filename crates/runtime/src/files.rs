//! Blocking work beside the loop: `offload`, and file operations where the driver has
//! none of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

use crate::config::Config;
use crate::core::Core;
use crate::driver::Op;
use crate::error::Error;
use crate::inline_fn::Job;
use crate::mailbox::{Mailbox, Poster, Sleeper, mailbox_for};
use crate::offload::{Limits, Offload};
use crate::slab::Key;
use crate::sync::Arc;

/// The pool of blocking threads, and the way back from it.
///
/// Of file operations no more than `limit` are *out*: in the pool's queue, being
/// performed, or on their way back. The pool's queue and the mailbox have room for so
/// many, so neither is ever full; all others wait here, in order.
pub(crate) struct Files {
    // Dropped first: its threads still post while they are waited for.
    pool: RefCell<Offload>,
    /// Results on their way back.
    back: RefCell<Mailbox<Done>>,
    poster: Poster<Done>,
    limit: usize,
    /// How many are out.
    out: Cell<usize>,
    /// Those that are to go out next. While any is here, `limit` others are out.
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
    pub(crate) fn new(config: &Config, sleeper: &Arc<Sleeper>) -> Result<Self, Error> {
        let limits = Limits::new(config.offload_threads, config.offload_queue);
        let (poster, back) = mailbox_for("offload_queue", limits.reserved, sleeper)?;
        Ok(Self {
            pool: RefCell::new(Offload::new(limits)),
            back: RefCell::new(back),
            poster,
            limit: limits.reserved,
            out: Cell::new(0),
            waiting: RefCell::new(VecDeque::with_capacity(config.operations)),
        })
    }

    /// Whether no result has come back. Nothing else is to be done: what waits for the
    /// pool waits for a result.
    pub(crate) fn is_idle(&self) -> bool {
        self.back.borrow().is_empty()
    }

    /// Gives work to the pool; gives it back when its queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        self.pool.borrow_mut().submit(job)
    }

    fn has_room(&self) -> bool {
        self.out.get() < self.limit
    }

    /// Gives an operation to the pool. False: there is no thread to perform it.
    fn send(&self, key: Key, op: Op) -> bool {
        assert!(self.has_room(), "a result that could find the mailbox full");
        let errand = Errand(op);
        let poster = self.poster.clone();
        let job = Job::new(move || {
            let errand = errand;
            // SAFETY: see `Errand`: the memory is valid until the result is back.
            let result = unsafe { perform(&errand.0) };
            let posted = poster.post(Done { op: key, result });
            assert!(posted.is_ok(), "there is room for all that are out");
        });
        let sent = self.pool.borrow_mut().submit_reserved(job).is_ok();
        self.out.set(self.out.get() + usize::from(sent));
        sent
    }

    /// Takes a result that has come back.
    fn receive(&self) -> Option<Done> {
        let done = self.back.borrow_mut().take()?;
        self.out.set(self.out.get() - 1);
        Some(done)
    }
}

impl Core {
    /// Sends a file operation to the pool, now or when there is room.
    pub(crate) fn send_to_pool(&self, key: Key) {
        if self.files.has_room() {
            self.send_or_end(key);
        } else {
            self.files.waiting.borrow_mut().push_back(key);
        }
    }

    /// Sends a file operation to the pool, unless it was asked to end in the meantime.
    fn send_or_end(&self, key: Key) {
        let pending = self.with(|engine| engine.ops.get(key).map(|slot| (slot.op, slot.ending)));
        let result = match pending {
            None => return,
            Some((_, Some(_))) => -libc::ECANCELED,
            Some((op, None)) if self.files.send(key, op) => return,
            Some(_) => -libc::ENOMEM,
        };
        self.with(|engine| engine.offloaded(key, result));
    }

    /// Takes in what the pool has performed, and sends what waited for it.
    pub(crate) fn collect_files(&self) -> usize {
        let mut collected = 0;
        while let Some(done) = self.files.receive() {
            self.with(|engine| engine.offloaded(done.op, done.result));
            collected += 1;
        }
        if collected > 0 {
            self.send_waiting();
        }
        collected
    }

    fn send_waiting(&self) {
        while self.files.has_room() {
            let next = self.files.waiting.borrow_mut().pop_front();
            let Some(key) = next else { return };
            self.send_or_end(key);
        }
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

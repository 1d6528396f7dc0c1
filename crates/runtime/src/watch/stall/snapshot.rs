//! Where a thread is, written down by a signal's handler on that thread.
//!
//! **What the handler does, and why that is safe in a signal.** It reads one thread-local
//! (initialised by a constant, without destructor, touched before by `attach`), makes
//! atomic operations on memory that was there before, and walks the stack with the
//! system's unwinder. The walk neither allocates nor prints. It looks up unwind tables;
//! glibc 2.35 and later do so without locks (`_dl_find_object`), older ones under a lock
//! that the same thread can take again. What it would set up on first use is set up by a
//! walk in `attach`. Symbols are resolved on the watcher's thread. `errno` is kept.
//! The remaining risk is an older C library on a thread that is stopped in the middle of
//! `dlopen`.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The default is to ignore it, so that one too many does no harm; debuggers pass it on.
const SIGNAL: libc::c_int = libc::SIGURG;

/// Frames written down at most.
const DEPTH: usize = 64;

/// How often, and how long each time, the watcher waits for the handler.
const PATIENCE: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// Nobody wants anything.
const IDLE: u32 = 0;
/// The watcher has asked.
const WANTED: u32 = 1;
/// The handler is writing.
const WRITING: u32 = 2;
/// The handler has written.
const READY: u32 = 3;

thread_local! {
    /// This thread's snapshot; null if it is not watched.
    static OWN: Cell<*const Snapshot> = const { Cell::new(ptr::null()) };
}

/// Room for the addresses on one stack, passed to and fro between watcher and handler.
pub(super) struct Snapshot {
    /// Whose turn it is. The watcher moves it from IDLE to WANTED and from READY to IDLE,
    /// the handler from WANTED over WRITING to READY.
    state: AtomicU32,
    /// Where the signal came in; 0 if unknown.
    interrupted: AtomicUsize,
    len: AtomicUsize,
    addresses: [AtomicUsize; DEPTH],
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            state: AtomicU32::new(IDLE),
            interrupted: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            addresses: [const { AtomicUsize::new(0) }; DEPTH],
        }
    }
}

/// Addresses on a stack, innermost first, without those of the handler.
pub(super) struct Collected {
    addresses: [usize; DEPTH],
    len: usize,
}

impl Collected {
    pub(super) fn addresses(&self) -> &[usize] {
        &self.addresses[..self.len]
    }
}

/// A thread that signals can be sent to.
#[derive(Clone, Copy)]
pub(super) struct Target(libc::pid_t);

impl Target {
    pub(super) fn this_thread() -> Self {
        Self(rustix::thread::gettid().as_raw_nonzero().get())
    }

    fn signal(self) -> bool {
        // SAFETY: sends a signal whose handler is ours; no memory is passed.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0, SIGNAL) == 0 }
    }
}

impl Snapshot {
    /// Has the thread write down where it is. `None` if it does not answer, or `stopped`.
    pub(super) fn take(&self, target: Target, stopped: impl Fn() -> bool) -> Option<Collected> {
        let asked = self.state.compare_exchange(IDLE, WANTED, Ordering::Relaxed, Ordering::Relaxed);
        if asked.is_err() || !target.signal() {
            self.withdraw();
            return None;
        }
        for _ in 0..PATIENCE {
            // Acquire: the addresses, from the handler's Release.
            if self.state.load(Ordering::Acquire) == READY {
                let collected = self.read();
                self.state.store(IDLE, Ordering::Relaxed);
                return Some(collected);
            }
            if stopped() {
                break;
            }
            thread::sleep(PAUSE);
        }
        self.withdraw();
        None
    }

    /// Takes the question back, unless the handler is at it; then its answer, which comes
    /// too late, is dropped by the next question.
    fn withdraw(&self) {
        for state in [WANTED, READY] {
            let _ = self.state.compare_exchange(state, IDLE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Collected {
        let len = self.len.load(Ordering::Relaxed).min(DEPTH);
        let all: [usize; DEPTH] =
            std::array::from_fn(|at| self.addresses[at].load(Ordering::Relaxed));
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        // The frames before are the handler's own.
        let first = all[..len].iter().position(|&address| address == interrupted).unwrap_or(0);
        let mut addresses = [0; DEPTH];
        addresses[..len - first].copy_from_slice(&all[first..len]);
        Collected { addresses, len: len - first }
    }

    /// Runs in the signal's handler.
    fn write(&self, interrupted: usize) {
        let wanted =
            self.state.compare_exchange(WANTED, WRITING, Ordering::Relaxed, Ordering::Relaxed);
        if wanted.is_err() {
            return;
        }
        let mut len = 0;
        walk(|address| {
            self.addresses[len].store(address, Ordering::Relaxed);
            len += 1;
            len < DEPTH
        });
        self.interrupted.store(interrupted, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        // Release: the addresses, to the watcher's Acquire.
        self.state.store(READY, Ordering::Release);
    }
}

fn walk(mut visit: impl FnMut(usize) -> bool) {
    // SAFETY: the unwinder itself may run on several threads at a time; what is not
    // synchronised is the resolving of symbols, which is not done here.
    unsafe { backtrace::trace_unsynchronized(|frame| visit(frame.ip().addr())) };
}

/// From now on signals to this thread fill `snapshot`, until [`detach`].
pub(super) fn attach(snapshot: &Snapshot) {
    // The first walk sets up what later ones, in the handler, only use.
    walk(|_| true);
    OWN.set(snapshot);
}

/// Signals to this thread find nothing to do any more.
pub(super) fn detach() {
    OWN.set(ptr::null());
}

/// Installs the signal's handler, once in a process.
pub(super) fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| install().map_err(|error| error.to_string()));
    installed.clone().map_err(io::Error::other)
}

fn install() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: all zero is a proper value of this plain structure.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handler as usize;
    ours.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART | libc::SA_SIGINFO;
    // SAFETY: as above.
    let mut theirs: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only.
    check(unsafe { libc::sigaction(SIGNAL, ptr::null(), &mut theirs) })?;
    if ![libc::SIG_DFL, libc::SIG_IGN].contains(&theirs.sa_sigaction) {
        return Err(io::Error::other(
            "SIGURG has a handler already, so blocked turns cannot be watched: remove it, or set `Config::stall` to `None`",
        ));
    }
    // SAFETY: the handler has the signature that SA_SIGINFO asks for and does only what
    // may be done in a signal; see the top of this file.
    check(unsafe { libc::sigaction(SIGNAL, &ours, ptr::null_mut()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let own = OWN.get();
    if own.is_null() {
        return;
    }
    // SAFETY: the location is this thread's and always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; `own` is valid until `detach`, on this very thread; the context
    // is the kernel's.
    unsafe {
        let kept = *errno;
        (*own).write(interrupted_at(context));
        *errno = kept;
    }
}

/// The instruction at which the signal came in.
///
/// # Safety
/// `context` must be what the kernel gave to a handler under SA_SIGINFO.
#[cfg(target_arch = "x86_64")]
unsafe fn interrupted_at(context: *mut libc::c_void) -> usize {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller vouches for it.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] as usize }
}

/// Not known on this processor: the handler's own frames stay in the list.
///
/// # Safety
/// None needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn interrupted_at(_: *mut libc::c_void) -> usize {
    0
}

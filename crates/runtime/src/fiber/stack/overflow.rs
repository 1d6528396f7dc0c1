//! Says in words that a fiber has overflown its stack, before the process ends by it.
//!
//! **What the handler does, and why that is safe in a signal.** It runs on a stack of its
//! own. It reads one thread-local (initialised by a constant, without destructor), compares
//! the address of the fault with ranges that were there before, puts a line together in a
//! buffer on its stack (`core::fmt` neither allocates nor locks), writes it, and aborts.
//! Every other fault goes to the handler that was there before, which finds what it would
//! have found without us. (In a shared library that is loaded late, a thread's first look at
//! the thread-local may allocate: a fault on a thread that never had a runtime then does that
//! in the handler.)

use std::cell::Cell;
use std::fmt::{self, Write};
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use super::memory::page_size;
use super::{Stack, Stacks};
use crate::alternate_stack::AlternateStack;

/// A guard page is reported by the first, and on some systems by the second.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// Bytes of a fiber's name that are told.
const NAME: usize = 256;

/// Passes the name of the fiber that runs on this thread, in any number of pieces. It is
/// called in a signal's handler: it may neither allocate nor lock.
pub(crate) type TellName = fn(&mut dyn FnMut(&str));

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

thread_local! {
    /// The stacks of this thread's fibers; null if it has none.
    static OWN: Cell<*const Watched> = const { Cell::new(ptr::null()) };
}

/// What was there before our handler, in the order of [`SIGNALS`].
static BEFORE: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

/// Stacks whose overflow is told, and whom to ask for the name.
struct Watched {
    zones: [Zone; 3],
    page: usize,
    name: TellName,
}

/// The stacks of one class.
struct Zone {
    class: Stack,
    /// Bytes that a fiber may use of each.
    size: usize,
    range: Range<usize>,
    /// From one stack to the next; each begins with its guard page.
    stride: usize,
}

/// Overflows on this thread are told until this is dropped, on this thread.
pub(crate) struct Attached {
    /// From a box; [`OWN`] of this thread points to it.
    watched: NonNull<Watched>,
    /// Where the handler runs.
    _stack: AlternateStack,
}

/// From now on an overflow of one of `stacks` by a fiber on this thread is told on standard
/// error, with what `name` gives as the fiber's name, and ends the process by `SIGABRT`.
///
/// The first call in a process takes over `SIGSEGV` and `SIGBUS` and passes on what is not
/// for us.
///
/// # Errors
/// If this thread has such stacks already, if there is no memory for the alternate stack,
/// or if the signals are refused.
pub(crate) fn attach(stacks: &Stacks, name: TellName) -> io::Result<Attached> {
    if !OWN.get().is_null() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    install_handler()?;
    let stack = AlternateStack::install()?;
    let watched = Watched { zones: zones(stacks), page: page_size(), name };
    let watched = NonNull::from(Box::leak(Box::new(watched)));
    OWN.set(watched.as_ptr());
    Ok(Attached { watched, _stack: stack })
}

impl Drop for Attached {
    fn drop(&mut self) {
        OWN.set(ptr::null());
        // SAFETY: from a box, and the only other pointer to it is gone.
        drop(unsafe { Box::from_raw(self.watched.as_ptr()) });
    }
}

fn zones(stacks: &Stacks) -> [Zone; 3] {
    Stack::ALL.map(|class| {
        let pool = &stacks.pools[class as usize];
        Zone { class, size: pool.size(), range: pool.range(), stride: pool.stride() }
    })
}

impl Watched {
    /// The stacks in one of whose guard pages `address` lies.
    fn guarding(&self, address: usize) -> Option<&Zone> {
        let zone = self.zones.iter().find(|zone| zone.range.contains(&address))?;
        ((address - zone.range.start) % zone.stride < self.page).then_some(zone)
    }
}

/// Installs the signals' handler, once in a process.
fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| install().map_err(|error| error.to_string()));
    installed.clone().map_err(io::Error::other)
}

fn install() -> io::Result<()> {
    // Known before our handler can need it.
    let before = [action(SIGNALS[0], None)?, action(SIGNALS[1], None)?];
    let before = BEFORE.get_or_init(|| before);
    for (signal, theirs) in SIGNALS.into_iter().zip(before) {
        let handler: Handler = on_fault;
        // Whoever we pass a fault on to has the same signals blocked as without us.
        let mut ours = *theirs;
        ours.sa_sigaction = handler as usize;
        ours.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO | (theirs.sa_flags & libc::SA_NODEFER);
        action(signal, Some(&ours))?;
    }
    Ok(())
}

/// What is done at a signal; from now on `new`, if any. Our handler, where it is given,
/// does only what may be done in a signal; see the top of this file.
fn action(signal: libc::c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all zero is a proper value of this plain structure.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both are null or proper values; a handler has the signature that its flags
    // ask for.
    match unsafe { libc::sigaction(signal, new, &mut before) } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let own = OWN.get();
    // SAFETY: the information is the kernel's, and this signal's has an address where it
    // says that the kernel found the fault; `own` is valid until it is null.
    unsafe {
        if !own.is_null()
            && is_fault(info)
            && let Some(zone) = (*own).guarding((*info).si_addr().addr())
        {
            tell(zone, (*own).name);
            std::process::abort();
        }
        pass_on(signal, info, context);
    }
}

/// Whether the kernel found a fault; otherwise somebody sent the signal.
///
/// # Safety
/// `info` must be what the kernel gave to a handler.
unsafe fn is_fault(info: *const libc::siginfo_t) -> bool {
    // SAFETY: the caller vouches for it.
    unsafe { (*info).si_code > 0 }
}

fn tell(zone: &Zone, name: TellName) {
    let mut line = Line::default();
    // A line that is full is cut: there is nobody to hand the error to.
    let _ = line.overflown(zone, name);
    let text = &line.bytes[..line.len];
    // SAFETY: passes bytes of ours.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// A line of text in fixed memory.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 1024], len: 0 }
    }
}

impl Line {
    fn overflown(&mut self, zone: &Zone, name: TellName) -> fmt::Result {
        self.write_str("tautline: the fiber `")?;
        let end = self.len + NAME;
        name(&mut |part| self.push(part, end));
        let Zone { class, size, .. } = zone;
        write!(self, "` has overflown its stack (class {class}: {size} bytes usable); ")?;
        match class {
            Stack::Small => {
                self.write_str("spawn it with a larger class, such as Stack::Medium")?
            }
            Stack::Medium => self.write_str("spawn it with a larger class, Stack::Large")?,
            Stack::Large => self.write_str("have it call less deeply")?,
        }
        writeln!(self, ", or raise Config::stacks.{class}.size")
    }

    /// Adds what fits before `end`.
    fn push(&mut self, text: &str, end: usize) {
        let room = end.min(self.bytes.len()).saturating_sub(self.len);
        let text = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..][..text.len()].copy_from_slice(text);
        self.len += text.len();
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text, self.bytes.len());
        Ok(())
    }
}

/// Does what was done at this signal before our handler was there.
///
/// # Safety
/// The arguments must be those of the kernel to our handler.
unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let at = SIGNALS.iter().position(|&ours| ours == signal);
    let before = at.and_then(|at| Some(&BEFORE.get()?[at]));
    // SAFETY: passed on.
    let fault = unsafe { is_fault(info) };
    match before.map_or(libc::SIG_DFL, |before| before.sa_sigaction) {
        libc::SIG_IGN if !fault => {}
        // A fault that is ignored would come for ever: the kernel does not ignore it.
        libc::SIG_DFL | libc::SIG_IGN => end_by(signal, fault),
        // SAFETY: a handler that is neither of those is a function, and its signature is
        // the one that its flags ask for; the arguments are the kernel's.
        handler => unsafe {
            if before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0) {
                std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
            } else {
                std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal);
            }
        },
    }
}

/// Has the signal do what it does by default, once the handler returns: a fault comes
/// again by itself, a signal that was sent is sent once more.
fn end_by(signal: libc::c_int, fault: bool) {
    // SAFETY: all zero is a proper value of this plain structure, and the default action.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    if action(signal, Some(&default)).is_err() {
        std::process::abort();
    }
    if !fault {
        // SAFETY: sends a signal; no memory is passed.
        unsafe { libc::raise(signal) };
    }
}

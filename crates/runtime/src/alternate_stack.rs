//! A stack of its own for a signal's handler: the thread may be on a small fiber stack, or
//! at the end of its own.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Room for the handler and the unwinder, besides what the kernel puts there.
const ROOM: usize = 64 << 10;

/// The alternate signal stack of the thread that made it, until dropped on that thread.
/// Of several the one made last is in force; they are dropped in reverse.
pub(crate) struct AlternateStack {
    /// The stack itself. Never read here.
    memory: Box<[MaybeUninit<u8>]>,
    /// What the thread had before.
    previous: libc::stack_t,
}

impl AlternateStack {
    pub(crate) fn install() -> io::Result<Self> {
        let size = ROOM + kernel_frame();
        let mut memory = Box::new_uninit_slice(size);
        let ours = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: size };
        // SAFETY: the memory is ours for as long as the kernel knows of it: `drop` puts
        // the previous stack back before it is freed.
        let previous = unsafe { exchange(&ours) }?;
        Ok(Self { memory, previous })
    }
}

impl AlternateStack {
    /// Whether it is the one that the kernel knows of.
    fn in_force(&self) -> bool {
        // SAFETY: asks only.
        let current = unsafe { sigaltstack(ptr::null()) };
        current.is_ok_and(|current| ptr::eq(current.ss_sp, self.memory.as_ptr().cast()))
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        // SAFETY: that stack was in force before ours, and whoever installed it keeps it
        // for the thread's lifetime.
        if !self.in_force() || unsafe { exchange(&self.previous) }.is_err() {
            // The kernel still points at our memory, or will do so again when the stack
            // that was installed over ours goes: rather lose it than have it reused.
            std::mem::forget(std::mem::take(&mut self.memory));
        }
    }
}

/// Installs an alternate stack for this thread, returns the one before.
///
/// # Safety
/// The memory must stay valid until another stack is installed.
unsafe fn exchange(stack: &libc::stack_t) -> io::Result<libc::stack_t> {
    // SAFETY: a proper value; the caller vouches for the memory.
    unsafe { sigaltstack(stack) }
}

/// Installs `new` unless it is null, returns what was in force before.
///
/// # Safety
/// `new` must be null or as [`exchange`] asks for.
unsafe fn sigaltstack(new: *const libc::stack_t) -> io::Result<libc::stack_t> {
    let mut previous = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: both are null or point to proper values; the caller vouches for the memory.
    match unsafe { libc::sigaltstack(new, &mut previous) } {
        0 => Ok(previous),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the kernel itself puts on a signal's stack: the registers, which are many on
/// processors with wide vectors.
fn kernel_frame() -> usize {
    // SAFETY: reads the auxiliary vector; unknown entries are 0.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    told.max(libc::MINSIGSTKSZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> libc::stack_t {
        // SAFETY: asks only.
        unsafe { sigaltstack(ptr::null()) }.unwrap()
    }

    /// While it lives it is in force; afterwards the thread has what it had before.
    #[test]
    fn the_previous_stack_comes_back() {
        let before = current();
        let stack = AlternateStack::install().expect("memory");
        assert_ne!(current().ss_sp, before.ss_sp);
        assert!(current().ss_size >= ROOM);
        drop(stack);
        assert_eq!((current().ss_sp, current().ss_size), (before.ss_sp, before.ss_size));
    }

    /// Dropped in the wrong order, the outer one's memory stays valid, because the inner
    /// one puts it back in force.
    #[test]
    fn the_wrong_order_leaves_no_dangling_stack() {
        let outer = AlternateStack::install().expect("memory");
        let at = current().ss_sp;
        let inner = AlternateStack::install().expect("memory");
        drop(outer);
        assert_ne!(current().ss_sp, at, "the inner one is in force still");
        drop(inner);
        assert_eq!(current().ss_sp, at);
        // SAFETY: the memory was lost on purpose, so it is still there.
        unsafe { at.cast::<u8>().write_volatile(1) };
    }
}

//! What is to be done when the process exits: records that nobody has read yet would be lost.

use std::ffi::c_int;
use std::io;

// SAFETY: the C library has it, with this signature: a function pointer, and an int.
unsafe extern "C" {
    // Any function may be handed over at any time; it is kept by its address, and functions stay.
    safe fn atexit(run: extern "C" fn()) -> c_int;
}

/// Has `run` called when the process exits: when `main` returns, and in
/// [`std::process::exit`], where no value is dropped. Not when it aborts, is killed, or leaves by
/// `_exit`. What was registered last is called first.
///
/// It is called on the thread that exits, whose thread-local variables are gone by then, while all
/// other threads still run. A panic in it aborts the process. A child that is made by `fork` calls
/// it too when it exits.
///
/// # Errors
/// When the C library has no memory to remember it.
///
/// ```
/// extern "C" fn last_words() {
///     // ... hand on what is kept back, within a time
/// }
/// tautline_bus::record::at_exit(last_words)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn at_exit(run: extern "C" fn()) -> io::Result<()> {
    match atexit(run) {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

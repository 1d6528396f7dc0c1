//! Which fibers there are, told when a signal asks for it.

use std::io::{self, Write};

use tautline_runtime::{Conn, fiber, offload};

use crate::{Signal, Signals};

/// Writes [`fiber::overview`] to standard error whenever `signal` comes; usually that is
/// [`Signal::USER_1`]. A fiber or handler that holds the loop up delays it: that one is named by
/// the loop's watch. Closing the name that is returned ends it.
///
/// # Errors
/// As [`Signals::new`].
///
/// ```
/// # use tautline_net::{Signal, fiber::list_on};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// list_on(Signal::USER_1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_on(signal: Signal) -> io::Result<Conn> {
    Signals::new([signal])?.on_signal(|_| -> io::Result<()> {
        let overview = fiber::overview()?;
        // Beside the loop, for nobody may be reading.
        offload(move || io::stderr().write_all(overview.as_bytes())).then(drop)?;
        Ok(())
    })
}

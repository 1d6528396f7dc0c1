//! SIGINT and SIGTERM end the relay in order, a second one at once.

use std::io;
use std::rc::Rc;

use tautline_net::{Signal, Signals};
use tautline_runtime::task;

use super::ending::Ending;

/// Tells `ending` of each signal, as long as the loop runs.
pub(super) fn on_end(ending: &Rc<Ending>) -> io::Result<()> {
    let ending = ending.clone();
    let mut signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
    task::spawn(async move {
        while signals.next().await.is_ok() {
            ending.interrupt();
        }
    })?;
    Ok(())
}

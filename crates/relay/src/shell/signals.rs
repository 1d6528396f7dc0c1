//! SIGINT and SIGTERM end the relay in order, a second one at once; SIGUSR1 lists its fibers.

use std::io;
use std::rc::Rc;

use tautline_net::{Signal, Signals, fiber::list_on};
use tautline_runtime::task;

use super::ending::Ending;

/// Heeds signals as long as the loop runs, and tells `ending` of those that are to end it.
pub(super) fn listen(ending: &Rc<Ending>) -> io::Result<()> {
    let ending = ending.clone();
    let mut signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
    task::spawn(async move {
        while signals.next().await.is_ok() {
            ending.interrupt();
        }
    })?;
    list_on(Signal::USER_1)?;
    Ok(())
}

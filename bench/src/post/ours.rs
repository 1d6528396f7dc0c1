//! Tautline's mailbox.

use std::{cell::RefCell, io, ops::ControlFlow, sync::mpsc::Sender};

use tautline_runtime::{Config, Remote, Runtime, WaitMode, stop};

use super::{CAPACITY, Mailbox, Poster, Row, contender};
use crate::harness::{Contender, Role};

/// The default configuration, spinning.
pub(super) fn contenders(row: Row) -> Vec<Contender> {
    vec![contender::<Loop>("tautline", Role::Tautline, row)]
}

struct Loop;

type Handler = Box<dyn FnMut(u64) -> ControlFlow<()>>;

thread_local! {
    /// What the loop of this thread does with a message.
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

fn deliver(message: u64) {
    let flow = HANDLER.with_borrow_mut(|handler| handler.as_mut().map(|handle| handle(message)));
    if flow == Some(ControlFlow::Break(())) {
        let _ = stop();
    }
}

impl Poster for Remote {
    fn post(&mut self, message: u64) -> bool {
        Remote::post(self, move || deliver(message)).is_ok()
    }
}

impl Mailbox for Loop {
    type Poster = Remote;

    fn serve<H>(ready: Sender<Remote>, handler: H) -> io::Result<()>
    where
        H: FnMut(u64) -> ControlFlow<()> + Send + 'static,
    {
        let config = Config { wait: WaitMode::Spin, mailbox: CAPACITY, ..Config::default() };
        let runtime = Runtime::new(config).map_err(io::Error::other)?;
        HANDLER.set(Some(Box::new(handler)));
        if ready.send(runtime.remote()).is_err() {
            return Ok(());
        }
        let ran = runtime.run().map_err(io::Error::other);
        HANDLER.set(None);
        ran
    }
}

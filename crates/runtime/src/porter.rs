//! What other processes have for this loop: its doorbell, watched for as long as anybody on the loop
//! waits for one of them.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use tautline_bus::shared::doorbell::{self, Doorbell, SLICE};

use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::timer;

/// The loop's doorbell.
#[derive(Default)]
pub(crate) struct Porter {
    /// Made when something first waits for another process. `None`: there is none to be had.
    doorbell: OnceCell<Option<Rc<Doorbell>>>,
    /// A task answers it.
    attends: Cell<bool>,
}

/// From now on, what waits on this thread for another process is woken by its loop.
pub(crate) fn hang() {
    doorbell::hang(Some(ours));
}

/// This thread has no loop any more.
pub(crate) fn take_down() {
    doorbell::hang(None);
}

/// The doorbell of this thread's loop, which is answered. Where the world is simulated there are no
/// other processes.
fn ours() -> Option<Rc<Doorbell>> {
    let core = Core::current().ok()?;
    let porter = &core.porter;
    if core.simulated {
        return None;
    }
    let doorbell = porter.doorbell.get_or_init(|| Doorbell::new().ok().map(Rc::new)).clone()?;
    if !porter.attends.get() {
        let attend = Box::pin(attend(core.clone(), doorbell.clone()));
        core.tasks.spawn(attend, "the doorbell").ok()?;
        porter.attends.set(true);
    }
    Some(doorbell)
}

/// No one attends any more, however that ends.
struct Attends(Rc<Core>);

impl Drop for Attends {
    fn drop(&mut self) {
        self.0.porter.attends.set(false);
    }
}

/// Answers the doorbell until nobody has waited for it for some time.
async fn attend(core: Rc<Core>, doorbell: Rc<Doorbell>) {
    let _attends = Attends(core);
    if let Err(error) = answer(&doorbell).await {
        log::error!("what waits for other processes is looked after no more: {error}");
    }
    // Those who are left look for themselves.
    doorbell.answer();
}

async fn answer(doorbell: &Doorbell) -> io::Result<()> {
    let socket = Descriptor::new(doorbell.as_fd().try_clone_to_owned()?)?;
    loop {
        let rung = timer::timeout(SLICE, socket.readable()).await;
        match rung {
            Ok(readable) => readable?,
            Err(error) if error.kind() != io::ErrorKind::TimedOut => return Err(error),
            Err(_) if !doorbell.is_awaited() => return Ok(()),
            // Somebody may have been killed before it rang.
            Err(_) => {}
        }
        doorbell.answer();
    }
}

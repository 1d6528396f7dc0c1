//! What other processes have for this loop: its doorbell, watched for as long as anybody on the loop
//! waits for one of them.
//!
//! Where there is no descriptor left for a doorbell, or to watch it by, the loop looks every [`SLICE`]
//! instead, and tries to get one each time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tautline_bus::shared::doorbell::{self, Doorbell, SLICE, UNHEARD};

use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::timer;

/// The loop's doorbell.
#[derive(Default)]
pub(crate) struct Porter {
    /// Made when something first waits for another process.
    doorbell: RefCell<Option<Rc<Doorbell>>>,
    /// Those who have come to wait while there was none, each once.
    unheard: RefCell<Vec<Waker>>,
    /// A task answers it.
    attends: Cell<bool>,
    /// That something is amiss was told, and it was not well since.
    has_told: Cell<bool>,
}

/// From now on, what waits on this thread for another process is woken by its loop.
pub(crate) fn hang() {
    doorbell::hang(Some(expect));
}

/// This thread has no loop any more.
pub(crate) fn take_down() {
    doorbell::hang(None);
}

/// Leaves a waker with this thread's loop, which looks after it. Where the world is simulated there
/// are no other processes.
fn expect(waker: &Waker) -> Option<u64> {
    let core = Core::current().ok()?;
    if core.simulated {
        return None;
    }
    if !core.porter.attends.get() {
        core.tasks.spawn(Box::pin(attend(core.clone())), "the doorbell").ok()?;
        core.porter.attends.set(true);
    }
    Some(core.porter.expect(waker))
}

impl Porter {
    /// The doorbell, if there is one to be had.
    fn doorbell(&self) -> io::Result<Rc<Doorbell>> {
        let mut kept = self.doorbell.borrow_mut();
        if let Some(doorbell) = &*kept {
            return Ok(doorbell.clone());
        }
        Ok(kept.insert(Rc::new(Doorbell::new()?)).clone())
    }

    fn expect(&self, waker: &Waker) -> u64 {
        if let Ok(doorbell) = self.doorbell() {
            return doorbell.expect(waker);
        }
        let mut unheard = self.unheard.borrow_mut();
        if !unheard.iter().any(|other| other.will_wake(waker)) {
            unheard.push(waker.clone());
        }
        UNHEARD
    }

    /// By what the loop watches the doorbell.
    fn socket(&self) -> io::Result<Descriptor> {
        Descriptor::new(self.doorbell()?.as_fd().try_clone_to_owned()?)
    }

    fn is_awaited(&self) -> bool {
        let doorbell = self.doorbell.borrow();
        doorbell.as_ref().is_some_and(|doorbell| doorbell.is_awaited())
            || !self.unheard.borrow().is_empty()
    }

    /// Wakes all who wait.
    fn answer(&self) {
        let doorbell = self.doorbell.borrow().clone();
        if let Some(doorbell) = doorbell {
            doorbell.answer();
        }
        // Not borrowed while they are woken: they may come to wait again.
        let unheard = self.unheard.take();
        unheard.into_iter().for_each(Waker::wake);
    }

    /// Says what is amiss, once until it is well again.
    fn tell(&self, error: &io::Error) {
        if !self.has_told.replace(true) {
            log::warn!(
                "what waits for other processes is not woken by them, and looks every {SLICE:?}: \
                 {error}"
            );
        }
    }
}

/// No one attends any more, however that ends.
struct Attends(Rc<Core>);

impl Drop for Attends {
    fn drop(&mut self) {
        self.0.porter.attends.set(false);
    }
}

/// Answers the doorbell until nobody has waited for it for some time.
async fn attend(core: Rc<Core>) {
    let attends = Attends(core);
    let porter = &attends.0.porter;
    let mut socket = None;
    loop {
        if socket.is_none() {
            match porter.socket() {
                Ok(found) => socket = Some(found),
                Err(error) => porter.tell(&error),
            }
        }
        match is_rung(socket.as_ref()).await {
            Ok(true) => porter.has_told.set(false),
            Ok(false) if !porter.is_awaited() => return,
            // Somebody may have been killed before it rang.
            Ok(false) => {}
            Err(error) => {
                porter.tell(&error);
                socket = None;
                // Whatever it lacks, it looks as seldom as it can.
                if is_rung(None).await.is_err() {
                    pass_a_turn().await;
                }
                if !porter.is_awaited() {
                    return;
                }
            }
        }
        porter.answer();
    }
}

/// Waits until the doorbell is rung; `false`: nobody has rung for some time.
async fn is_rung(socket: Option<&Descriptor>) -> io::Result<bool> {
    let Some(socket) = socket else {
        timer::sleep(SLICE).await?;
        return Ok(false);
    };
    match timer::timeout(SLICE, socket.readable()).await {
        Ok(readable) => readable.map(|_| true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}

/// Goes on in the next turn.
async fn pass_a_turn() {
    let mut has_passed = false;
    poll_fn(|context| {
        if has_passed {
            return Poll::Ready(());
        }
        has_passed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! The persistent handlers of a descriptor.

use std::io;

use crate::Error;
use crate::conn::Conn;
use crate::core::Core;
use crate::descriptor::Descriptor;

/// Sees received bytes where they were received.
pub(crate) type OnData = Box<dyn FnMut(&Conn, &[u8]) -> io::Result<()>>;
/// Takes accepted descriptors.
pub(crate) type OnAccept = Box<dyn FnMut(Descriptor) -> io::Result<()>>;
/// Takes what is ready; says whether it took everything.
pub(crate) type OnReadable = Box<dyn FnMut(&Conn) -> io::Result<Drained>>;
/// Is told that there is room for sending again.
pub(crate) type OnWritable = Box<dyn FnMut(&Conn) -> io::Result<()>>;
/// Is told of the end, once: `Ok` at the peer's orderly end.
pub(crate) type OnClose = Box<dyn FnOnce(&Conn, io::Result<()>)>;

/// Whether a readiness handler has taken all that was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// A call would have blocked: nothing is left. While its descriptor is
    /// [hot](Conn::is_hot), the handler is called in the next turn all the same.
    Yes,
    /// More may be there; the handler wants to be called again in the next turn.
    No,
}

/// A handler and the name it goes by in reports.
pub(crate) struct Named<F> {
    pub(crate) name: &'static str,
    pub(crate) call: F,
}

/// What is registered with a descriptor. A handler is absent while it runs.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) data: Option<Named<OnData>>,
    pub(crate) accept: Option<Named<OnAccept>>,
    pub(crate) readable: Option<Named<OnReadable>>,
    pub(crate) writable: Option<Named<OnWritable>>,
    pub(crate) close: Option<Named<OnClose>>,
    /// The stream stays open for sending after the peer's end.
    pub(crate) half_open: bool,
    /// A handler that feeds on a pump was registered.
    pub(crate) pumped: bool,
    /// It takes what is there by itself, and is only told that something is.
    pub(crate) by_readiness: bool,
    /// Its own look is the cheapest way to find out whether there is anything.
    pub(crate) looks_itself: bool,
}

impl Handlers {
    /// Whether the descriptor is to be received from on their behalf.
    pub(crate) fn wants_pump(&self) -> bool {
        self.pumped
    }
}

/// What a handler may return: nothing, how many bytes a write of it has taken, or a result of
/// either. An error closes the descriptor and reaches its close handler, and so does the count
/// of a write that fell short, for the rest would be lost in silence: [`Error::NotTaken`].
pub trait Outcome {
    /// As the loop sees it.
    ///
    /// # Errors
    /// What the handler returned; [`Error::NotTaken`].
    fn into_result(self) -> io::Result<()>;
}

impl Outcome for () {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

/// For the handler that gives what it accepted a handler of its own.
impl Outcome for Conn {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

impl Outcome for usize {
    fn into_result(self) -> io::Result<()> {
        match Core::try_current(|core| core.fell_short.take()).flatten() {
            Some((taken, of)) if taken == self => Err(Error::NotTaken { taken, of }.into()),
            _ => Ok(()),
        }
    }
}

impl<T: Outcome> Outcome for io::Result<T> {
    fn into_result(self) -> io::Result<()> {
        self?.into_result()
    }
}

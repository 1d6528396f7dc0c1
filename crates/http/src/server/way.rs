//! The way from a request to its connection, for whoever speaks another protocol there.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Version};
use send_wrapper::SendWrapper;
use tautline_net::Link;
use tautline_runtime::task;

use super::carry::carry;
use super::under_way::UnderWay;

/// Gets a connection, and the bytes that were read of it beyond the request.
pub(crate) type Taker = Box<dyn FnOnce(Link, &[u8]) -> io::Result<()>>;

/// Who takes a connection over once its answer has been written.
#[derive(Default)]
pub(super) struct Slot {
    taker: RefCell<Option<Taker>>,
}

impl Slot {
    pub(super) fn take(&self) -> Option<Taker> {
        self.taker.take()
    }
}

/// In the extensions of a request: the way to its connection. Requests can be named where `Send` is
/// asked for; used on another thread, it panics.
#[derive(Clone)]
pub(crate) struct Way(SendWrapper<Sort>);

#[derive(Clone)]
enum Sort {
    /// The connection itself.
    Whole(Rc<Slot>),
    /// A stream of HTTP/2, which is under way as long as it is carried.
    Stream { granted: OnUpgrade, under_way: Rc<UnderWay> },
}

impl Way {
    /// `None`: this request can have none.
    pub(super) fn of<B>(
        request: &Request<B>,
        slot: &Rc<Slot>,
        under_way: &Rc<UnderWay>,
    ) -> Option<Self> {
        if request.version() < Version::HTTP_2 {
            return Some(Self(SendWrapper::new(Sort::Whole(slot.clone()))));
        }
        request.extensions().get::<Protocol>()?;
        let granted = request.extensions().get::<OnUpgrade>()?.clone();
        let under_way = under_way.clone();
        Some(Self(SendWrapper::new(Sort::Stream { granted, under_way })))
    }

    /// Has `taker` get the connection once the answer that grants it has left, and never if another
    /// is given.
    ///
    /// # Errors
    /// When there is no room for another stream.
    pub(crate) fn give(&self, taker: Taker) -> io::Result<()> {
        match &*self.0 {
            Sort::Whole(slot) => drop(slot.taker.replace(Some(taker))),
            Sort::Stream { granted, under_way } => {
                let (granted, under_way) = (granted.clone(), under_way.clone());
                drop(task::spawn(async move {
                    if let Err(error) = carry(granted, taker).await {
                        log::debug!("a stream of HTTP/2 was left: {error}");
                    }
                    drop(under_way);
                })?);
            }
        }
        Ok(())
    }
}

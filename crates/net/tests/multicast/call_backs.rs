//! Read buffers that go back to a region on which somebody waits who calls back into the peer.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tautline_bus::Local;
use tautline_bus::pool::Draft;
use tautline_net::Conn;
use tautline_net::multicast::{ReadBuffers, ReadEvent};

use crate::common::until;
use crate::support::{SOON, everywhere_and_simulated, joined, on_every_driver, region, sender};

/// Whom to call back, how often that was done, and what it has brought.
#[derive(Default)]
struct Called {
    peer: RefCell<Option<ReadBuffers>>,
    count: Cell<u32>,
    taken: RefCell<Vec<Draft<[u8], Local>>>,
}

thread_local! {
    static CALLED: Called = Called::default();
}

/// A waker that calls back into the peer, both when it wakes and when it is dropped.
struct CallsBack;

impl CallsBack {
    fn of(buffers: &ReadBuffers) -> Waker {
        CALLED.with(|called| {
            called.peer.replace(Some(buffers.clone()));
            called.count.set(0);
        });
        Waker::from(Arc::new(Self))
    }

    /// Takes the buffer back that is named.
    fn call() {
        CALLED.with(|called| {
            if let Some(buffers) = &*called.peer.borrow() {
                called.taken.borrow_mut().extend(buffers.take());
                called.count.set(called.count.get() + 1);
            }
        });
    }

    fn count() -> u32 {
        CALLED.with(|called| called.count.get())
    }

    /// Nobody is called any more, and what was taken is given back.
    fn over() {
        CALLED.with(|called| {
            called.peer.take();
            drop(called.taken.take());
        });
    }
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        Self::call();
    }
}

impl Drop for CallsBack {
    fn drop(&mut self) {
        Self::call();
    }
}

/// A peer whose region is taken away gives back what it has kept of it; whoever waits for that may call
/// the peer at once.
#[test]
fn who_gets_the_buffers_of_a_region_taken_away_may_call_the_peer() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(4, 64));
        peer.read_from(region.borrower().unwrap());
        sender("127.0.0.1").try_send_to(b"tick", to)?;
        assert_eq!(&peer.receive().await?[..], b"tick");
        assert!(peer.try_receive().is_err(), "it keeps a buffer for the next one");
        let mut other = region.borrower().unwrap();
        let held: Vec<_> = std::iter::from_fn(|| other.try_loan().ok()).collect();
        assert_eq!(held.len(), 3);
        let waker = CallsBack::of(&peer.read_buffers());
        assert!(other.poll_loan(&mut Context::from_waker(&waker)).is_pending());
        assert!(peer.read_from(None).is_some());
        assert!(CallsBack::count() > 0 && other.try_loan().is_ok());
        CallsBack::over();
        Ok(())
    });
}

/// When nothing more is there, a handler's peer gives back the buffers that it has no use for; whoever
/// waits for them may call the peer at once.
#[test]
fn who_gets_the_buffers_of_an_idle_peer_may_call_it() {
    on_every_driver(|runtime| {
        let ((peer, to), region) = (joined(), region(64, 64));
        peer.read_from(region.borrower().unwrap());
        let (buffers, sender) = (peer.read_buffers(), sender("127.0.0.1"));
        let mut other = region.borrower().unwrap();
        let (mut held, seen) = (Vec::new(), Rc::new(Cell::new(0)));
        let (mut kept, count) = (Vec::new(), seen.clone());
        peer.on_received(move |_: &Conn, event| {
            let ReadEvent::Datagram(received) = event else { panic!("there are buffers") };
            count.set(count.get() + 1);
            if received[..] == *b"last" {
                // All that is left, but for those that the peer has taken out for this receive.
                held.extend(std::iter::from_fn(|| other.try_loan().ok()));
                let waker = CallsBack::of(&buffers);
                assert!(other.poll_loan(&mut Context::from_waker(&waker)).is_pending());
                kept.push(received);
            }
        })
        .unwrap();
        // So that the peer has learned to take 32 at once when two are left: it has had 2, 4, 8, 16.
        for n in 0..30 {
            sender.try_send_to(&[n], to).unwrap();
        }
        sender.try_send_to(b"one more", to).unwrap();
        sender.try_send_to(b"last", to).unwrap();
        until(runtime, || seen.get() == 32);
        runtime.run_for(SOON).unwrap();
        assert!(CallsBack::count() > 0, "nothing was given back");
        CallsBack::over();
    });
}

/// Who waits for a buffer with a new waker has the one before dropped, which may call the peer at once.
#[test]
fn a_waker_that_is_replaced_may_call_the_peer() {
    everywhere_and_simulated(async || {
        let ((peer, _), region) = (joined(), region(1, 64));
        let draft = region.borrower().unwrap().try_loan().unwrap();
        peer.read_from(region.borrower().unwrap());
        let buffers = peer.read_buffers();
        let mut waits = pin!(buffers.available());
        let waker = CallsBack::of(&buffers);
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        // It is woken, which takes the buffer away again: the region alone has the waker now.
        buffers.set(draft);
        assert_eq!((CallsBack::count(), region.available()), (1, 0));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(CallsBack::count(), 2, "it was dropped");
        CallsBack::over();
        assert_eq!(waits.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
        Ok(())
    });
}

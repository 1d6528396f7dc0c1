//! What outlives a runtime hears that it is gone, and holds on to nothing of it.

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{REAL, small};
use futures::FutureExt;
use tautline_runtime::{Config, Descriptor, Error, PostError, Runtime, remote, task, timer};

fn runtimes() -> impl Iterator<Item = Runtime> {
    REAL.into_iter().map(|driver| Runtime::new(Config { driver, ..small() }).unwrap())
}

/// Work that was posted and not done is dropped; what is posted from then on comes back.
#[test]
fn posts_come_back() {
    for runtime in runtimes() {
        let remote = remote().unwrap();
        let (kept, held) = (Arc::new(()), Arc::new(()));
        let (posted, late) = (kept.clone(), held.clone());
        remote.post(move || drop(posted)).unwrap();
        drop(runtime);
        assert_eq!(Arc::strong_count(&kept), 1, "dropped with the mailbox");
        let refused = remote.post(move || drop(late)).unwrap_err();
        assert!(matches!(refused, PostError::Closed(_)));
        refused.into_message().run();
        assert_eq!(Arc::strong_count(&held), 1, "the work came back and could be done");
    }
}

/// Counts its calls.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An operation that is awaited by another executor when its runtime goes is woken, and
/// gives its buffer back with an error; one that was done by then gives its result.
#[test]
fn operations_answer() {
    for runtime in runtimes() {
        let (a, b) = Descriptor::pair().unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut first, mut second) = (b.read(vec![0; 4]), b.read(vec![7; 4]));
        assert!(first.poll_unpin(&mut cx).is_pending() && second.poll_unpin(&mut cx).is_pending());
        a.conn().try_write(b"abc").unwrap();
        runtime.poll().unwrap();
        drop(runtime);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        let Poll::Ready((Ok(3), bytes)) = first.poll_unpin(&mut cx) else { panic!("it was done") };
        assert_eq!(&bytes[..3], b"abc");
        let Poll::Ready((Err(error), bytes)) = second.poll_unpin(&mut cx) else {
            panic!("it is over")
        };
        assert_eq!((error.kind(), bytes), (io::ErrorKind::NotConnected, vec![7; 4]));
    }
}

/// Nothing can be started while a runtime goes, or on what is left of it afterwards.
#[test]
fn nothing_starts_any_more() {
    struct Late(Rc<Cell<u32>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let spawned = task::spawn(async {}).map(drop);
            let armed = timer::after(std::time::Duration::ZERO, || ()).map(drop);
            let opened = Descriptor::pair().map(drop);
            assert!(matches!((spawned, armed), (Err(Error::Closed), Err(Error::Closed))));
            assert!(opened.is_err());
            self.0.set(self.0.get() + 1);
        }
    }
    for runtime in runtimes() {
        let dropped = Rc::new(Cell::new(0));
        let late = Late(dropped.clone());
        drop(task::spawn(async move {
            std::future::pending::<()>().await;
            drop(late);
        }));
        runtime.poll().unwrap();
        let (a, _b) = Descriptor::pair().unwrap();
        drop(runtime);
        assert_eq!(dropped.get(), 1);
        let held = Rc::new(());
        let callback = held.clone();
        a.read(vec![0; 4]).then(move |_| drop(callback));
        assert_eq!(Rc::strong_count(&held), 1, "dropped uncalled");
    }
}

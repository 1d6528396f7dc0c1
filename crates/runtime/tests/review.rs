//! Sequences that a reading of the code found broken, each kept as a test.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{everywhere, listener, tcp};
use futures::FutureExt;
use tautline_runtime::{Descriptor, Error, Runtime, timer};

/// A handler that is displaced, or comes too late, may hold a descriptor: its drop
/// reaches the engine.
#[test]
fn handlers_may_hold_descriptors() {
    everywhere(|_| {
        let (a, b) = Descriptor::pair().unwrap();
        let (c, d) = Descriptor::pair().unwrap();
        a.conn().on_writable(move |_| assert!(c.conn().is_open()));
        a.conn().on_writable(|_| ());
        a.conn().close();
        a.conn().on_close(move |_, _| drop(d));
        drop(b);
    });
}

/// A send that fails leaves what was received to be read, where the user holds the stream.
#[test]
fn a_failed_send_leaves_the_stream_readable() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        b.conn().write(b"answer").unwrap();
        b.conn().flush();
        b.shutdown(Shutdown::Read).unwrap();
        a.conn().write(b"question").unwrap();
        runtime.poll().unwrap();
        let (read, bytes) = runtime.block_on(a.read(vec![0; 16])).unwrap();
        assert_eq!(&bytes[..read.unwrap()], b"answer");
    });
}

/// Time that passed before the loop ran does not make a sleep shorter.
#[test]
fn a_sleep_counts_from_when_it_starts() {
    everywhere(|runtime| {
        std::thread::sleep(Duration::from_millis(5));
        let before = Instant::now();
        runtime.block_on(timer::sleep(Duration::from_millis(4))).unwrap().unwrap();
        assert!(before.elapsed() >= Duration::from_millis(4));
    });
}

/// A listener that cannot accept any more says so, once, and the loop comes to rest.
#[test]
fn a_listener_that_fails_is_told_of() {
    everywhere(|runtime| {
        let (listening, _) = listener();
        let told = Rc::new(Cell::new(0));
        let count = told.clone();
        let other = Descriptor::socket(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        drop(other);
        listening.conn().on_close(move |_, result| {
            assert!(result.is_err());
            count.set(count.get() + 1);
        });
        listening.shutdown(Shutdown::Read).unwrap();
        let conn = listening.on_accept(|_| ()).unwrap();
        runtime.run_until(|| told.get() > 0).unwrap();
        runtime.poll().unwrap();
        assert_eq!(told.get(), 1);
        assert!(!conn.is_open());
    });
}

/// A write that is cut short stops those that were queued behind it, by whichever face,
/// and nothing of them reaches the peer.
#[test]
fn nothing_is_sent_behind_a_torn_write() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let told = Rc::new(RefCell::new(Vec::new()));
        let note = |log: &Rc<RefCell<Vec<io::Error>>>| {
            let log = log.clone();
            move |(result, _): (io::Result<usize>, Vec<u8>)| {
                log.borrow_mut().push(result.expect_err("it is cut short or behind that"));
            }
        };
        let first = a.write_all(vec![1; 4 << 20]).then(note(&told));
        a.conn().write(&[2; 100]).unwrap();
        a.write_all(vec![3; 100]).then(note(&told));
        runtime.poll().unwrap();
        first.cancel();
        runtime.run_until(|| told.borrow().len() == 2).unwrap();
        assert!(matches!(Error::of(&told.borrow()[0]), Some(Error::Cancelled)));
        assert!(matches!(Error::of(&told.borrow()[1]), Some(Error::WriteTorn { .. })));
        drop(a);
        let (read, bytes) = runtime.block_on(b.read_exact(vec![0; 4 << 20])).unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(bytes.iter().all(|&byte| byte < 2), "only of the first");
    });
}

/// Polls a future once, so that its operation starts.
fn begin<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "nothing is there yet");
}

/// What a finished read that nobody looked at had got reaches the read that already waits
/// behind it, before all that came later.
#[test]
fn a_dropped_result_reaches_the_read_behind_it() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let within = Duration::from_secs(10);
        let mut first = b.read(vec![0; 4]);
        let mut second = b.read_exact(vec![0; 8]).timeout(within);
        begin(&mut first);
        begin(&mut second);
        a.conn().try_write(b"1234").unwrap();
        runtime.poll().unwrap();
        a.conn().try_write(b"5678").unwrap();
        runtime.poll().unwrap();
        drop(first);
        let (read, bytes) = runtime.block_on(second).unwrap();
        assert_eq!((read.unwrap(), &bytes[..]), (8, &b"12345678"[..]));
    });
}

/// A connection whose accept was dropped goes to the accept that already waits, or to a
/// handler that comes later.
#[test]
fn a_dropped_accept_hands_its_connection_on() {
    everywhere(|runtime| {
        let (listening, addr) = listener();
        let mut first = listening.accept();
        let mut second = listening.accept().timeout(Duration::from_secs(10));
        begin(&mut first);
        begin(&mut second);
        let client = tcp();
        runtime.block_on(client.connect(addr.clone())).unwrap().unwrap();
        runtime.poll().unwrap();
        drop(first);
        runtime.block_on(second).unwrap().unwrap();

        let mut third = listening.accept();
        begin(&mut third);
        let client = tcp();
        runtime.block_on(client.connect(addr.clone())).unwrap().unwrap();
        runtime.poll().unwrap();
        drop(third);
        let accepted = Rc::new(Cell::new(0));
        let count = accepted.clone();
        let conn = listening.on_accept(move |_| count.set(count.get() + 1)).unwrap();
        runtime.run_for(Duration::from_millis(20)).unwrap();
        assert_eq!(accepted.get(), 1);
        conn.close();
    });
}

/// Bytes of a write that no socket takes at once.
const LARGE: usize = 2 << 20;

/// A write of which a part has left, and whose future nobody has looked at since.
fn part<'a>(runtime: &Runtime, a: &'a Descriptor, b: &Descriptor) -> impl Future + Unpin + use<'a> {
    let fill = a.conn().try_write(&vec![9; LARGE]).unwrap();
    let mut write = a.write(vec![1; LARGE]);
    begin(&mut write);
    let (read, _) = runtime.block_on(b.read_exact(vec![0; fill])).unwrap();
    read.unwrap();
    runtime.poll().unwrap();
    write
}

/// A write that was over with a part of its bytes, and whose future is dropped before
/// anybody hears of that, goes on to its end; behind something else that was sent it says
/// that it was cut short.
#[test]
fn a_dropped_part_goes_on_or_is_told() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        drop(part(runtime, &a, &b));
        let (read, bytes) = runtime.block_on(b.read_exact(vec![0; LARGE])).unwrap();
        assert_eq!(read.unwrap(), LARGE);
        assert!(bytes.iter().all(|&byte| byte == 1));

        let write = part(runtime, &a, &b);
        let (read, _) = runtime.block_on(b.read(vec![0; LARGE])).unwrap();
        read.unwrap();
        a.conn().write_now(b"behind it").unwrap();
        drop(write);
        let error = a.conn().write(b"more").unwrap_err();
        let torn = Error::of(&error);
        assert!(matches!(torn, Some(&Error::WriteTorn { of: LARGE, .. })), "{error}");
    });
}

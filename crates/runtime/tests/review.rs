//! Sequences that a reading of the code found broken, each kept as a test.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use common::{everywhere, listener, tcp};
use futures::FutureExt;
use tautline_runtime::{Conn, Descriptor, Drained, Error, Runtime, timer};

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

        let ways: [fn(&Conn); 2] = [
            |conn| assert_eq!(conn.write_now(b"behind it").unwrap(), 9),
            |conn| assert_eq!(conn.try_send_to(b"behind it", None).unwrap(), 9),
        ];
        for behind in ways {
            let (a, b) = Descriptor::pair().unwrap();
            let write = part(runtime, &a, &b);
            let (read, _) = runtime.block_on(b.read(vec![0; LARGE])).unwrap();
            read.unwrap();
            behind(a.conn());
            drop(write);
            let error = a.conn().write(b"more").unwrap_err();
            let torn = Error::of(&error);
            assert!(matches!(torn, Some(&Error::WriteTorn { of: LARGE, .. })), "{error}");
        }
    });
}

/// A read that was aimed at another buffer, but had got bytes before the kernel heard of it,
/// keeps its buffer for good, also when it has to look again.
#[test]
fn a_read_with_bytes_is_not_aimed_anew() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let mut first = b.read(vec![0; 4]);
        let mut second = b.read_exact(vec![0; 8]);
        begin(&mut first);
        begin(&mut second);
        a.conn().try_write(b"1234").unwrap();
        runtime.poll().unwrap();
        a.conn().try_write(b"567").unwrap();
        assert!(second.reaim(vec![9; 8]).is_ok());
        runtime.poll().unwrap();
        drop(first);
        runtime.poll().unwrap();
        a.conn().try_write(b"8").unwrap();
        let both = timer::timeout(Duration::from_secs(10), second);
        let (read, bytes) = runtime.block_on(both).unwrap().unwrap();
        assert_eq!((read.unwrap(), &bytes[..]), (8, &b"12345678"[..]));
    });
}

/// Two connected TCP streams, of which a task has read from the second and waited for it.
fn read_once(runtime: &Runtime) -> (Descriptor, Descriptor) {
    let (listening, addr) = listener();
    let a = tcp();
    let both = async { futures::join!(a.connect(addr), listening.accept()) };
    let (connected, accepted) = runtime.block_on(both).unwrap();
    connected.unwrap();
    let b = accepted.unwrap();
    let mut buf = [0; 8];
    let mut reading = std::future::poll_fn(|cx| b.poll_read(cx, &mut buf));
    begin(&mut reading);
    a.conn().try_write(b"hello").unwrap();
    assert_eq!(runtime.block_on(reading).unwrap().unwrap(), 5);
    (a, b)
}

/// Runs until `over` holds, within a bound.
fn until(runtime: &Runtime, over: impl Fn() -> bool) {
    let within = Instant::now() + Duration::from_secs(10);
    runtime.run_until(|| over() || Instant::now() > within).unwrap();
    assert!(over(), "it never came");
}

/// A stream that a task has read from goes on with a handler: what comes is told at once,
/// and so is an end that came before the handler.
#[test]
fn a_task_hands_its_stream_to_a_handler() {
    everywhere(|runtime| {
        for before in [false, true] {
            let (a, b) = read_once(runtime);
            let send = || {
                a.conn().try_write(b"more").unwrap();
                a.shutdown(Shutdown::Write).unwrap();
                runtime.run_for(Duration::from_millis(2)).unwrap();
            };
            if before {
                send();
            }
            let (text, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
            let (into, end) = (text.clone(), ended.clone());
            let handler = move |_: &Conn, bytes: &[u8]| into.borrow_mut().extend_from_slice(bytes);
            let conn = b.on_data(handler).unwrap();
            conn.on_close(move |_, result| end.set(end.get() + 1 + u32::from(result.is_err())));
            if !before {
                runtime.poll().unwrap();
                send();
            }
            until(runtime, || ended.get() > 0);
            runtime.poll().unwrap();
            assert_eq!((&text.borrow()[..], ended.get()), (&b"more"[..], 1));
        }
    });
}

/// After a task has read from a stream, direct calls and readiness handlers find what comes.
#[test]
fn a_task_hands_its_stream_to_direct_calls() {
    everywhere(|runtime| {
        let (a, b) = read_once(runtime);
        a.conn().try_write(b"more").unwrap();
        let got = Cell::new(0);
        let look = || {
            got.set(got.get() + b.conn().try_read(&mut [0; 8]).unwrap_or(0));
            got.get() == 4
        };
        until(runtime, look);

        let (a, b) = read_once(runtime);
        let told = Rc::new(Cell::new(0));
        let count = told.clone();
        let handler = move |conn: &Conn| {
            while let Ok(n @ 1..) = conn.try_read(&mut [0; 8]) {
                count.set(count.get() + n);
            }
            Ok(Drained::Yes)
        };
        b.on_readable(handler).unwrap();
        a.conn().try_write(b"more").unwrap();
        until(runtime, || told.get() == 4);
    });
}

/// An echo whose peer does not read its answers loses nothing in silence: it ends with an
/// error that says what was not taken.
#[test]
fn a_count_that_falls_short_is_told() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let ended = Rc::new(RefCell::new(None));
        let end = ended.clone();
        b.conn().set_write_limit(1 << 16);
        let conn = b.on_data(|stream, bytes| stream.write(bytes)).unwrap();
        conn.on_close(move |_, result| drop(end.replace(Some(result))));
        let mut write = a.write_all(vec![1; 16 << 20]);
        begin(&mut write);
        until(runtime, || ended.borrow().is_some());
        let error = ended.take().unwrap().unwrap_err();
        let told = Error::of(&error);
        assert!(matches!(told, Some(Error::NotTaken { taken, of }) if taken < of), "{error}");
    });
}

/// An answer that is shorter than the question is not a write that fell short.
#[test]
fn a_short_answer_is_no_loss() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        b.on_data(|stream, _| stream.write(b"ok")).unwrap();
        let answers = async {
            for _ in 0..3 {
                a.write_all(vec![1; 1000]).await.0?;
                a.read_exact(vec![0; 2]).await.0?;
            }
            io::Result::Ok(())
        };
        runtime
            .block_on(timer::timeout(Duration::from_secs(10), answers))
            .unwrap()
            .unwrap()
            .unwrap();
    });
}

/// What feeds a stream that nobody reads any more is no work that is left.
#[test]
fn a_stream_that_was_read_leaves_nothing_pending() {
    everywhere(|runtime| {
        let held = read_once(runtime);
        let poster = runtime.remote();
        let (over, ended) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            // Hears at once that it is over, and else ends what would not.
            if ended
                .recv_timeout(Duration::from_secs(10))
                .is_err_and(|e| e == RecvTimeoutError::Timeout)
            {
                let _ = poster.post(|| tautline_runtime::stop().unwrap());
            }
        });
        let before = Instant::now();
        runtime.run_pending().unwrap();
        assert!(before.elapsed() < Duration::from_secs(9));
        drop((over, held));
        guard.join().unwrap();
    });
}

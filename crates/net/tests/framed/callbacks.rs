//! The face of callbacks.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tautline_net::UnixStream;
use tautline_net::codec::{Error, Framed, LengthPrefix, LineError, Lines};
use tautline_runtime::{Runtime, timer};

use super::common::{block, until};
use super::{frames, lines, on_every_driver, options, with_pools};

type Shared<T> = Rc<RefCell<T>>;

fn shared<T: Default>() -> (Shared<T>, Shared<T>) {
    let shared = Shared::<T>::default();
    (shared.clone(), shared)
}

fn received(runtime: &Runtime, near: &UnixStream, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = vec![0; 1 << 16];
    until(runtime, || {
        while let Ok(count @ 1..) = near.try_read(&mut buf) {
            all.extend_from_slice(&buf[..count]);
        }
        all.len() >= len
    });
    all
}

/// A handler sees each item, and what answers all items of one receive arrives in one piece.
#[test]
fn answers_leave_together() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, lines(&options()));
        let (seen, log) = shared::<Vec<String>>();
        let served = far.on_item(move |tx, line| {
            log.borrow_mut().push(line.to_owned());
            tx.send(line)
        });
        served.unwrap();
        near.try_write("one\ntwo\nthree\nhal".as_bytes()).unwrap();
        until(runtime, || seen.borrow().len() == 3);
        let mut buf = [0; 64];
        let mut got = 0;
        until(runtime, || {
            got = near.try_read(&mut buf).unwrap_or(0);
            got > 0
        });
        assert_eq!(&buf[..got], b"one\ntwo\nthree\n");
        near.try_write(b"f\n").unwrap();
        assert_eq!(received(runtime, &near, 5), b"half\n");
    });
}

/// The close handler hears once of an end in order, of one inside a frame, of bytes that are no item, and
/// of an error of the handler; what was answered before still leaves.
#[test]
fn the_end_is_told_with_its_reason() {
    on_every_driver(|runtime| {
        type Check = fn(Result<(), Error<LineError>>);
        let cases: [(&[u8], Check); 3] = [
            (b"one\n", |end| end.unwrap()),
            (b"one\n\xff\n", |end| {
                assert!(matches!(end, Err(Error::Malformed { offset: 4, .. })));
            }),
            (b"one\nstop\n", |end| match end {
                Err(Error::Io(error)) => assert_eq!(error.to_string(), "as told"),
                other => panic!("{other:?}"),
            }),
        ];
        for (sent, check) in cases {
            let (near, far) = block(runtime, lines(&options()));
            let (told, tell) = shared::<Vec<_>>();
            let served = far.on_item(|tx, line| {
                if line == "stop" {
                    return Err(io::Error::other("as told"));
                }
                Ok(tx.send(line)?)
            });
            let served = served.unwrap();
            served.on_close(move |end| tell.borrow_mut().push(end));
            near.try_write(sent).unwrap();
            near.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(received(runtime, &near, 4), b"one\n");
            until(runtime, || !told.borrow().is_empty());
            until(runtime, || !served.conn().is_open());
            check(told.borrow_mut().pop().unwrap());
            assert!(told.borrow().is_empty());
        }
    });
}

/// The end inside a frame is told with what had come of it.
#[test]
fn the_end_inside_a_frame_is_told() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, frames(&options()));
        let (told, tell) = shared::<Option<_>>();
        let served = far.on_item(|_, _| ()).unwrap();
        served.on_close(move |end| *tell.borrow_mut() = Some(end));
        near.try_write(&[0, 0, 0, 5, 1]).unwrap();
        drop(near);
        until(runtime, || told.borrow().is_some());
        let end = told.borrow_mut().take().unwrap();
        assert!(matches!(end, Err(Error::Truncated { offset: 0, got: 5, needs: 9 })), "{end:?}");
    });
}

/// A stream that is kept half open answers after its peer has ended, and is closed by its name.
#[test]
fn a_stream_kept_half_open_still_sends() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, lines(&options().keep_half_open()));
        let (told, tell) = shared::<bool>();
        let (reader, writer) = far.split();
        let later = writer.clone();
        let served = Framed::unite(reader, writer).on_item(|_, _| ()).unwrap();
        served.on_close(move |end| *tell.borrow_mut() = end.is_ok());
        near.shutdown(std::net::Shutdown::Write).unwrap();
        until(runtime, || *told.borrow());
        let mut later = later;
        later.send("still here").unwrap();
        assert_eq!(received(runtime, &near, 11), b"still here\n");
        assert!(served.conn().is_open());
        served.close();
        until(runtime, || near.try_read(&mut [0; 1]).is_ok_and(|count| count == 0));
    });
}

/// A peer that sends and does not take the answers is given no more: memory stays bounded, and when it
/// takes them it gets all.
#[test]
fn a_peer_that_takes_no_answers_is_held_up() {
    on_every_driver(|runtime| {
        let (options, read, write) = with_pools(1, 4096);
        let (near, far) = block(runtime, super::streams());
        let far = options.high_water(10_000).open(far, LengthPrefix::u32());
        let handed = Rc::new(Cell::new(0_usize));
        let count = handed.clone();
        let served = far.on_item(move |tx, item| {
            count.set(count.get() + 1);
            tx.send(&*item).unwrap();
        });
        let served = served.unwrap();
        let frame = [&[0, 0, 4, 0][..], &[5; 1024]].concat();
        let (mut sent, mut pending, mut stuck) = (0, Vec::new(), 0);
        for _ in 0..100_000 {
            if pending.is_empty() {
                pending = frame.clone();
            }
            match near.try_write(&pending) {
                Ok(n) => {
                    pending.drain(..n);
                    sent += n;
                    stuck = 0;
                }
                Err(_) => stuck += 1,
            }
            runtime.poll().unwrap();
            assert!(served.conn().queued() <= 14_096);
            if stuck > 100 {
                break;
            }
        }
        assert!(stuck > 100, "it was never held up");
        let before = handed.get();
        assert_eq!((read.made(), write.made()), (1, 1));
        near.try_write(&pending).unwrap_or_default();
        let whole = sent / frame.len();
        let answered = received(runtime, &near, whole * frame.len());
        assert!(answered.chunks(frame.len()).take(whole).all(|chunk| chunk == frame));
        assert!(handed.get() > before, "more was handed out when there was room");
    });
}

/// A handler that pauses its stream is given nothing more, not even what has arrived already, until the
/// stream is resumed.
#[test]
fn a_paused_stream_hands_out_nothing() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, lines(&options()));
        let (seen, log) = shared::<Vec<String>>();
        let served = far.on_item(move |tx, line| {
            log.borrow_mut().push(line.to_owned());
            tx.pause();
        });
        let served = served.unwrap();
        near.try_write(b"one\ntwo\nthree\n").unwrap();
        for count in 1..=3 {
            until(runtime, || seen.borrow().len() == count);
            runtime.run_for(std::time::Duration::from_millis(1)).unwrap();
            assert_eq!(seen.borrow().len(), count);
            served.resume().unwrap();
        }
        assert_eq!(*seen.borrow(), ["one", "two", "three"]);
    });
}

/// Streams with handlers wait for a buffer in their order, and those that are closed meanwhile are
/// passed over.
#[test]
fn handlers_wait_for_a_buffer() {
    on_every_driver(|runtime| {
        let (options, read, _) = with_pools(1, 4096);
        let (seen, log) = shared::<Vec<String>>();
        let mut streams = Vec::new();
        for (index, text) in ["half", "b\n", "c\n", "d\n"].into_iter().enumerate() {
            let (near, far) = block(runtime, lines(&options));
            let log = log.clone();
            let served = far.on_item(move |_, line| log.borrow_mut().push(line.to_owned()));
            near.try_write(text.as_bytes()).unwrap();
            streams.push((near, served.unwrap()));
            runtime.run_for(std::time::Duration::from_millis(1)).unwrap();
            assert_eq!((read.lent(), seen.borrow().len()), (1, 0), "stream {index}");
        }
        streams[2].1.close();
        streams[0].0.try_write(b" a line\n").unwrap();
        until(runtime, || seen.borrow().len() == 3);
        assert_eq!(*seen.borrow(), ["half a line", "b", "d"]);
        runtime.run_for(std::time::Duration::from_millis(1)).unwrap();
        assert_eq!((read.lent(), read.made()), (0, 1));
    });
}

/// A handler that sends more than may wait is told so at once, and by default its stream is closed
/// rather than left with a gap.
#[test]
fn what_cannot_wait_is_refused_to_the_handler() {
    on_every_driver(|runtime| {
        let (options, _, _) = with_pools(1, 4096);
        let (near, far) = block(runtime, super::streams());
        let far = options.high_water(8000).open(far, Lines::new(4000));
        let (told, tell) = shared::<Option<String>>();
        let served = far.on_item(|tx, _| (0..1_000_000).try_for_each(|_| tx.send("x".repeat(999))));
        let close = move |end: Result<(), Error<_>>| {
            *tell.borrow_mut() = end.err().map(|error| error.to_string());
        };
        served.unwrap().on_close(close);
        near.try_write(b"go\n").unwrap();
        until(runtime, || told.borrow().is_some());
        let told = told.borrow_mut().take().unwrap();
        assert!(told.contains("bytes wait to be sent already"), "{told}");
    });
}

/// A handler that closes its stream sees nothing more, and what it has sent before leaves.
#[test]
fn a_handler_that_closes_sees_nothing_more() {
    on_every_driver(|runtime| {
        let (near, far) = block(runtime, lines(&options()));
        let (seen, log) = shared::<Vec<String>>();
        let served = far.on_item(move |tx, line| {
            log.borrow_mut().push(line.to_owned());
            let sent = tx.send("bye");
            tx.close();
            sent
        });
        let served = served.unwrap();
        served.on_close(|_| panic!("it was closed by its name"));
        near.try_write(b"one\ntwo\n").unwrap();
        assert_eq!(received(runtime, &near, 4), b"bye\n");
        until(runtime, || near.try_read(&mut [0; 1]).is_ok_and(|count| count == 0));
        assert_eq!(*seen.borrow(), ["one"]);
        assert!(!served.conn().is_open());
    });
}

/// A large frame gets a large buffer from a handler's stream too, which waits for it where it must.
#[test]
fn a_large_frame_waits_for_a_large_buffer() {
    on_every_driver(|runtime| {
        let (options, read, _) = with_pools(2, 4096);
        let large = tautline_buffer::Pool::new(1, 1 << 16);
        let taken = large.lend().unwrap();
        let (near, far) = block(runtime, frames(&options.large_from(&large)));
        let (seen, log) = shared::<Vec<usize>>();
        far.on_item(move |_, item| log.borrow_mut().push(item.len())).unwrap();
        let frame = [&[0, 0, 0x30, 0][..], &[1; 0x3000], &[0, 0, 0, 2, 3, 4]].concat();
        assert_eq!(near.try_write(&frame).unwrap(), frame.len());
        runtime.run_for(std::time::Duration::from_millis(2)).unwrap();
        assert!(seen.borrow().is_empty());
        drop(taken);
        until(runtime, || seen.borrow().len() == 2);
        assert_eq!(*seen.borrow(), [0x3000, 2]);
        runtime.run_for(std::time::Duration::from_millis(2)).unwrap();
        assert_eq!((read.lent(), large.lent()), (0, 0));
    });
}

/// What a task has received and not asked for is handed to a handler that takes over, although nothing more
/// comes; and a ring that the task waited for goes to others.
#[test]
fn a_handler_takes_over_from_a_task() {
    on_every_driver(|runtime| {
        let (options, read, _) = with_pools(1, 4096);
        let (near, mut far) = block(runtime, lines(&options));
        near.try_write(b"one\ntwo\nthree\n").unwrap();
        let first = block(runtime, async {
            let line = far.next().await.expect("it has not ended");
            line.map(str::to_owned).map_err(io::Error::from)
        });
        assert_eq!(first, "one");
        let (seen, log) = shared::<Vec<String>>();
        // Another that waits for the only ring, and is given to the loop meanwhile.
        let (other_near, mut other) = block(runtime, lines(&options));
        other_near.try_write(b"four\n").unwrap();
        block(runtime, async {
            let waits = timer::timeout(Duration::from_millis(5), other.next()).await;
            assert!(waits.is_err(), "there is no ring for it");
            Ok(())
        });
        let logged = log.clone();
        other.on_item(move |_, line| logged.borrow_mut().push(line.to_owned())).unwrap();
        far.on_item(move |_, line| log.borrow_mut().push(line.to_owned())).unwrap();
        until(runtime, || seen.borrow().len() == 3);
        assert_eq!(*seen.borrow(), ["two", "three", "four"]);
        until(runtime, || read.lent() == 0);
    });
}

/// What a handler holds is dropped with the stream, and may use the stream then.
#[test]
fn what_a_handler_holds_may_use_the_stream_when_it_is_dropped() {
    struct Looks(Rc<RefCell<Option<tautline_net::codec::Writer<Lines>>>>, Rc<Cell<bool>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let waits = self.0.borrow().as_ref().map(|writer| writer.waiting());
            self.1.set(waits.is_some());
        }
    }
    on_every_driver(|runtime| {
        let (_near, far) = block(runtime, lines(&options()));
        let (reader, writer) = far.split();
        let (place, looked) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(false)));
        let looks = Looks(place.clone(), looked.clone());
        let served = Framed::unite(reader, writer.clone()).on_item(move |_, _| {
            let _ = &looks;
        });
        *place.borrow_mut() = Some(writer);
        served.unwrap().close();
        until(runtime, || looked.get());
    });
}

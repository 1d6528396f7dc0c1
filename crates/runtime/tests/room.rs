//! For whoever cannot take back what a queue does not take: how much room there is, known before,
//! and told when there is more.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{everywhere, small};
use tautline_runtime::{Config, Descriptor, Drained, Runtime, timer};

/// Runs the loop until `done`, for as long as anything here may take.
fn until(runtime: &Runtime, mut done: impl FnMut() -> bool) {
    let late = Rc::new(Cell::new(false));
    let seen = late.clone();
    let alarm = timer::after(Duration::from_secs(10), move || seen.set(true)).unwrap();
    runtime.run_until(|| late.get() || done()).unwrap();
    alarm.cancel();
    assert!(!late.get(), "it is not done in time");
}

/// A write takes exactly as much as the room that was told, whether it is the limit of the stream
/// that ends it or the chunks of all.
#[test]
fn a_write_takes_what_was_told() {
    let runtime = Runtime::new(Config { send_chunks: 5, send_chunk_size: 512, ..small() }).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let pairs: Vec<_> = (0..3).map(|_| Descriptor::pair().unwrap()).collect();
    let mut limited = 0;
    for _ in 0..3000 {
        let (near, far) = &pairs[random.usize(..pairs.len())];
        let conn = near.conn();
        conn.set_write_limit(random.usize(1..3000));
        // Below the size of a chunk, so that nothing goes to the kernel before the queue.
        let bytes = vec![0; random.usize(1..512)];
        let room = conn.room();
        assert_eq!(conn.write(&bytes).unwrap(), bytes.len().min(room));
        limited += usize::from(room < bytes.len());
        if random.u8(..4) == 0 {
            runtime.poll().unwrap();
            let _ = far.try_read(&mut [0; 4096]);
        }
    }
    assert!(limited > 100, "{limited} writes met a limit");
    let (near, _far) = Descriptor::pair().unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(near.conn().room(), 0, "sending has ended");
}

/// The few bytes that a protocol has to say go beyond the limit, which then is what it was.
#[test]
fn a_last_word_goes_beyond_the_limit() {
    everywhere(|runtime| {
        let (near, far) = Descriptor::pair().unwrap();
        near.conn().set_write_limit(10);
        assert_eq!(near.conn().write(&[1; 20]).unwrap(), 10);
        assert_eq!(near.conn().room(), 0);
        assert_eq!(near.conn().write_beyond(&[2; 7]).unwrap(), 7);
        assert_eq!(near.conn().write(&[3; 1]).unwrap(), 0);
        let (read, bytes) = runtime.block_on(far.read_exact(vec![0; 17])).unwrap();
        read.unwrap();
        assert_eq!(bytes, [&[1; 10][..], &[2; 7]].concat());
        assert_eq!(near.conn().room(), 10);
    });
}

/// Who says that a write fell short is told when there is room, as after a write that did; a
/// handler that returns the count of such a write fails.
#[test]
fn who_fell_short_is_told_of_room() {
    everywhere(|runtime| {
        let (near, _far) = Descriptor::pair().unwrap();
        let told = Rc::new(Cell::new(0));
        let count = told.clone();
        let conn = near.conn().clone();
        conn.on_writable(move |_| count.set(count.get() + 1));
        conn.write(b"something").unwrap();
        conn.fell_short(0, 100);
        until(runtime, || told.get() == 1);
        let (near, far) = Descriptor::pair().unwrap();
        let ended = Rc::new(Cell::new(false));
        let seen = ended.clone();
        let near = near
            .on_data(move |conn, bytes| {
                conn.fell_short(1, bytes.len());
                io::Result::Ok(1_usize)
            })
            .unwrap();
        near.on_close(move |_, end| seen.set(end.is_err()));
        far.conn().write(b"two").unwrap();
        until(runtime, || ended.get());
    });
}

/// A task waits until there is as much room as it wants, and no longer.
#[test]
fn a_task_waits_for_as_much_room_as_it_wants() {
    everywhere(|runtime| {
        let (near, far) = Descriptor::pair().unwrap();
        let limit = 1 << 20;
        // More than a socket takes, so that the queue fills.
        while near.conn().write(&[0; 50_000]).unwrap() > 0 {}
        assert!(near.conn().room() < limit / 2);
        runtime
            .block_on(async {
                let reading = async {
                    let mut buf = vec![0; 1 << 16];
                    for _ in 0..1000 {
                        let (read, back) = far.read(buf).await;
                        (buf, _) = (back, read?);
                        if near.conn().queued() == 0 {
                            break;
                        }
                    }
                    io::Result::Ok(())
                };
                let waiting = async {
                    let room = poll_fn(|cx| near.poll_room(cx, limit / 2)).await?;
                    assert!((limit / 2..=limit).contains(&room));
                    io::Result::Ok(())
                };
                futures::try_join!(waiting, reading).map(drop)
            })
            .unwrap()
            .unwrap();
    });
}

/// A readiness handler is called once more, although nothing arrives, if somebody asks for it.
#[test]
fn a_handler_looks_again_when_it_is_asked_to() {
    everywhere(|runtime| {
        let (near, _far) = Descriptor::pair().unwrap();
        let looks = Rc::new(Cell::new(0));
        let count = looks.clone();
        let conn = near
            .on_readable(move |_| {
                count.set(count.get() + 1);
                Ok(Drained::Yes)
            })
            .unwrap();
        for most in 1..4 {
            conn.look_again();
            until(runtime, || looks.get() == most);
        }
        runtime.block_on(timer::sleep(Duration::from_millis(2))).unwrap().unwrap();
        assert_eq!(looks.get(), 3);
    });
}

/// What is taken of parts in a row is the beginning of them all, and leaves in that order, behind what
/// was written before: whether they are short and queued or long and go to the kernel as they are.
#[test]
fn parts_leave_in_a_row() {
    everywhere(|runtime| {
        let (near, far) = Descriptor::pair().unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        let (mut whole, mut cut) = (0, 0);
        let mut number = 0_u8;
        for _ in 0..400 {
            near.conn().set_write_limit(random.usize(1..200_000));
            let long = random.u8(..4) == 0;
            let most = if long { 60_000 } else { 200 };
            let mut part = || {
                number = number.wrapping_add(1);
                vec![number; random.usize(0..most)]
            };
            let parts = [part(), part(), part()];
            let all = parts.concat();
            let slices = parts.each_ref().map(|part| io::IoSlice::new(part));
            let taken = near.conn().write_vectored(&slices).unwrap();
            assert!(taken <= all.len());
            sent.extend_from_slice(&all[..taken]);
            (whole, cut) =
                (whole + usize::from(taken == all.len()), cut + usize::from(taken < all.len()));
            runtime.poll().unwrap();
            let mut buf = [0; 50_000];
            if let Ok(n) = far.try_read(&mut buf[..random.usize(1..50_000)]) {
                came.extend_from_slice(&buf[..n]);
            }
        }
        near.conn().set_write_limit(1 << 20);
        until(runtime, || {
            let mut buf = [0; 50_000];
            while let Ok(n @ 1..) = far.try_read(&mut buf) {
                came.extend_from_slice(&buf[..n]);
            }
            came.len() >= sent.len()
        });
        assert!(came == sent, "{} and {} bytes", came.len(), sent.len());
        assert!(whole > 100 && cut > 20, "{whole} were taken whole, {cut} were cut");
    });
}

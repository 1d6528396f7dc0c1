//! The callback and the async face do the same work on every real driver, in every way
//! to wait.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{everywhere, listener, tcp};
use tautline_runtime::{Descriptor, task};

/// An echo server made of persistent handlers answers an async client, many times over.
#[test]
fn handlers_echo_to_a_task() {
    everywhere(|runtime| {
        let (server, addr) = listener();
        server
            .on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes)).map(|_| ()))
            .unwrap();
        runtime
            .block_on(async {
                let client = tcp();
                client.connect(addr).await.unwrap();
                for round in 0..100u8 {
                    let (sent, _) = client.write_all(vec![round; 64]).await;
                    assert_eq!(sent.unwrap(), 64);
                    let (got, bytes) = client.read_exact(vec![0; 64]).await;
                    assert_eq!(got.unwrap(), 64);
                    assert_eq!(bytes, vec![round; 64]);
                }
            })
            .unwrap();
    });
}

/// One-shot callbacks are called once each, never before the call that started them
/// has returned.
#[test]
fn one_shot_callbacks_come_after_their_start() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        b.read(vec![0; 16]).then(move |(result, buf)| {
            log.borrow_mut().push(buf[..result.unwrap()].to_vec());
        });
        a.write(b"once".to_vec()).then(|(result, _)| assert_eq!(result.unwrap(), 4));
        assert!(seen.borrow().is_empty());
        runtime.run_until(|| !seen.borrow().is_empty()).unwrap();
        runtime.run_pending().unwrap();
        assert_eq!(*seen.borrow(), [b"once".to_vec()]);
    });
}

/// The close handler hears of the peer's end once, after all data.
#[test]
fn the_end_comes_after_the_data() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let got = Rc::new(Cell::new(0));
        let ended = Rc::new(Cell::new(0));
        let (count, end) = (got.clone(), ended.clone());
        let conn = b.on_data(move |_, bytes| count.set(count.get() + bytes.len())).unwrap();
        conn.on_close(move |_, result| {
            result.unwrap();
            end.set(end.get() + 1);
        });
        let bytes = vec![7; 300_000];
        a.conn().write(&bytes).unwrap();
        drop(a);
        runtime.run_until(|| ended.get() > 0).unwrap();
        runtime.run_pending().unwrap();
        assert_eq!((got.get(), ended.get()), (300_000, 1));
        assert!(!conn.is_open());
    });
}

/// Tasks talk over a pair, each with its own half, and their results are joined.
#[test]
fn tasks_are_joined() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let total = runtime
            .block_on(async move {
                let writer = task::spawn(async move {
                    for chunk in 0..100 {
                        a.write_all(vec![chunk; 1000]).await.0.unwrap();
                    }
                })
                .unwrap();
                let reader = task::spawn(async move {
                    let mut total = 0;
                    loop {
                        match b.read(vec![0; 777]).await.0.unwrap() {
                            0 => return total,
                            n => total += n,
                        }
                    }
                })
                .unwrap();
                writer.await.unwrap();
                reader.await.unwrap()
            })
            .unwrap();
        assert_eq!(total, 100_000);
    });
}

/// A file is opened, written, made durable and read back, on the ring or on the pool.
#[test]
fn files_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    everywhere(|runtime| {
        runtime
            .block_on(async {
                let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
                let file = Descriptor::open(&path, flags, 0o600).unwrap().await.unwrap();
                file.write_at(b"head, body".to_vec(), 0).await.0.unwrap();
                file.write_at(b"BODY".to_vec(), 6).await.0.unwrap();
                file.fsync(true).await.unwrap();
                let (n, bytes) = file.read_at(vec![0; 32], 0).await;
                assert_eq!(&bytes[..n.unwrap()], b"head, BODY");
                let missing = dir.path().join("missing");
                let error =
                    Descriptor::open(&missing, libc::O_RDONLY, 0).unwrap().await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            })
            .unwrap();
    });
}

/// Opens that are given up at random points leave no descriptor behind.
#[test]
fn abandoned_opens_close_what_they_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let open = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        all.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == path)).count()
    };
    everywhere(|runtime| {
        runtime
            .block_on(async {
                for turns in (0..4).cycle().take(200) {
                    let mut opening = Descriptor::open(&path, libc::O_RDONLY, 0).unwrap();
                    for _ in 0..turns {
                        if futures::poll!(&mut opening).is_ready() {
                            break;
                        }
                        task::yield_now().await;
                    }
                }
            })
            .unwrap();
        runtime.run_for(std::time::Duration::from_millis(20)).unwrap();
        assert_eq!(open(), 0);
    });
}

/// A pending read that is aimed at another buffer fills that one; the old one comes
/// back, or was filled by bytes that came before.
#[test]
fn a_pending_read_is_aimed_at_another_buffer() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        runtime
            .block_on(async {
                for round in 0..20u8 {
                    let mut read = b.read(vec![1; 4]);
                    for _ in 0..round % 4 {
                        assert!(futures::poll!(&mut read).is_pending());
                        task::yield_now().await;
                    }
                    let old = read.reaim(vec![2; 8]).unwrap();
                    assert!(old.is_none_or(|old| old == [1; 4]));
                    a.write_all(vec![round; 8]).await.0.unwrap();
                    let (n, buf) = read.await;
                    let n = n.unwrap();
                    assert_eq!(buf[..n], vec![round; n]);
                    let rest = b.read_exact(vec![0; 8 - n]).await;
                    assert_eq!(rest.1, vec![round; 8 - n]);
                    assert!(n == 8 || buf.len() == 4, "a short read is one into the old buffer");
                }
            })
            .unwrap();
        let pending =
            b.read(vec![1; 4]).then(|(n, buf)| assert_eq!((n.unwrap(), buf.len()), (8, 8)));
        runtime.poll().unwrap();
        assert!(pending.reaim(vec![2; 8]).is_ok());
        runtime.poll().unwrap();
        a.conn().write(&[5; 8]).unwrap();
        runtime.run_for(std::time::Duration::from_millis(1)).unwrap();
        assert!(pending.reaim(vec![2; 8]).is_err(), "it is over");
    });
}

/// A readiness handler on a stream takes the bytes itself; nothing is taken before it.
#[test]
fn a_readiness_handler_takes_the_bytes_itself() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let got = Rc::new(RefCell::new(Vec::new()));
        let log = got.clone();
        b.on_readable(move |conn| {
            let mut buf = [0; 3];
            match conn.try_read(&mut buf) {
                Ok(n) => log.borrow_mut().extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Ok(tautline_runtime::Drained::Yes);
                }
                Err(error) => return Err(error),
            }
            Ok(tautline_runtime::Drained::No)
        })
        .unwrap();
        a.conn().write(b"all of it").unwrap();
        runtime.run_until(|| got.borrow().len() == 9).unwrap();
        assert_eq!(*got.borrow(), b"all of it");
    });
}

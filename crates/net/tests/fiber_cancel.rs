//! Fibers that are cancelled in the midst of a call: they unwind, what they own is closed, and
//! the other side sees it.

mod common;
mod fiber_support;

use std::io::{self, BufWriter, ErrorKind, Read, Seek, Write};
use std::time::Duration;

use common::{everywhere, small};
use fiber_support::{a_while, finish, joined, pair, pattern, run};
use tautline_net::fiber::{
    File, ListenOptions, TcpListener, TcpStream, UnixListener, UnixStream, pipe,
};
use tautline_runtime::fiber::{
    Builder, JoinError, JoinHandle, Stack, list, sleep, spawn, yield_now,
};
use tautline_runtime::{Config, DriverChoice, Error, Runtime};

/// Cancels a fiber where it waits, in this call, and sees it unwind.
fn cancel<T>(handle: JoinHandle<T>, call: &str) {
    a_while();
    assert!(list().unwrap().iter().any(|fiber| fiber.waits_in == Some(call)), "{:?}", list());
    handle.cancel();
    assert!(matches!(handle.join(), Err(JoinError::Cancelled)));
}

/// Cancelled while it reads, a fiber closes its stream, and its peer sees the end.
#[test]
fn a_read_is_cancelled() {
    run(|| {
        let (near, far) = pair()?;
        let conn = near.conn().clone();
        cancel(spawn(Stack::Small, move || near.read(&mut [0; 64]))?, "read");
        assert!(!conn.is_open());
        assert_eq!(far.read(&mut [0; 64])?, 0);

        let (near, far) = UnixStream::pair()?;
        far.write_all(b"too little")?;
        cancel(spawn(Stack::Small, move || near.read_exact(&mut [0; 64]))?, "read_exact");
        // Unix sockets tell of what was not read.
        let _ = far.read(&mut [0; 64]);
        assert_eq!(far.read(&mut [0; 64])?, 0);

        let (reader, writer) = pipe()?;
        cancel(spawn(Stack::Small, move || reader.read(&mut [0; 64]))?, "read");
        writer.write_all(b"nobody")?;
        assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

/// A read that is cancelled leaves what arrives to the next one.
#[test]
fn a_cancelled_read_loses_nothing() {
    run(|| {
        let (near, far) = pair()?;
        let far = std::rc::Rc::new(far);
        for _ in 0..20 {
            let reader = far.clone();
            let handle = spawn(Stack::Small, move || reader.read_exact(&mut [0; 200]))?;
            near.write_all(b"12345")?;
            cancel(handle, "read_exact");
        }
        drop(near);
        assert_eq!(io::read_to_string(&*far)?, "12345".repeat(20));
        Ok(())
    });
}

/// Cancelled while it writes more than its peer takes, a fiber closes its stream: the peer sees
/// a beginning of it, and then the end.
#[test]
fn a_write_is_cancelled() {
    run(|| {
        let (near, far) = pair()?;
        let conn = near.conn().clone();
        let bytes = pattern(30_000_000);
        cancel(spawn(Stack::Small, move || near.write_all(&bytes))?, "write_all");
        assert!(!conn.is_open());
        let mut got = Vec::new();
        (&far).read_to_end(&mut got)?;
        assert!(got.len() < 30_000_000 && got == pattern(got.len()));
        Ok(())
    });
}

/// Lets a fiber go on until it waits in this call, and cancels it there. Nothing holds the disk
/// up: it is waited for, and the call after it unwinds.
fn cancel_at_the_disk<T>(handle: JoinHandle<T>, call: &str) {
    let waits = || list().unwrap().iter().any(|fiber| fiber.waits_in == Some(call));
    while !waits() {
        yield_now().unwrap();
    }
    handle.cancel();
    assert!(matches!(handle.join(), Err(JoinError::Cancelled)));
}

/// Cancelled while it reads a file, a fiber ends with the read, also one that would read for ever.
#[test]
fn a_read_of_a_file_is_cancelled() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("read");
        std::fs::write(&path, pattern(100_000))?;
        for _ in 0..20 {
            let mut file = File::open(&path)?;
            let reader = spawn(Stack::Small, move || -> io::Result<()> {
                let mut buf = [0; 4096];
                loop {
                    file.read_exact(&mut buf)?;
                    assert!(buf == pattern(4096)[..]);
                    file.rewind()?;
                }
            });
            cancel_at_the_disk(reader?, "read_at");
        }
        Ok(())
    });
}

/// Cancelled while it writes a file, a fiber ends with the write: the file holds a beginning of
/// what was to be written, and nothing else.
#[test]
fn a_write_of_a_file_is_cancelled() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("written");
        let block = pattern(251 * 300);
        for _ in 0..20 {
            let (mut file, theirs) = (File::create(&path)?, block.clone());
            let writer = spawn(Stack::Small, move || -> io::Result<()> {
                loop {
                    file.write_all(&theirs)?;
                }
            });
            cancel_at_the_disk(writer?, "write_at");
            let written = std::fs::read(&path)?;
            assert!(written == pattern(written.len()));
        }
        Ok(())
    });
}

/// Cancelled while it accepts, a fiber closes its listener, and nobody connects any more.
#[test]
fn an_accept_is_cancelled() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        cancel(spawn(Stack::Small, move || listener.accept().map(drop))?, "accept");
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        let listener = UnixListener::bind(&format!("@fiber-cancel-{}", std::process::id()))?;
        let name = listener.local_addr()?;
        cancel(spawn(Stack::Small, move || listener.accept().map(drop))?, "accept");
        assert_eq!(UnixStream::connect(name).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

/// Cancelled while it connects, a fiber leaves no socket behind: more often than there is room
/// for sockets.
#[test]
fn a_connect_is_cancelled() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let runtime = Runtime::new(Config { driver, descriptors: 16, ..small() }).unwrap();
        let test = || {
            let listener =
                TcpListener::bind_with(&ListenOptions::default().backlog(1), "127.0.0.1:0")?;
            let addr = listener.local_addr()?;
            let full = [(); 2].map(|()| std::net::TcpStream::connect(addr));
            for _ in 0..40 {
                cancel(spawn(Stack::Small, move || TcpStream::connect(addr).map(drop))?, "connect");
            }
            drop(full);
            io::Result::Ok(())
        };
        finish(&runtime, spawn(Stack::Medium, test).unwrap()).unwrap();
    }
}

/// A buffered writer that is dropped by a cancelled fiber tries to write what it holds: that
/// fails at once, whether the fiber was stopped in a write or elsewhere.
#[test]
fn a_buffered_writer_is_cancelled() {
    run(|| {
        let (near, far) = pair()?;
        let sleeper = spawn(Stack::Small, move || {
            let mut out = BufWriter::new(near);
            out.write_all(b"never sent").unwrap();
            sleep(Duration::from_secs(100)).unwrap();
        })?;
        cancel(sleeper, "sleep");
        assert_eq!(far.read(&mut [0; 64])?, 0);

        let (near, far) = pair()?;
        let writer = spawn(Stack::Small, move || {
            let mut out = BufWriter::with_capacity(1000, near);
            (0..).try_for_each(|n| writeln!(out, "{n}"))
        })?;
        a_while();
        writer.cancel();
        assert!(matches!(writer.join(), Err(JoinError::Cancelled)));
        let mut got = String::new();
        (&far).read_to_string(&mut got)?;
        let whole = got.lines().count() - 1;
        assert!(got.lines().take(whole).zip(0..).all(|(line, n)| line == n.to_string()));
        Ok(())
    });
}

/// A runtime that is dropped unwinds the fibers in its midst, with their buffered writers.
#[test]
fn a_dropped_runtime_ends_buffered_writers() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let reader = spawn(Stack::Small, move || far.read(&mut [0; 64])).unwrap();
        let writer = spawn(Stack::Small, move || {
            let mut out = BufWriter::new(&near);
            out.write_all(b"never sent").unwrap();
            near.read(&mut [0; 64])
        });
        runtime.run_for(Duration::from_millis(2)).unwrap();
        drop(runtime);
        assert!(matches!(reader.join(), Err(JoinError::Cancelled)));
        assert!(matches!(writer.unwrap().join(), Err(JoinError::Cancelled)));
    }
}

/// A fiber that takes errors hears of its cancellation from the call, and from each one after.
#[test]
fn cancellation_comes_as_an_error() {
    everywhere(|runtime| {
        let handle = Builder::new(Stack::Small).cancel_by_error().spawn(|| {
            let (near, _far) = UnixStream::pair().unwrap();
            let read = near.read(&mut [0; 64]);
            let written = near.write_all(b"no more");
            let connected = UnixStream::connect("@nobody");
            [read.map(drop), written, connected.map(drop)].map(Result::unwrap_err)
        });
        let handle = handle.unwrap();
        runtime.run_for(Duration::from_millis(2)).unwrap();
        handle.cancel();
        for error in finish(runtime, handle) {
            assert!(matches!(Error::of(&error), Some(Error::Cancelled)), "{error}");
        }
    });
}

/// A scope whose fibers share a stream ends them all when its own is cancelled.
#[test]
fn a_scope_over_a_stream_is_cancelled() {
    run(|| {
        let (near, far) = pair()?;
        let parent = spawn(Stack::Small, move || {
            tautline_runtime::fiber::scope(|scope| {
                let _ = scope.spawn(Stack::Small, || near.read(&mut [0; 64])).unwrap();
                let _ = scope.spawn(Stack::Small, || near.write_all(&pattern(9_000_000))).unwrap();
            })
        })?;
        cancel(parent, "scope");
        let reader = spawn(Stack::Small, move || (&far).read_to_end(&mut Vec::new()))?;
        assert!(joined(reader)? < 9_000_000);
        Ok(())
    });
}

//! Calls of fibers with several buffers, calls that wait for readiness alone, and timeouts of
//! files, signals and the standard streams.

mod common;
mod fiber_support;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Seek, Write};
use std::time::{Duration, Instant};

use fiber_support::{a_while, joined, pair, pattern, run};
use tautline_net::fiber::{
    File, OpenOptions, Signal, Signals, Stdin, Stdout, TcpStream, UdpSocket, UnixDatagram,
    UnixListenOptions, UnixStream, pipe,
};
use tautline_runtime::fiber::{Stack, spawn};

const SOON: Duration = Duration::from_millis(2);

/// Whether a call fails because its time is over.
fn is_late<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::TimedOut)
}

/// One call fills several buffers with what is there, whether it has to wait for it or not; with
/// no room it reads nothing.
#[test]
fn one_read_fills_several_buffers() {
    run(|| {
        let (near, far) = pair()?;
        let reader = spawn(Stack::Small, move || {
            let (mut first, mut second, mut third) = ([0; 3], [0; 0], [0; 64]);
            let mut bufs = [&mut first[..], &mut second, &mut third].map(IoSliceMut::new);
            let read = near.read_vectored(&mut bufs)?;
            assert_eq!((&first, &third[..2]), (b"abc", &b"de"[..]));
            io::Result::Ok((near, read))
        })?;
        a_while();
        far.write_all(b"abcde")?;
        let (mut near, read) = joined(reader)?;
        assert_eq!(read, 5);
        far.write_all(b"more")?;
        a_while();
        let (mut first, mut second) = ([0; 1], [0; 64]);
        // By `std`'s trait, as others call it.
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(Read::read_vectored(&mut near, &mut bufs)?, 4);
        assert_eq!((&first, &second[..3]), (b"m", &b"ore"[..]));
        assert_eq!(near.read_vectored(&mut [])?, 0);
        assert_eq!(near.read(&mut [])?, 0);
        near.read_exact(&mut [])?;
        far.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(near.read_vectored(&mut [IoSliceMut::new(&mut second)])?, 0);
        Ok(())
    });
}

/// Several buffers leave in order, however much of them is taken at a time: a writer that is
/// ahead of its reader waits, and goes on where it was.
#[test]
fn several_buffers_leave_in_order() {
    run(|| {
        let (reader, writer) = pipe()?;
        let sender = spawn(Stack::Small, move || {
            let (bytes, mut sent) = (pattern(3_000_000), 0);
            while sent < bytes.len() {
                let (a, b) = bytes[sent..].split_at((bytes.len() - sent) / 3);
                let taken = writer.write_vectored(&[IoSlice::new(a), IoSlice::new(b)])?;
                assert!(taken > 0);
                sent += taken;
            }
            assert_eq!(writer.write_vectored(&[IoSlice::new(&[])])?, 0);
            io::Result::Ok(())
        })?;
        a_while();
        let mut got = Vec::new();
        (&reader).read_to_end(&mut got)?;
        joined(sender)?;
        assert!(got == pattern(3_000_000));
        Ok(())
    });
}

/// Readiness is waited for without reading or writing, and within a stream's timeouts.
#[test]
fn readiness_is_waited_for() {
    run(|| {
        let (near, far) = pair()?;
        near.set_read_timeout(Some(SOON))?;
        assert!(is_late(near.readable()));
        near.writable()?;
        far.write_all(b"now")?;
        near.set_read_timeout(Some(common::PATIENCE))?;
        near.readable()?;
        assert_eq!(near.read(&mut [0; 8])?, 3);
        let (near, far) = UnixDatagram::pair()?;
        near.set_read_timeout(Some(SOON))?;
        assert!(is_late(near.readable()));
        far.send(b"now")?;
        near.readable()?;
        near.writable()?;
        assert_eq!(near.receive(&mut [0; 8])?, 3);
        UdpSocket::bind("127.0.0.1:0")?.writable()
    });
}

/// Signals, standard input and standard output give up in time, and go on afterwards.
#[test]
fn other_views_give_up_in_time() {
    run(|| {
        let mut signals = Signals::new([Signal::WINDOW])?;
        signals.set_read_timeout(Some(SOON))?;
        assert_eq!(signals.read_timeout()?, Some(SOON));
        assert!(is_late(signals.recv()));

        let (reader, writer) = std::io::pipe()?;
        let (mut out, mut input) = (Stdout::from_fd(&writer)?, Stdin::from_fd(&reader)?);
        input.set_read_timeout(Some(SOON))?;
        assert!(is_late(input.read(&mut [0; 8])));
        let mut buf = [0; 8];
        out.write_all(b"half")?;
        out.flush()?;
        assert!(is_late(input.read_exact(&mut buf)));
        assert_eq!(&buf[..4], b"half");
        out.set_write_timeout(Some(10 * SOON))?;
        let began = Instant::now();
        assert!(is_late(out.write_all(&pattern(8_000_000))));
        assert!(began.elapsed() < common::PATIENCE);
        assert!(input.set_read_timeout(Some(Duration::ZERO)).is_err());
        Ok(())
    });
}

/// A file's timeouts are kept, and may pass: whether a call was in time or not, the position says
/// what it has done, and the next one goes on from there.
#[test]
fn a_files_timeouts_lose_nothing() {
    run(|| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("late");
        let options = OpenOptions::new().read(true).write(true).create(true);
        let mut file = File::open_with(&options, path)?;
        file.write_all(&pattern(1000))?;
        file.rewind()?;
        let at_once = Some(Duration::from_nanos(1));
        file.set_read_timeout(at_once)?;
        file.set_write_timeout(at_once)?;
        assert_eq!((file.read_timeout()?, file.write_timeout()?), (at_once, at_once));
        let mut got = Vec::new();
        for _ in 0..50 {
            let mut buf = [0; 10];
            match file.read(&mut buf) {
                Ok(read) => got.extend_from_slice(&buf[..read]),
                late => assert!(is_late(late)),
            }
            assert_eq!(file.position(), got.len() as u64);
        }
        let written = file.write_at(b"!", 999);
        assert!(written.is_ok() || is_late(written));
        file.set_read_timeout(Some(common::PATIENCE))?;
        file.set_write_timeout(None)?;
        file.read_to_end(&mut got)?;
        assert_eq!(got[..999], pattern(999));
        file.sync(true)?;
        assert!(file.set_write_timeout(Some(Duration::ZERO)).is_err());
        Ok(())
    });
}

/// A Unix connect to a listener whose backlog is full gives up in time, and names it.
#[test]
fn a_unix_connect_gives_up_in_time() {
    run(|| {
        let name = format!("@fiber-late-{}", std::process::id());
        let _listener = UnixListenOptions::default().backlog(1).bind(name.as_str())?;
        let mut waiting = Vec::new();
        let late = loop {
            match UnixStream::connect_timeout(name.as_str(), 10 * SOON) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100, "the backlog is never full");
        };
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.to_string().contains(&name), "{late}");
        let zero = UnixStream::connect_timeout(name.as_str(), Duration::ZERO).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// The halves of a stream have these calls too.
#[test]
fn halves_take_several_buffers() {
    run(|| {
        let (near, far): (TcpStream, TcpStream) = pair()?;
        let (_, mut sending) = near.split();
        let (receiving, _sending) = far.split();
        sending.writable()?;
        assert_eq!(
            Write::write_vectored(&mut sending, &[IoSlice::new(b"ab"), IoSlice::new(b"c")])?,
            3
        );
        receiving.readable()?;
        let mut buf = [0; 8];
        assert_eq!(receiving.read_vectored(&mut [IoSliceMut::new(&mut buf)])?, 3);
        Ok(())
    });
}

//! Streams for fibers: whatever they are made of, they are what blocking code expects.

mod common;
mod fiber_support;

use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere};
use fiber_support::{a_while, finish, joined, not_in_fiber, pair, pattern, run};
use tautline_net::fiber::{self as net, Dial, TcpListener, TcpStream, UnixListener, UnixStream};
use tautline_runtime::fiber::{Stack, scope, spawn, yield_now};
use tautline_runtime::now;

/// Gives back what it gets, until its peer ends.
fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}

/// A server with a fiber for each connection serves many clients at a time, in both families.
#[test]
fn a_server_of_fibers_echoes() {
    run(|| {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host)?;
            let addr = listener.local_addr()?;
            let server = spawn(Stack::Small, move || {
                while let Ok(stream) = listener.accept() {
                    drop(spawn(Stack::Small, move || echo(stream)).unwrap());
                }
            })?;
            let client = move |n: u8| {
                let stream = TcpStream::connect(addr)?;
                let (sent, mut back) = ([n; 100], [0; 100]);
                for _ in 0..50 {
                    stream.write_all(&sent)?;
                    stream.read_exact(&mut back)?;
                    assert_eq!(back, sent);
                }
                io::Result::Ok(())
            };
            let clients: Result<Vec<_>, _> =
                (0..20).map(|n| spawn(Stack::Small, move || client(n))).collect();
            clients?.into_iter().try_for_each(joined)?;
            server.cancel();
        }
        Ok(())
    });
}

/// Buffered readers and writers of `std` split lines, and lose none.
#[test]
fn lines_are_split_by_std() {
    run(|| {
        let (near, far) = pair()?;
        let writer = spawn(Stack::Small, move || {
            let mut out = BufWriter::new(near);
            (0..1000).try_for_each(|n| writeln!(out, "line {n}"))?;
            out.flush()
        })?;
        let mut lines = BufReader::new(far);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        assert_eq!(first, "line 0\n");
        let rest: Vec<String> = lines.lines().collect::<Result<_, _>>()?;
        assert_eq!(rest.len(), 999);
        assert!(rest.iter().zip(1..).all(|(line, n)| *line == format!("line {n}")));
        joined(writer)
    });
}

/// Every stream stands behind the traits of `std`, by value and by reference, and `copy` moves
/// more from one into another than any queue holds.
#[test]
fn streams_are_trait_objects() {
    fn through(mut writer: Box<dyn Write>, mut reader: Box<dyn Read>) -> io::Result<()> {
        let bytes = pattern(300_000);
        let sent = bytes.clone();
        let sender = spawn(Stack::Small, move || {
            writer.write_all(&sent)?;
            writer.flush()
        })?;
        let mut got = Vec::new();
        reader.read_to_end(&mut got)?;
        assert!(got == bytes);
        joined(sender)
    }
    run(|| {
        let (writer, reader) = pair()?;
        through(Box::new(writer), Box::new(reader))?;
        let (writer, reader) = UnixStream::pair()?;
        through(Box::new(writer), Box::new(reader))?;
        let (reader, writer) = net::pipe()?;
        through(Box::new(writer), Box::new(reader))?;

        let ((source, into), (out, sink)) = (pair()?, pair()?);
        let feeder = spawn(Stack::Small, move || source.write_all(&pattern(3_000_000)))?;
        let relay = spawn(Stack::Small, move || io::copy(&mut &into, &mut &out))?;
        let mut got = Vec::new();
        (&sink).read_to_end(&mut got)?;
        joined(feeder)?;
        assert_eq!(joined(relay)?, 3_000_000);
        assert!(got == pattern(3_000_000));
        Ok(())
    });
}

/// One fiber reads a stream while another writes it: more passes each way than the sockets
/// hold, which would stand still otherwise.
#[test]
fn two_fibers_share_a_stream() {
    run(|| {
        let (near, far) = pair()?;
        let echoing = spawn(Stack::Small, move || echo(far))?;
        let bytes = pattern(4_000_000);
        scope(|scope| {
            let _ = scope
                .spawn(Stack::Small, || {
                    near.write_all(&bytes).unwrap();
                    near.shutdown(Shutdown::Write).unwrap();
                })
                .unwrap();
            let mut got = Vec::new();
            (&near).read_to_end(&mut got).unwrap();
            assert!(got == bytes);
        })?;
        joined(echoing)
    });
}

/// A stream is shared by `Rc`, or divided into halves: the end of one leaves the other.
#[test]
fn streams_are_divided() {
    run(|| {
        let (near, far) = pair()?;
        let (near, other) = (Rc::new(near), spawn(Stack::Small, move || echo(far))?);
        let shared = near.clone();
        let writer = spawn(Stack::Small, move || shared.write_all(b"by rc"))?;
        near.read_exact(&mut [0; 5])?;
        joined(writer)?;
        let near = Rc::into_inner(near).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (reading, writing) = near.split();
        assert_eq!(reading.read_timeout()?, Some(Duration::from_secs(10)));
        writing.write_all(b"by halves")?;
        drop(writing);
        assert_eq!(io::read_to_string(reading)?, "by halves");
        joined(other)
    });
}

/// A vectored write takes every slice, in order.
#[test]
fn vectored_writes_take_each_slice() {
    run(|| {
        let (near, far) = pair()?;
        let slices = [&b"one, "[..], b"", b"two, ", b"three"].map(IoSlice::new);
        assert_eq!(near.write_vectored(&slices)?, 15);
        drop(near);
        assert_eq!(io::read_to_string(far)?, "one, two, three");
        Ok(())
    });
}

/// A read that has timed out loses nothing: neither what comes later, nor what came too little
/// for it. Times of zero are refused.
#[test]
fn reads_time_out() {
    run(|| {
        let (near, far) = pair()?;
        let soon = Duration::from_millis(2);
        far.set_read_timeout(Some(soon))?;
        assert_eq!(far.read_timeout()?, Some(soon));
        let begun = now()?;
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(now()?.saturating_since(begun) >= soon);
        near.write_all(b"abc")?;
        assert_eq!(far.read_exact(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
        near.write_all(b"d")?;
        let mut buf = [0; 4];
        far.read_exact(&mut buf)?;
        assert_eq!(&buf, b"abcd");

        let zero = Some(Duration::ZERO);
        assert_eq!(far.set_read_timeout(zero).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(far.set_write_timeout(zero).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!((far.read_timeout()?, far.write_timeout()?), (Some(soon), None));
        far.set_read_timeout(None)?;
        drop(near);
        assert_eq!(far.read(&mut [0; 4])?, 0);
        Ok(())
    });
}

/// A write that nobody reads times out; so does an accept, which loses no connection.
#[test]
fn writes_and_accepts_time_out() {
    run(|| {
        let (near, _far) = pair()?;
        near.set_write_timeout(Some(Duration::from_millis(2)))?;
        let late = (0..1000).find_map(|_| near.write(&[0; 100_000]).err()).unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut);

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let deadline = now()? + Duration::from_millis(2);
        assert_eq!(listener.accept_until(deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        let near = TcpStream::connect(listener.local_addr()?)?;
        let far = listener.accept_until(now()? + Duration::from_secs(10))?;
        assert_eq!(far.peer_addr()?, near.local_addr()?);
        Ok(())
    });
}

/// A connection is made within its time and as the dialler says, and one that is refused names
/// its address.
#[test]
fn connections_are_dialled() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let near = TcpStream::connect_timeout(("localhost", addr.port()), common::PATIENCE)?;
        assert!(near.nodelay()?);
        let slow = TcpStream::dial(Dial::new().nodelay(false), addr)?;
        assert!(!slow.nodelay()?);
        let peers: io::Result<Vec<_>> = listener.incoming().take(2).collect();
        assert_eq!(peers?[1].peer_addr()?, slow.local_addr()?);
        let never = TcpStream::connect_timeout(addr, Duration::ZERO);
        assert_eq!(never.unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(listener);
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains(&addr.to_string()), "{refused}");
        Ok(())
    });
}

/// Unix streams connect by name and know whom they talk to; a peer that ends its direction can
/// still be answered.
#[test]
fn unix_streams_talk_and_end() {
    run(|| {
        let name = format!("@fiber-streams-{}-{}", std::process::id(), now()?.as_nanos());
        let listener = UnixListener::bind(&name)?;
        let near = UnixStream::connect(&name)?;
        let far = listener.accept()?;
        assert_eq!(far.peer_credentials()?.pid, std::process::id().cast_signed());
        near.write_all(b"question")?;
        near.shutdown(Shutdown::Write)?;
        assert_eq!(io::read_to_string(&far)?, "question");
        far.write_all(b"answer")?;
        drop(far);
        assert_eq!(io::read_to_string(&near)?, "answer");
        Ok(())
    });
}

/// One stream goes through all views: a task's, a fiber's, a callback's.
#[test]
fn a_stream_changes_its_view() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, async {
            let listener = tautline_net::TcpListener::bind("127.0.0.1:0")?;
            let near = tautline_net::TcpStream::connect(listener.local_addr()?).await?;
            near.write_all("async").await.0?;
            Ok((near, listener.accept().await?.0))
        });
        let fiber = spawn(Stack::Small, move || {
            let near = TcpStream::from(near);
            near.write_all(b", fiber").unwrap();
            near.into_inner()
        });
        let near = finish(runtime, fiber.unwrap());
        near.conn().write(b", callback").unwrap();
        drop(near);
        let reading = spawn(Stack::Small, move || io::read_to_string(TcpStream::from(far)));
        assert_eq!(finish(runtime, reading.unwrap()).unwrap(), "async, fiber, callback");
    });
}

/// An operation of the async view is waited for by a fiber, and direct calls do not wait.
#[test]
fn what_a_view_does_not_have_is_lent() {
    run(|| {
        let (near, far) = pair()?;
        let none = far.get_ref().try_read(&mut [0; 4]).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
        let writer = spawn(Stack::Small, move || {
            a_while();
            near.write_all(b"late")
        })?;
        far.get_ref().readable().wait()?;
        assert_eq!(far.get_ref().try_read(&mut [0; 4])?, 4);
        joined(writer)
    });
}

/// Outside a fiber no call waits: each says where it belongs.
#[test]
fn outside_a_fiber_nothing_waits() {
    everywhere(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(not_in_fiber(listener.accept()));
        assert!(not_in_fiber(TcpStream::connect(listener.local_addr().unwrap())));
        assert!(not_in_fiber(net::resolve("localhost", 80, common::PATIENCE)));
        let (near, mut far) = UnixStream::pair().unwrap();
        assert!(not_in_fiber(near.write_all(b"hello")));
        assert!(not_in_fiber(near.flush()));
        assert!(not_in_fiber(Read::read(&mut far, &mut [0; 4])));
        assert!(yield_now().is_err());
    });
}

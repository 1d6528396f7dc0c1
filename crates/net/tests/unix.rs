//! Unix sockets and pipes against the kernel: paths, abstract names, stale ones.

mod common;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, until};
use tautline_net::{
    Batch, Conn, Datagram, To, UnixAddress, UnixDatagram, UnixListener, UnixStream, pipe,
};

/// An abstract name that no other test has.
fn name(of: &str) -> String {
    format!("@tautline-test-{}-{of}", std::process::id())
}

/// Streams carry bytes over a path and over an abstract name, and know their peers.
#[test]
fn streams_over_paths_and_abstract_names() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = UnixAddress::path(folder.path().join("socket"));
        for address in [path, name("stream").as_str().into()] {
            let listener = UnixListener::bind(&address)?;
            assert_eq!(listener.local_addr()?, address);
            let near = UnixStream::connect(&address).await?;
            let far = listener.accept().await?;
            assert_eq!(near.peer_addr()?, address);
            assert!(far.peer_addr()?.is_unnamed());
            assert_eq!(near.peer_credentials()?.pid as u32, std::process::id());
            near.write_all("there").await.0?;
            let (read, buf) = far.read_exact(vec![0; 5]).await;
            assert_eq!((read?, buf.as_slice()), (5, &b"there"[..]));
        }
        Ok(())
    });
}

/// Handlers serve a Unix stream as they do any other.
#[test]
fn handlers_echo_over_a_unix_stream() {
    everywhere(|runtime| {
        let address = name("echo");
        let listener = UnixListener::bind(&address).unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        listener.on_accept(|stream| stream.on_data(|conn, bytes| conn.write(bytes))).unwrap();
        block(runtime, async {
            let stream = UnixStream::connect(&address).await?;
            let (reads, writes) = stream.split();
            writes.write_all(vec![3; 100_000]).await.0?;
            let (read, buf) = reads.read_exact(vec![0; 100_000]).await;
            assert_eq!((read?, buf), (100_000, vec![3; 100_000]));
            Ok(())
        });
    });
}

/// A path that was left behind is taken over on request only, and never one in use or
/// one that is no socket.
#[test]
fn a_stale_path_is_removed_on_request_only() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path)?);
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("socket"), "{error}");
        let over = UnixListener::options().remove_stale(true);
        let used = over.bind(&path)?;
        assert_eq!(over.bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let near = UnixStream::connect(&path).await?;
        drop((used, near));
        let file = folder.path().join("file");
        std::fs::write(&file, "precious")?;
        assert_eq!(over.bind(&file).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&file)?, b"precious");
        let refused = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains("start the server"), "{refused}");
        let long = "x".repeat(200);
        assert_eq!(UnixListener::bind(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// Datagrams keep their boundaries and name their sender, by every kind of call.
#[test]
fn datagrams_name_their_sender() {
    everywhere(|runtime| {
        let (to, from) = (name("to"), name("from"));
        let (a, b) = (UnixDatagram::bind(&from).unwrap(), UnixDatagram::bind(&to).unwrap());
        block(runtime, async {
            a.send_to("async", &to)?.await.0?;
            let (received, buf) = b.receive_from(vec![0; 3]).await;
            let received = received?;
            assert_eq!((&buf[..received.len], received.truncated), (&b"asy"[..], true));
            assert_eq!(UnixDatagram::source(&received), Some(from.as_str().into()));
            a.connect(&to)?;
            assert_eq!(a.try_send(b"direct")?, 6);
            assert_eq!(b.try_receive_from(&mut [0; 16])?.len, 6);
            Ok(())
        });
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        b.on_datagrams(64, move |_, bytes, _| log.borrow_mut().push(bytes.len())).unwrap();
        for len in 1..=5 {
            a.try_send(&vec![0; len]).unwrap();
        }
        until(runtime, || seen.borrow().len() == 5);
        assert_eq!(*seen.borrow(), [1, 2, 3, 4, 5]);
    });
}

/// Datagram sockets have names of both sorts; an abstract one is no file, is in use while its
/// socket is open, and is free when that is gone.
#[test]
fn datagrams_over_paths_and_abstract_names() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = UnixAddress::path(folder.path().join("socket"));
        for address in [path.clone(), name("datagram").as_str().into()] {
            let to = UnixDatagram::bind(&address)?;
            assert_eq!(
                (to.local_addr()?, address.as_path().is_some()),
                (address.clone(), address == path)
            );
            assert_eq!(UnixDatagram::bind(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
            let from = UnixDatagram::unbound()?;
            from.send_to("there", &address)?.await.0?;
            let (received, buf) = to.receive_from(vec![0; 9]).await;
            let received = received?;
            assert_eq!(&buf[..received.len], b"there");
            assert!(UnixDatagram::source(&received).is_none_or(|source| source.is_unnamed()));
        }
        drop(UnixDatagram::bind(&name("datagram"))?);
        let gone = UnixDatagram::unbound()?.try_send_to(b"lost", &name("datagram")).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(UnixDatagram::bind_over_stale(&path)?);
        Ok(())
    });
}

/// Connected Unix datagram sockets talk both ways.
#[test]
fn a_pair_of_datagram_sockets_talks() {
    run(async || {
        let (a, b) = UnixDatagram::pair()?;
        a.send("there").await.0?;
        b.send("back").await.0?;
        assert_eq!(b.receive_from(vec![0; 9]).await.0?.len, 5);
        assert_eq!(a.receive_from(vec![0; 9]).await.0?.len, 4);
        Ok(())
    });
}

/// A batch of datagrams leaves in one call and arrives in one, whole, in order and with its
/// sender; sockets tell when they can be received from and sent to.
#[test]
fn datagrams_go_out_and_come_in_by_the_batch() {
    run(async || {
        let (to, from) = (name("batch-to"), name("batch-from"));
        let (a, b) = (UnixDatagram::bind(&from)?, UnixDatagram::bind(&to)?);
        let (mut batch, mut received) = (Batch::new(8, 64), Batch::new(8, 64));
        assert_eq!(b.try_receive_batch(&mut received).unwrap_err().kind(), ErrorKind::WouldBlock);
        let target = (&UnixAddress::from(&to)).try_into()?;
        for n in 1..=8 {
            batch.push(&vec![n; usize::from(n)], Some(&target))?;
        }
        a.writable().await?;
        a.send_batch(&mut batch, To::Own).await?;
        b.readable().await?;
        assert_eq!(b.receive_batch(&mut received).await?, 8);
        for (n, packet) in (1..).zip(received.iter()) {
            assert_eq!(packet.bytes, vec![n; usize::from(n)]);
            assert_eq!(UnixDatagram::packet_source(&packet), Some(from.as_str().into()));
        }
        a.connect(&to)?;
        assert_eq!(a.try_send_batch(&mut batch, 3, To::Peer)?, 5);
        assert_eq!(b.try_receive_batch(&mut received)?, 5);
        Ok(())
    });
}

/// A handler takes a burst by batches, in order, over several turns.
#[test]
fn a_handler_takes_datagrams_by_the_batch() {
    everywhere(|runtime| {
        let (a, b) = UnixDatagram::pair().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let take = move |_: &Conn, batch: &mut Batch| {
            log.borrow_mut().extend(batch.iter().map(|packet| packet.bytes[0]));
        };
        b.on_batches(Batch::new(4, 16), take).unwrap();
        block(runtime, async {
            for n in 0..30 {
                a.send(vec![n]).await.0?;
            }
            Ok(())
        });
        until(runtime, || seen.borrow().len() == 30);
        assert!(seen.borrow().iter().copied().eq(0..30));
    });
}

/// A handler that pauses its socket gets no further datagram until the socket is resumed.
#[test]
fn a_pause_holds_from_the_next_datagram_on() {
    everywhere(|runtime| {
        let (a, b) = UnixDatagram::pair().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let take = move |conn: &Conn, bytes: &[u8], _: &Datagram| {
            log.borrow_mut().push(bytes[0]);
            conn.pause();
        };
        let conn = b.on_datagrams(16, take).unwrap();
        for n in 0..8 {
            a.try_send(&[n]).unwrap();
        }
        for n in 1..=8 {
            until(runtime, || seen.borrow().len() >= n);
            runtime.run_for(Duration::from_micros(200)).unwrap();
            assert_eq!(seen.borrow().len(), n);
            conn.resume().unwrap();
        }
        assert!(seen.borrow().iter().copied().eq(0..8));
    });
}

/// A pipe carries more than it holds, in order, and ends when its writer is dropped.
#[test]
fn a_pipe_carries_more_than_it_holds() {
    run(async || {
        let (reader, writer) = pipe()?;
        assert_eq!(reader.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let feeder = tautline_runtime::task::spawn(async move {
            writer.write_all(vec![1; 300_000]).await.0.unwrap();
        })?;
        let mut total = 0;
        loop {
            match reader.read(vec![0; 10_000]).await.0? {
                0 => break,
                n => total += n,
            }
        }
        feeder.await.unwrap();
        assert_eq!(total, 300_000);
        Ok(())
    });
}

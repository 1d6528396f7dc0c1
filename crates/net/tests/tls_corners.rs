//! TLS where memory is scarce, where bytes have come early, and where only one side has ended.

mod common;
mod fiber_support;
mod tls_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run, small, until};
use tautline_net::codec::{Framed, Lines};
use tautline_net::tls::{
    Acceptor, Error, State, TlsConn, TlsListener, TlsStream, buffers_in_use, set_buffers,
};
use tautline_net::{TcpListener, TcpStream, UnixStream};
use tautline_runtime::{Config, DriverChoice, Runtime, SocketOption, timer};
use tls_support::{authority, error_of, pair, pattern};

/// What a client says in the same breath as the end of its handshake is not lost on a server that
/// hands the stream on: to a codec that is awaited, to one with a handler, to a handler.
#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    everywhere(|runtime| {
        let authority = authority("one");
        let listener =
            TlsListener::bind("127.0.0.1:0", authority.server().build().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let (ways, told) = (Cell::new(0), heard.clone());
        listener
            .on_accept(move |stream| {
                let (stream, told) = (stream?, told.clone());
                ways.set(ways.get() + 1);
                match ways.get() {
                    1 => stream
                        .on_data(move |_, bytes| {
                            told.borrow_mut()
                                .push(String::from_utf8_lossy(bytes).trim().to_owned());
                        })
                        .map(drop),
                    2 => Framed::new(stream, Lines::new(100))
                        .on_item(move |_, line| told.borrow_mut().push(line.to_owned()))
                        .map(drop),
                    _ => {
                        let task = async move {
                            let mut lines = Framed::new(stream, Lines::new(100));
                            while let Some(Ok(line)) = lines.next().await {
                                told.borrow_mut().push(line.to_owned());
                            }
                        };
                        tautline_runtime::task::spawn(task).map(drop).map_err(Into::into)
                    }
                }
            })
            .unwrap();
        let connector = authority.client().build().unwrap();
        for _ in 0..3 {
            let stream = block(runtime, async {
                let stream = connector.connect_as(addr, "localhost").await?;
                stream.write_all(b"early\n").await?;
                Ok(stream)
            });
            until(runtime, || heard.borrow_mut().pop().is_some_and(|line| line == "early"));
            block(runtime, async { stream.write_all(b"late\n").await });
            until(runtime, || heard.borrow_mut().pop().is_some_and(|line| line == "late"));
        }
    });
}

/// A handler that keeps its stream after the peer's end can still send, is not called any more,
/// and is dropped when the stream is closed.
#[test]
fn a_handler_goes_on_after_the_peers_end() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, async { Ok(pair().await) });
        let (calls, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let counted = calls.clone();
        let far = far.on_data(move |_, _| counted.set(counted.get() + 1)).unwrap();
        let told = ended.clone();
        far.keep_half_open().on_close(move |_, end| told.set(end.is_ok()));
        block(runtime, async {
            near.write_all(b"all of it").await?;
            near.shutdown().await
        });
        until(runtime, || ended.get());
        assert_eq!(far.write(b"a late answer").unwrap(), 13);
        let mut buf = [0; 32];
        block(runtime, async {
            assert_eq!(near.read(&mut buf).await?, 13);
            timer::sleep(Duration::from_millis(5)).await?;
            Ok(())
        });
        assert!(far.conn().is_open());
        far.close();
        block(runtime, async {
            assert_eq!(near.read(&mut buf).await?, 0);
            Ok(())
        });
        assert_eq!(calls.get(), 1);
        drop(far);
        until(runtime, || Rc::strong_count(&calls) == 1);
    });
}

/// When all buffers hold incomplete records, the connection that needs one more ends with an error
/// that names the limit, those that stand go on, and a buffer that comes back can be had again.
#[test]
fn buffers_that_are_used_up_are_told() {
    run(async || {
        set_buffers(2);
        let authority = authority("one");
        let acceptor = authority.server().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stuck = async || {
            let near = TcpStream::connect(listener.local_addr()?).await?;
            near.write_all(&[22, 3, 1, 1][..]).await.0?;
            let (far, _) = listener.accept().await?;
            let handshake = tautline_runtime::task::spawn(acceptor.accept(far)).unwrap();
            io::Result::Ok((near, handshake))
        };
        let (one, _first) = stuck().await?;
        let (_two, _second) = stuck().await?;
        while buffers_in_use() < 2 {
            timer::sleep(Duration::from_millis(1)).await?;
        }
        let (_three, third) = stuck().await?;
        let error = error_of(third.await.unwrap());
        assert_eq!(error, Error::Buffers { count: 2 });
        assert!(error.to_string().contains("set_buffers"));
        drop(one);
        while buffers_in_use() == 2 {
            timer::sleep(Duration::from_millis(1)).await?;
        }
        let (near, _) =
            tls_support::meet(&authority.client().build().unwrap(), &acceptor, "localhost").await;
        set_buffers(4096);
        near.map(drop)
    });
}

/// With hardly any memory for what is to be sent, shared by all, everything arrives all the same.
#[test]
fn everything_arrives_with_hardly_any_chunks() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let config = Config { driver, send_chunks: 3, send_chunk_size: 4096, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let sent = pattern(300_000);
        let send = async |stream: TlsStream| {
            stream.write_all(&sent).await?;
            stream.shutdown().await?;
            assert_eq!(stream.read(&mut [0]).await?, 0);
            io::Result::Ok(())
        };
        let receive = async |stream: TlsStream| {
            let (mut got, mut buf) = (Vec::new(), vec![0; 3000]);
            loop {
                match stream.read(&mut buf).await? {
                    0 => break,
                    count => got.extend_from_slice(&buf[..count]),
                }
            }
            assert!(got == sent);
            stream.shutdown().await
        };
        block(&runtime, async {
            let ((a, b), (c, d), (e, f)) = (pair().await, pair().await, pair().await);
            for stream in [&a, &c, &e] {
                // So that the queues of the loop are needed.
                stream.conn().set_option(SocketOption::SendBuffer(4096))?;
            }
            futures::try_join!(send(a), receive(b), send(c), receive(d), send(e), receive(f))
                .map(drop)
        });
    }
}

/// A handshake that finds no memory for what it has to say waits until there is some, and the loop goes on
/// meanwhile.
#[test]
fn a_handshake_waits_for_chunks() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let config = Config { driver, send_chunks: 3, send_chunk_size: 4096, ..small() };
        let runtime = Runtime::new(config).unwrap();
        block(&runtime, async {
            let (hog, drain) = UnixStream::pair()?;
            hog.conn().set_write_limit(1 << 20);
            while hog.conn().write(&[0; 4096])? > 0 {
                hog.conn().flush();
            }
            let authority = authority("one");
            let (connector, acceptor) =
                (authority.client().build().unwrap(), authority.server().build().unwrap());
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let addr = listener.local_addr()?;
            let serve = async { acceptor.accept(listener.accept().await?.0).await };
            let connect = connector.connect_as(addr, "localhost");
            let free = async {
                timer::sleep(Duration::from_millis(30)).await?;
                let (mut came, mut buf) = (0, vec![0; 1 << 16]);
                while hog.conn().queued() > 0 || came == 0 {
                    let (count, bytes) = drain.read(buf).await;
                    (came, buf) = (came + count?, bytes);
                }
                io::Result::Ok(())
            };
            futures::try_join!(serve, connect, free).map(drop)
        });
    }
}

/// A stream that was cut off right behind its last bytes is told to be so, although both were there at
/// once, and nobody tells of the end by itself: to a handler of bytes, and to one of items.
#[test]
fn an_end_right_behind_bytes_is_told() {
    for by_items in [false, true] {
        run(async || {
            let (near, far) = pair().await;
            let told = Rc::new(RefCell::new(None));
            let seen = Rc::new(Cell::new(0));
            near.write_all(b"a line\n").await?;
            near.conn().flush();
            drop(near.conn().try_read(&mut [0]));
            near.conn().close();
            timer::sleep(Duration::from_millis(20)).await?;
            let (place, count) = (told.clone(), seen.clone());
            if by_items {
                let served = Framed::new(far, Lines::new(80)).on_item(move |_, line: &str| {
                    count.set(count.get() + line.len() + 1);
                })?;
                served
                    .on_close(move |how| *place.borrow_mut() = Some(how.map_err(io::Error::from)));
            } else {
                let conn = far.on_data(move |_, bytes| count.set(count.get() + bytes.len()))?;
                conn.on_close(move |_, how| *place.borrow_mut() = Some(how));
            }
            while told.borrow().is_none() {
                timer::sleep(Duration::from_millis(1)).await?;
            }
            assert_eq!(seen.get(), 7);
            let error = told.take().unwrap().expect_err("it was cut off");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
            Ok(())
        });
    }
}

/// A write limit that no record fits into is an error that says so, not a wait without end.
#[test]
fn a_write_limit_below_a_record_is_told() {
    run(async || {
        let (near, _far) = pair().await;
        near.conn().set_write_limit(100);
        let error = error_of(near.write(b"x").await);
        assert_eq!(error, Error::NoRoom { least: 128 });
        near.conn().set_write_limit(200);
        assert!(near.write(&[0; 500]).await? < 200);
        near.shutdown().await?;
        let error = error_of(near.write(b"x").await);
        assert_eq!((error, near.state()), (Error::Finished, State::Finished));
        Ok(())
    });
}

/// A handler that is paused sees nothing, and everything when it is resumed, also what has been
/// deciphered already.
#[test]
fn a_paused_handler_sees_everything_later() {
    everywhere(|runtime| {
        let (near, far) = block(runtime, async { Ok(pair().await) });
        let seen: Rc<RefCell<Vec<u8>>> = Rc::default();
        let into = seen.clone();
        let far = far
            .on_data(move |conn: &TlsConn, bytes: &[u8]| {
                into.borrow_mut().extend_from_slice(bytes);
                conn.conn().pause();
            })
            .unwrap();
        let sent = pattern(100_000);
        block(runtime, async {
            near.write_all(&sent).await?;
            near.flush().await?;
            timer::sleep(Duration::from_millis(5)).await?;
            Ok(())
        });
        until(runtime, || !seen.borrow().is_empty());
        let first = seen.borrow().len();
        assert!(first <= 1 << 14, "one call, and no more");
        for _ in 0..100 {
            if seen.borrow().len() == sent.len() {
                break;
            }
            let before = seen.borrow().len();
            far.conn().resume().unwrap();
            until(runtime, || seen.borrow().len() > before);
        }
        assert!(*seen.borrow() == sent);
    });
}

/// A chain of certificates that fills several records is taken, over addresses by number too.
#[test]
fn a_long_chain_is_taken() {
    run(async || {
        let authority = authority("one");
        let names: Vec<String> = (0..1500).map(|n| format!("host-{n}.long.example")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push("127.0.0.1");
        let pem = authority.sign(&names);
        assert!(pem.chain.len() > 40_000, "{} bytes", pem.chain.len());
        let acceptor = Acceptor::builder().identity(pem.identity()).build().unwrap();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor)?;
        let connector = authority.client().build().unwrap();
        let (near, far) = futures::join!(connector.connect(listener.local_addr()?), async {
            listener.accept().await?.0.await
        });
        assert_eq!(near?.facts().peer_certificates.len(), 1);
        far.map(drop)
    });
}

/// Two fibers share a stream: one reads while the other writes, and each waits by itself.
#[test]
fn one_fiber_reads_while_another_writes() {
    fiber_support::run(|| {
        use tautline_net::fiber::{TlsListener, TlsStream};
        use tautline_runtime::fiber::{Stack, spawn};
        let authority = authority("one");
        let listener = TlsListener::bind("127.0.0.1:0", authority.server().build().unwrap())?;
        let addr = listener.local_addr()?;
        let echo = spawn(Stack::Medium, move || {
            let stream = listener.accept()?.0.complete()?;
            let mut buf = [0; 4096];
            loop {
                match stream.read(&mut buf)? {
                    0 => return stream.shutdown(),
                    count => stream.write_all(&buf[..count])?,
                }
            }
        })?;
        let connector = authority.client().build().unwrap();
        let stream = Rc::new(TlsStream::connect_as(&connector, addr, "localhost")?);
        let writing = stream.clone();
        let writer = spawn(Stack::Medium, move || {
            writing.write_all(&pattern(3 << 20))?;
            writing.shutdown()
        })?;
        let mut got = vec![0; 3 << 20];
        stream.read_exact(&mut got)?;
        assert!(got == pattern(3 << 20));
        assert_eq!(stream.read(&mut [0])?, 0);
        fiber_support::joined(writer)?;
        fiber_support::joined(echo)
    });
}

/// What was deciphered before the connection was reset is read before the reset is told.
#[test]
fn what_came_before_a_reset_is_read_first() {
    run(async || {
        let (near, far) = pair().await;
        far.write_all(&[7; 1000]).await?;
        far.flush().await?;
        let mut buf = [0; 5000];
        assert_eq!(near.read(&mut buf[..10]).await?, 10);
        far.conn().set_option(SocketOption::Linger(Some(Duration::ZERO)))?;
        far.conn().abort();
        timer::sleep(Duration::from_millis(5)).await?;
        assert_eq!(near.read(&mut buf).await?, 990);
        let reset = near.read(&mut buf).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

//! WebSockets in streams of HTTP/2 (RFC 8441), over real sockets, on each driver.

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use common::{live, on_each_driver};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::Upgraded;
use tautline_http::rt::{Executor, Io};
use tautline_http::{
    Bytes, Empty, Handle, Limits, Method, Request, Response, Server, StatusCode, header, service_fn,
};
use tautline_net::TcpStream;
use tautline_runtime::{task, timer};

type Sender = SendRequest<Empty<Bytes>>;

fn server(limits: Limits) -> Handle {
    Server::new().limits(limits).listen("127.0.0.1:0", service_fn(live)).unwrap()
}

/// A connection of HTTP/2 on which a page was asked for, so that the server's settings are known.
async fn client(server: &Handle) -> Sender {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut sender, conn) = handshake(Executor, Io::new(stream)).await.unwrap();
    drop(task::spawn(conn).unwrap());
    let page = Request::get("http://x.example/page").body(Empty::new()).unwrap();
    let answer = sender.send_request(page).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
    sender
}

fn connect(protocol: &'static str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("http://x.example/live?feed=1")
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .body(Empty::new())
        .unwrap()
}

async fn open(sender: &mut Sender) -> Upgraded {
    let answer = sender.send_request(connect("websocket")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    hyper::upgrade::on(answer).await.unwrap()
}

async fn say(stream: &mut Upgraded, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let taken = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
        bytes = &bytes[taken..];
    }
    Ok(())
}

/// Reads until there are so many bytes, or the stream has ended.
async fn hear(stream: &mut Upgraded, count: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let mut piece = [0; 4096];
        let mut buf = ReadBuf::new(&mut piece);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buf.unfilled())).await.unwrap();
        if buf.filled().is_empty() {
            break;
        }
        heard.extend_from_slice(buf.filled());
    }
    heard
}

/// A binary frame with a length of 64 bits: from a client masked, by zeros.
fn frame(of: &[u8], masked: bool) -> Vec<u8> {
    let mask: &[u8] = if masked { &[0; 4] } else { &[] };
    let head = [0x82, if masked { 0xff } else { 0x7f }];
    [&head, &(of.len() as u64).to_be_bytes()[..], mask, of].concat()
}

const FAREWELL: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// Messages of a megabyte come back on streams of one connection, past each other, and each stream
/// ends in order by itself.
#[test]
fn streams_carry_websockets() {
    on_each_driver(|| async {
        let server = server(Limits::default());
        let mut sender = client(&server).await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(open(&mut sender).await);
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            say(stream, &frame(&vec![n as u8; 1 << 20], true)).await.unwrap();
        }
        for (n, stream) in streams.iter_mut().enumerate().rev() {
            let echo = frame(&vec![n as u8; 1 << 20], false);
            assert!(hear(stream, echo.len()).await == echo, "{n}");
            say(stream, FAREWELL).await.unwrap();
            assert_eq!(hear(stream, usize::MAX).await, b"\x88\x02\x03\xe8");
        }
        // The connection serves on.
        assert_eq!(open(&mut sender).await.hello().await, b"\x82\x02hi");
    });
}

trait Hello {
    async fn hello(&mut self) -> Vec<u8>;
}

impl Hello for Upgraded {
    async fn hello(&mut self) -> Vec<u8> {
        say(self, b"\x82\x82\0\0\0\0hi").await.unwrap();
        hear(self, 4).await
    }
}

/// The checks of a request by HTTP/1.1 hold here as well, and what is no WebSocket is told so. The
/// answer that grants one speaks of no connection.
#[test]
fn what_is_asked_for_is_checked() {
    on_each_driver(|| async {
        let server = server(Limits::default());
        let mut sender = client(&server).await;
        let foreign = {
            let mut request = connect("websocket");
            request
                .headers_mut()
                .insert(header::ORIGIN, "https://elsewhere.example".parse().unwrap());
            request
        };
        let old = {
            let mut request = connect("websocket");
            request.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
            request
        };
        let other = connect("connect-udp");
        for (request, status) in [(foreign, 403), (old, 426), (other, 501)] {
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
        }
        let mut request = connect("websocket");
        let own = [
            ("origin", "http://x.example"),
            ("sec-websocket-protocol", "b, a"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        for (name, value) in own {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer: Response<_> = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let headers = answer.headers();
        assert_eq!(headers["sec-websocket-protocol"], "a");
        assert!(
            headers["sec-websocket-extensions"].to_str().unwrap().contains("permessage-deflate")
        );
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    });
}

/// A client that reads nothing is read from no more, once everything between is full; its other
/// streams go on.
#[test]
fn a_client_that_does_not_read_is_held_up() {
    on_each_driver(|| async {
        let server = server(Limits::default());
        let mut sender = client(&server).await;
        let mut stream = open(&mut sender).await;
        let message = frame(&vec![7; 1 << 16], true);
        let mut said = 0;
        let held = Duration::from_millis(500);
        while timer::timeout(held, say(&mut stream, &message)).await.is_ok() {
            said += 1;
            assert!(said < 1000, "nothing holds it up");
        }
        // Another on the same connection is not disturbed.
        assert_eq!(open(&mut sender).await.hello().await, b"\x82\x02hi");
    });
}

/// A WebSocket keeps its connection from being idle, and one that its client drops is over.
#[test]
fn an_open_websocket_keeps_its_connection() {
    on_each_driver(|| async {
        let idle_within = Duration::from_millis(200);
        let server = server(Limits { idle_within, ..Limits::default() });
        let mut sender = client(&server).await;
        let mut stream = open(&mut sender).await;
        timer::sleep(idle_within * 3).await.unwrap();
        assert_eq!(stream.hello().await, b"\x82\x02hi");
        assert_eq!(server.connections(), 1);
        drop(stream);
        let gone = async {
            while server.connections() > 0 {
                timer::sleep(Duration::from_millis(10)).await.unwrap();
            }
        };
        timer::timeout(Duration::from_secs(5), gone).await.unwrap();
    });
}

/// The end of the server waits for them, and cuts off what is left at its deadline.
#[test]
fn the_end_of_the_server_is_theirs() {
    on_each_driver(|| async {
        let server = server(Limits::default());
        let mut sender = client(&server).await;
        let mut stream = open(&mut sender).await;
        assert!(!server.shutdown(Duration::from_millis(100)).await);
        let left = timer::timeout(Duration::from_secs(5), async {
            loop {
                if say(&mut stream, b"\x89\x80\0\0\0\0").await.is_err() {
                    break;
                }
                timer::sleep(Duration::from_millis(10)).await.unwrap();
            }
        });
        left.await.unwrap();
    });
}

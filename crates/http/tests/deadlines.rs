//! Peers that take or give too little at a time, and those that only look as if they did.

mod common;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use common::{
    LONG, blocking, certificate, connect, echo, echo_server, on_each_driver, serve_bytes,
};
use tautline_http::{
    BodyError, BodyExt, Client, ClientError, ClientLimits, Full, Handle, Limits, Request, Server,
    service_fn,
};
use tautline_net::tls::TlsListener;
use tautline_runtime::timer;

const SHORT: Duration = Duration::from_millis(100);

/// What a client of HTTP/2 begins with: its settings, with these in them.
fn preface(settings: &[u8]) -> Vec<u8> {
    let length = [0, 0, u8::try_from(settings.len()).unwrap()];
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &length[..], b"\x04\0\0\0\0\0", settings].concat()
}

/// Asks for `http://x/` on the first stream.
const GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x";

/// Waits until the server has so many connections.
async fn has(server: &Handle, connections: usize) {
    while server.connections() != connections {
        timer::sleep(Duration::from_millis(1)).await.unwrap();
    }
}

/// A client of HTTP/2 that grants no window is cut off, however short the answer is.
#[test]
fn a_window_that_never_opens_is_a_lack_of_progress() {
    on_each_driver(|| async {
        for length in [10, 32 << 20] {
            let limits = Limits { progress_within: SHORT, idle_within: LONG, ..Limits::default() };
            let server = serve_bytes(limits, length);
            let mut stream = connect(server.local_addr());
            let closed = preface(b"\0\x04\0\0\0\0");
            stream.write_all(&[&closed, GET].concat()).unwrap();
            has(&server, 1).await;
            has(&server, 0).await;
        }
    });
}

/// An answer that is taken steadily is sent to its end, although that takes longer than a
/// connection may be idle.
#[test]
fn an_answer_that_is_read_steadily_is_sent_whole() {
    on_each_driver(|| async {
        let limits = Limits { idle_within: SHORT, ..Limits::default() };
        let server = serve_bytes(limits, 32 << 20);
        let addr = server.local_addr();
        let total = blocking(move || {
            let mut stream = connect(addr);
            let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request).unwrap();
            let (mut total, mut piece) = (0, vec![0; 1 << 20]);
            loop {
                std::thread::sleep(Duration::from_millis(5));
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => return total,
                    Ok(count) => total += count,
                }
            }
        });
        assert!(total.await > 32 << 20);
    });
}

/// The head of a request that drips behind a large answer does not put a 408 into that answer.
#[test]
fn no_408_lands_within_an_answer() {
    on_each_driver(|| async {
        let limits = Limits { header_within: SHORT, ..Limits::default() };
        let server = serve_bytes(limits, 32 << 20);
        let addr = server.local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            for byte in b"GET / HTTP/1.1\r\na: b\r\n" {
                std::thread::sleep(Duration::from_millis(10));
                stream.write_all(&[*byte]).unwrap();
            }
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).map(|_| heard)
        });
        let heard = heard.await.unwrap();
        let body = heard.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(heard[body..].len() >= 32 << 20, "{}", heard.len());
        assert!(heard[body..][..32 << 20].iter().all(|byte| *byte == 0));
    });
}

/// After TLS too the first byte has as long as a head, not as long as an idle connection.
#[test]
fn the_first_byte_through_tls_is_due_as_soon_as_any() {
    on_each_driver(|| async {
        let (acceptor, _, chain) = certificate();
        let roots = tautline_net::tls::Roots::from_pem(chain).unwrap();
        let old = tautline_net::tls::Connector::builder().roots(roots).alpn(["http/1.1"]);
        let limits = Limits { header_within: SHORT * 10, idle_within: LONG, ..Limits::default() };
        let listener = TlsListener::bind("127.0.0.1:0", acceptor).unwrap();
        let server = Server::new().limits(limits).serve_tls(listener, service_fn(echo)).unwrap();
        let addr = ("localhost", server.local_addr().port());
        let stream = old.build().unwrap().connect(addr).await.unwrap();
        has(&server, 0).await;
        drop(stream);
    });
}

/// A connection of HTTP/2 that was idle for too long is told so by GOAWAY.
#[test]
fn an_idle_connection_of_http_2_hears_goaway() {
    on_each_driver(|| async {
        let limits = Limits { idle_within: SHORT, ..Limits::default() };
        let addr = echo_server(limits).local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(&preface(b"")).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).map(|_| heard)
        });
        let heard = heard.await.unwrap();
        let (mut at, mut kinds) = (0, Vec::new());
        while let Some(head) = heard.get(at..at + 9) {
            kinds.push(head[3]);
            at += 9 + usize::from(head[1]) * 256 + usize::from(head[2]);
        }
        assert!(kinds.contains(&7), "{kinds:?}");
    });
}

/// A client of HTTP/2 that gives no sign of life is given up long before it would be idle; one that
/// does is not.
#[test]
fn a_client_that_answers_no_ping_is_given_up() {
    on_each_driver(|| async {
        let limits = Limits { ping_every: SHORT, ping_within: SHORT * 5, ..Limits::default() };
        let server = echo_server(limits);
        let mut stream = connect(server.local_addr());
        stream.write_all(&preface(b"")).unwrap();
        has(&server, 1).await;
        has(&server, 0).await;
        let client = Client::new().prior_knowledge(true);
        client.get(&format!("http://{}/", server.local_addr())).await.unwrap();
        timer::sleep(SHORT * 8).await.unwrap();
        assert_eq!(server.connections(), 1);
    });
}

/// A client cuts off a server that takes nothing of a request, whichever protocol it speaks.
#[test]
fn a_server_that_reads_nothing_is_given_up() {
    const LENGTH: usize = 64 << 20;
    on_each_driver(|| async {
        for (prior, answer_within) in [(false, SHORT), (false, LONG), (true, LONG)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let progress_within = if answer_within == SHORT { LONG } else { SHORT };
            let limits = ClientLimits {
                answer_within,
                progress_within,
                ping_every: SHORT,
                ping_within: SHORT,
                ..ClientLimits::default()
            };
            let client = Client::new().limits(limits).prior_knowledge(prior);
            let request = Request::post(url).body(Full::from(vec![0; LENGTH])).unwrap();
            let error = client.request(request).await.unwrap_err();
            let late = matches!(error, ClientError::Late { .. });
            assert_eq!(late, answer_within == SHORT, "{error}");
            let total = blocking(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let (mut total, mut piece) = (0, vec![0; 1 << 20]);
                loop {
                    match stream.read(&mut piece) {
                        Ok(0) => return total,
                        Ok(count) => total += count,
                        Err(error) => {
                            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                            return total;
                        }
                    }
                }
            });
            assert!(total.await < LENGTH);
        }
    });
}

/// What is too long stays too long: nothing more comes of the body after the error.
#[test]
fn a_body_that_is_too_long_has_ended() {
    on_each_driver(|| async {
        let server = serve_bytes(Limits::default(), 1 << 20);
        let limits = ClientLimits { body_bytes: 1000, ..ClientLimits::default() };
        let client = Client::new().limits(limits);
        let answer = client.get(&format!("http://{}/", server.local_addr())).await.unwrap();
        let mut body = answer.into_body();
        let first = body.frame().await.unwrap();
        assert!(matches!(first, Err(BodyError::TooLong { limit: 1000 })));
        assert!(body.frame().await.is_none());
    });
}

/// Requests that are sent at once to a server that nobody has asked yet share one connection of
/// HTTP/2, on plain TCP and through TLS; by HTTP/1.1 each has its own.
#[test]
fn the_first_requests_share_a_connection() {
    on_each_driver(|| async {
        let (acceptor, connector, chain) = certificate();
        let roots = tautline_net::tls::Roots::from_pem(chain).unwrap();
        let old = tautline_net::tls::Connector::builder().roots(roots).alpn(["http/1.1"]);
        let (plain, secure) = (echo_server(Limits::default()), common::tls_echo_server(acceptor));
        let plain_url = format!("http://{}/", plain.local_addr());
        let secure_url = format!("https://localhost:{}/", secure.local_addr().port());
        for (client, server, url, connections) in [
            (Client::new().prior_knowledge(true), &plain, &plain_url, 1),
            (Client::new().connector(connector), &secure, &secure_url, 1),
            (Client::new().connector(old.build().unwrap()), &secure, &secure_url, 1 + 5),
        ] {
            let ask = || {
                let (client, url) = (client.clone(), url.clone());
                let ask = async move { client.get(&url).await };
                tautline_runtime::task::spawn(ask).unwrap()
            };
            let asked: Vec<_> = (0..5).map(|_| ask()).collect();
            for answer in asked {
                let answer = answer.await.unwrap().unwrap();
                assert_eq!(answer.into_body().text().await.unwrap(), "GET /\n");
            }
            assert!(server.connections() <= connections, "{}", server.connections());
        }
    });
}

/// The connection of a request that was refused goes to nobody, whatever its service answered.
#[test]
fn a_refused_request_gets_no_websocket() {
    use std::{cell::Cell, rc::Rc};
    on_each_driver(|| async {
        let opened = Rc::new(Cell::new(false));
        let seen = opened.clone();
        let service = service_fn(move |request: Request<tautline_http::Body>| {
            let seen = seen.clone();
            async move {
                let (mut parts, body) = request.into_parts();
                assert!(body.bytes().await.is_err());
                parts.headers.remove("transfer-encoding");
                let request = Request::from_parts(parts, ());
                let options = tautline_websocket::Options::default();
                let answer = tautline_http::websocket::upgrade(&request, options, move |_| {
                    seen.set(true);
                    Ok(())
                });
                assert_eq!(answer.status().as_u16(), 101);
                Ok::<_, Infallible>(answer)
            }
        });
        let limits = Limits { body_bytes: 10, ..Limits::default() };
        let server = Server::new().limits(limits).listen("127.0.0.1:0", service).unwrap();
        let head = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            transfer-encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n";
        let heard = common::talk(server.local_addr(), head).await;
        assert!(heard.starts_with("HTTP/1.1 413"), "{heard}");
        assert!(!opened.get());
    });
}

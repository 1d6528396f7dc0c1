//! What a server grants its peers, and what becomes of those who want more.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use common::{blocking, connect, echo, echo_server, on_each_driver, talk};
use tautline_http::{Client, Full, Limits, Request, Server, StatusCode, WhenFull, service_fn};
use tautline_runtime::timer;

const SHORT: Duration = Duration::from_millis(100);

/// A head that drips is answered 408 when its time is up, however often a byte comes.
#[test]
fn a_slow_head_is_answered_408() {
    on_each_driver(|| async {
        let server = echo_server(Limits { header_within: SHORT, ..Limits::default() });
        let addr = server.local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
            for _ in 0..40 {
                std::thread::sleep(Duration::from_millis(10));
                if stream.write_all(b"a: b\r\n").is_err() {
                    break;
                }
            }
            let mut heard = String::new();
            stream.read_to_string(&mut heard).map(|_| heard)
        });
        assert!(heard.await.unwrap().starts_with("HTTP/1.1 408"));
    });
}

/// A connection that says nothing is closed, before its first request and after it.
#[test]
fn silence_is_ended() {
    on_each_driver(|| async {
        let limits = Limits { header_within: SHORT, idle_within: SHORT, ..Limits::default() };
        let server = echo_server(limits);
        assert_eq!(talk(server.local_addr(), "").await, "");
        let heard = talk(server.local_addr(), "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("GET /\n"), "{heard}");
        // HTTP/2 too: the preface and settings, then nothing.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        let addr = server.local_addr();
        let count = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(&preface).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap()
        });
        assert!(count.await > 0);
    });
}

/// A head that is too long, or has too many headers, is answered 431 by either protocol.
#[test]
fn a_large_head_is_answered_431() {
    on_each_driver(|| async {
        let limits = Limits { header_bytes: 8192, header_count: 20, ..Limits::default() };
        let server = echo_server(limits);
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(100_000));
        let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(30));
        for head in [long, many] {
            let heard = talk(server.local_addr(), head).await;
            assert!(heard.starts_with("HTTP/1.1 431"), "{heard}");
        }
        let client = Client::new().prior_knowledge(true);
        let mut request = Request::get(format!("http://{}/", server.local_addr()));
        for n in 0..30 {
            request = request.header(format!("x-{n}"), "b");
        }
        let answer = client.request(request.body(Full::<_>::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    });
}

/// A body that is too long is answered 413: announced before the service sees it, in chunks
/// whatever the service makes of it, and its client reads the answer although it still sends.
#[test]
fn a_long_body_is_answered_413() {
    on_each_driver(|| async {
        let server = echo_server(Limits { body_bytes: 1000, ..Limits::default() });
        let addr = server.local_addr();
        let announced = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n{}",
            "b".repeat(300_000)
        );
        let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunks = format!("3e8\r\n{}\r\n", "c".repeat(1000)).repeat(30);
        for request in [announced, format!("{head}{chunks}0\r\n\r\n")] {
            let heard = talk(addr, request).await;
            assert!(heard.starts_with("HTTP/1.1 413"), "{heard}");
        }
        let client = Client::new().prior_knowledge(true);
        let url = format!("http://{addr}/");
        let request = Request::post(url).body(Full::from(vec![0; 1001])).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    });
}

/// A body that stops coming is answered 408.
#[test]
fn a_stalled_body_is_answered_408() {
    on_each_driver(|| async {
        let server = echo_server(Limits { progress_within: SHORT, ..Limits::default() });
        let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
        let heard = talk(server.local_addr(), request).await;
        assert!(heard.starts_with("HTTP/1.1 408"), "{heard}");
    });
}

/// A client that does not read its answer is cut off.
#[test]
fn an_answer_that_is_not_taken_is_cut_off() {
    on_each_driver(|| async {
        let large = service_fn(async |_| {
            Ok::<_, std::convert::Infallible>(tautline_http::Response::new(Full::from(vec![
                0;
                64 << 20
            ])))
        });
        let limits = Limits { progress_within: SHORT, ..Limits::default() };
        let server = Server::new().limits(limits).listen("127.0.0.1:0", large).unwrap();
        let mut stream = connect(server.local_addr());
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        for _ in 0..200 {
            timer::sleep(Duration::from_millis(10)).await.unwrap();
        }
        assert_eq!(server.connections(), 0);
    });
}

/// One connection too many waits for its turn, or is answered 503, as was chosen.
#[test]
fn one_connection_too_many_has_an_answer() {
    on_each_driver(|| async {
        for when_full in [WhenFull::Wait, WhenFull::Refuse] {
            let limits = Limits { connections: 1, when_full, ..Limits::default() };
            let server = echo_server(limits);
            let first = connect(server.local_addr());
            while server.connections() == 0 {
                timer::sleep(Duration::from_millis(1)).await.unwrap();
            }
            let release = timer::after(SHORT, move || drop(first)).unwrap();
            let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let heard = talk(server.local_addr(), request).await;
            let (status, waits) = match when_full {
                WhenFull::Wait => ("HTTP/1.1 200", true),
                WhenFull::Refuse => ("HTTP/1.1 503", false),
            };
            assert!(heard.starts_with(status), "{heard}");
            assert_eq!(!release.is_armed(), waits);
        }
    });
}

/// Requests that come at once are answered in order, on one connection, also in chunks, and when
/// the client has ended its side already.
#[test]
fn pipelined_requests_are_answered_in_order() {
    on_each_driver(|| async {
        let server = echo_server(Limits::default());
        let addr = server.local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            for n in 0..50 {
                let head = format!("POST /{n} HTTP/1.1\r\nhost: x\r\n");
                let body = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            heard
        })
        .await;
        let answers: Vec<&str> = heard.split("POST /").skip(1).collect();
        assert_eq!(answers.len(), 50, "{heard}");
        for (n, answer) in answers.iter().enumerate() {
            assert!(answer.starts_with(&format!("{n}\nabcde")), "{answer}");
        }
    });
}

/// What is no HTTP is answered 400, while others are served; a request that comes byte by byte is
/// answered, even if it begins as HTTP/2 does.
#[test]
fn nonsense_is_answered_400() {
    on_each_driver(|| async {
        let server = Server::new().listen("127.0.0.1:0", service_fn(echo)).unwrap();
        let (other, url) = (Client::new(), format!("http://{}/", server.local_addr()));
        other.get(&url).await.unwrap().into_body().bytes().await.unwrap();
        let heard = talk(server.local_addr(), "\x16\x03\x01 nonsense\r\n\r\n").await;
        assert!(heard.starts_with("HTTP/1.1 400"), "{heard}");
        assert_eq!(server.connections(), 1, "the other's");
        assert!(other.get(&url).await.is_ok());
        let addr = server.local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.set_nodelay(true).unwrap();
            for byte in b"PRI / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" {
                stream.write_all(&[*byte]).unwrap();
            }
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            heard
        });
        assert!(heard.await.ends_with("PRI /\n"));
    });
}

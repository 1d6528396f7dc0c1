//! From HTTP to WebSocket on one port, over real sockets, on each driver.

mod common;

use std::io::{Read, Write};

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use common::{blocking, certificate, connect, on_each_driver, talk};
use tautline_http::websocket::{self, Upgrade};
use tautline_http::{Client, Handle, Server, StatusCode, router};
use tautline_net::tls::TlsListener;
use tautline_websocket::read::Event;
use tautline_websocket::{Options, WebSocket};

fn echo(socket: WebSocket) -> std::io::Result<()> {
    socket.on_message(|sender, message| sender.send(message)).map(drop)
}

/// Says first which subprotocol is spoken.
fn tell_protocol(socket: WebSocket) -> std::io::Result<()> {
    let spoken = socket.protocol().unwrap_or("none").to_owned();
    socket.sender().send(&spoken)?;
    echo(socket)
}

fn app() -> Router {
    let upgrade = async |request: Request| websocket::upgrade(&request, Options::default(), echo);
    let forgetful = async |request: Request| {
        drop(websocket::upgrade(&request, Options::default(), echo));
        "no thanks"
    };
    let spoken = async |request: Request| {
        Upgrade::new(Options::default()).protocols(["b", "a"]).answer(&request, tell_protocol)
    };
    Router::new()
        .route("/", get(async || "a page"))
        .route("/live", get(upgrade))
        .route("/forgetful", get(forgetful))
        .route("/spoken", get(spoken))
}

fn server() -> Handle {
    Server::new().listen("127.0.0.1:0", router(app())).unwrap()
}

const HEAD: &str = "GET /live HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Messages of any length come back, after a page was served by the same router, also through TLS.
#[test]
fn a_request_becomes_a_websocket() {
    on_each_driver(|| async {
        let (acceptor, _, chain) = certificate();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor).unwrap();
        let secure = Server::new().serve_tls(listener, router(app())).unwrap();
        let plain = server();
        let page = Client::new().get(&format!("http://{}/", plain.local_addr())).await.unwrap();
        assert_eq!(page.into_body().text().await.unwrap(), "a page");
        let roots = tautline_net::tls::Roots::from_pem(chain).unwrap();
        let connector = tautline_net::tls::Connector::builder().roots(roots).build().unwrap();
        let client = tautline_websocket::Client::new().tls(connector);
        for url in [
            format!("ws://{}/live", plain.local_addr()),
            format!("wss://localhost:{}/live", secure.local_addr().port()),
        ] {
            let mut socket = client.connect(&url).await.unwrap();
            for length in [0, 1, 126, 65_536, 1 << 20] {
                let sent = vec![length as u8; length];
                socket.sender().send(&sent).unwrap();
                assert_eq!(socket.read().await.unwrap(), Some(Event::Binary(&sent)), "{length}");
            }
        }
    });
}

/// Frames that come in one piece with the request are not lost, nor is what follows.
#[test]
fn frames_behind_the_request_are_heard() {
    on_each_driver(|| async {
        let addr = server().local_addr();
        let heard = blocking(move || {
            let mut stream = connect(addr);
            // Masked by zero: "hi", then a farewell.
            let frames = b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0";
            stream.write_all(&[HEAD.as_bytes(), b"\r\n", frames].concat()).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        })
        .await;
        let text = String::from_utf8_lossy(&heard).to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 101"), "{text}");
        assert!(text.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{text}");
        assert!(heard.ends_with(b"\x81\x02hi\x88\x00"), "{heard:?}");
    });
}

/// What RFC 6455 asks of a request is asked here too, and each refusal has its status.
#[test]
fn what_is_no_request_for_a_websocket_is_refused() {
    on_each_driver(|| async {
        let server = server();
        let no_key = HEAD.replace("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "");
        let old = HEAD.replace("version: 13", "version: 8");
        let foreign = format!("{HEAD}origin: http://elsewhere.example\r\n");
        let plain = "GET /live HTTP/1.1\r\nhost: x\r\n".to_owned();
        for (head, status) in [(no_key, 400), (old, 426), (foreign, 403), (plain, 426)] {
            let heard = talk(server.local_addr(), format!("{head}connection: close\r\n\r\n")).await;
            assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
        }
        let url = format!("http://{}/live", server.local_addr());
        let answer = Client::new().prior_knowledge(true).get(&url).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
    });
}

/// A service that answers something else after all keeps its connection, and the next request on
/// it is served.
#[test]
fn an_upgrade_that_is_not_answered_is_none() {
    on_each_driver(|| async {
        let head = HEAD.replace("/live", "/forgetful");
        let next = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let heard = talk(server().local_addr(), format!("{head}\r\n{next}")).await;
        assert!(heard.contains("no thanks") && heard.ends_with("a page"), "{heard}");
    });
}

/// Compression is agreed on where both have it, and messages come back whole.
#[test]
fn compression_is_agreed_on() {
    on_each_driver(|| async {
        let options = Options { deflate: Some(Default::default()), ..Options::default() };
        let live = async move |request: Request| websocket::upgrade(&request, options, echo);
        let app = Router::new().route("/live", get(live));
        let addr = Server::new().listen("127.0.0.1:0", router(app)).unwrap().local_addr();
        for options in [options, Options::default()] {
            let client = tautline_websocket::Client::with(options);
            let mut socket = client.connect(&format!("ws://{addr}/live")).await.unwrap();
            let said = "the same again and again, ".repeat(1000);
            socket.sender().send(said.as_str()).unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Text(&said)));
        }
        let head = format!("{HEAD}sec-websocket-extensions: permessage-deflate\r\n\r\n");
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(&[head.as_bytes(), b"\x88\x80\0\0\0\0"].concat()).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            String::from_utf8_lossy(&heard).to_ascii_lowercase()
        });
        let heard = heard.await;
        assert!(heard.contains("sec-websocket-extensions: permessage-deflate"), "{heard}");
    });
}

/// The first subprotocol that the client offers is chosen of those that are spoken, and told to whoever
/// gets the WebSocket.
#[test]
fn a_subprotocol_is_chosen() {
    on_each_driver(|| async {
        let addr = server().local_addr();
        let head = HEAD.replace("/live", "/spoken");
        let head = format!("{head}sec-websocket-protocol: c, a, b\r\n\r\n");
        let farewell = b"\x88\x80\0\0\0\0";
        let heard = blocking(move || {
            let mut stream = connect(addr);
            stream.write_all(&[head.as_bytes(), farewell].concat()).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            String::from_utf8_lossy(&heard).to_ascii_lowercase()
        });
        let heard = heard.await;
        assert!(heard.contains("sec-websocket-protocol: a\r\n"), "{heard}");
        assert!(heard.contains("\r\n\r\n\u{fffd}\u{1}a"), "{heard:?}");
    });
}

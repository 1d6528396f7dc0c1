//! The clauses of RFC 6455 §4 and §9.1, one test each, and what else may come.

mod answers;
mod anything;
mod cut;
mod lists;
mod peers;
mod proxy;
mod refusals;
mod requests;
mod smuggling;
mod url;

use super::*;

/// The request of RFC 6455 §1.2, with other headers behind it.
fn request_with(lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// That request, with one of its lines written otherwise, or left out.
fn request_but(line: &str, other: &str) -> String {
    let request = request_with("");
    let start = request.find(line).expect("there is such a line");
    let end = start + request[start..].find("\r\n").expect("it ends") + 2;
    let other = if other.is_empty() { String::new() } else { format!("{other}\r\n") };
    format!("{}{other}{}", &request[..start], &request[end..])
}

/// What a server says to a request that it grants.
fn granted(request: &str) -> Upgrade<'_> {
    let server = Server::new().origins(Origins::Any).parse(request.as_bytes());
    match server {
        Ok(Asked::Upgrade(upgrade)) => upgrade,
        other => panic!("{request:?}: {other:?}"),
    }
}

/// Why a server grants no WebSocket, and with which status.
fn refused(request: &str) -> (ServerError, u16) {
    let refusal = Server::new().parse(request.as_bytes()).expect_err(request);
    let status = refusal.status().code();
    let response = String::from_utf8(refusal.response().bytes()).expect("it is text");
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    assert!(response.ends_with(&format!("\r\n\r\n{}\n", refusal.error())), "{response}");
    (refusal.error().clone(), status)
}

/// The nonce of the RFC's example.
const NONCE: [u8; 16] = *b"the sample nonce";

fn url() -> Url {
    Url::parse("ws://server.example.com/chat").expect("it is an address")
}

/// A client that offers two subprotocols.
fn client() -> Client {
    let request = Request::new(&url()).protocol("chat").and_then(|r| r.protocol("superchat"));
    request.expect("they are tokens").start(NONCE)
}

/// The answer of RFC 6455 §1.2, with other headers behind it.
fn answer_with(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
    )
}

/// That answer, with one of its lines written otherwise, or left out.
fn answer_but(line: &str, other: &str) -> String {
    let answer = answer_with("");
    let start = answer.find(line).expect("there is such a line");
    let end = start + answer[start..].find("\r\n").expect("it ends") + 2;
    let other = if other.is_empty() { String::new() } else { format!("{other}\r\n") };
    format!("{}{other}{}", &answer[..start], &answer[end..])
}

/// Why the client fails the connection.
fn failed(answer: &str) -> ClientError {
    client().parse(answer.as_bytes()).expect_err(answer)
}

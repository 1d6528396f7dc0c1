//! Heads: of requests, answers, and proxies.

use crate::deflate::{Config, Offer};
use crate::handshake::{
    Answer, Asked, Client, Connect, Limits, Origins, Proxied, Request, Server, Upgrade, Url,
};

/// What heads are made of, for those who make some up.
pub const WORDS: [&str; 30] = [
    "GET /chat?x HTTP/1.1\r\n",
    "Host: a.example\r\n",
    "Upgrade: websocket\r\n",
    "Connection: Upgrade\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: ",
    "permessage-deflate; client_max_window_bits=10; server_max_window_bits=\"9\"\r\n",
    "; server_no_context_takeover",
    "; client_no_context_takeover",
    "\r\nSec-WebSocket-Protocol: one, two\r\n",
    "Sec-WebSocket-Protocol: one\r\n",
    "Origin: http://a.example\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /there\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 407 Who?\r\n",
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X: y\r\n",
    " z\r\n",
    "\r",
    "\n",
    "\0",
    ", ",
    "POST http://a.example/ HTTP/1.1\r\n",
];

const NONCE: [u8; 16] = *b"the sample nonce";
const LIMITS: Limits = Limits { bytes: 1000, headers: 10 };

/// Takes the first byte for where the rest is cut, and the rest for a request, for an answer, and for a
/// proxy's answer.
///
/// # Panics
/// If it makes a difference where it is cut, if what is left over is not what was behind the head, if
/// what was granted cannot be answered, or if the answer is not understood.
pub fn handshake(bytes: &[u8]) {
    let Some((cut, input)) = bytes.split_first() else { return };
    let cut = usize::from(*cut) * input.len() / 255;
    let pieces = [&input[..cut], input];
    same(pieces, &server(), Server::parse, |asked| matches!(asked, Asked::Incomplete));
    same(pieces, &client(), Client::parse, |answer| matches!(answer, Answer::Incomplete));
    let parse = |connect: &mut Connect, input: &[u8]| connect.parse(input);
    let connect = Connect::new(&url()).limits(LIMITS);
    let mut by_two = connect.clone();
    let first = parse(&mut by_two, pieces[0]);
    let whole = parse(&mut connect.clone(), input);
    let both = if first == Ok(Proxied::Incomplete) { parse(&mut by_two, input) } else { first };
    assert_eq!(both, whole);

    if let Ok(Asked::Upgrade(upgrade)) = server().parse(input) {
        answered(&upgrade, input);
    }
    if let Ok(Answer::Opened(opened)) = client().parse(input) {
        assert!(input[..opened.used()].ends_with(b"\r\n\r\n"));
        assert!(opened.protocol().is_none_or(|protocol| ["one", "two"].contains(&protocol)));
    }
}

fn url() -> Url {
    Url::parse("ws://a.example/chat").expect("it is an address")
}

fn server() -> Server {
    Server::new().limits(LIMITS).origins(Origins::Any)
}

fn client() -> Client {
    let request = Request::new(&url()).protocol("one").and_then(|r| r.protocol("two"));
    let request = request.expect("they are tokens").deflate(&[Offer::default()]);
    request.limits(LIMITS).start(NONCE)
}

/// The same is said whether it comes in two pieces or in one.
fn same<'b, P: Clone, T: std::fmt::Debug, E: std::fmt::Debug>(
    pieces: [&'b [u8]; 2],
    parser: &P,
    parse: fn(&mut P, &'b [u8]) -> Result<T, E>,
    is_incomplete: fn(&T) -> bool,
) {
    let mut by_two = parser.clone();
    let first = parse(&mut by_two, pieces[0]);
    let is_open = first.as_ref().is_ok_and(is_incomplete);
    let both = if is_open { parse(&mut by_two, pieces[1]) } else { first };
    let whole = parse(&mut parser.clone(), pieces[1]);
    assert_eq!(format!("{both:?}"), format!("{whole:?}"));
}

/// What is granted can be answered, and opens the WebSocket of a client that has asked so.
fn answered(upgrade: &Upgrade<'_>, input: &[u8]) {
    assert!(input[..upgrade.used()].ends_with(b"\r\n\r\n"));
    assert!(upgrade.path().starts_with('/') && !upgrade.host().is_empty());
    let agreed = Config::default().accept(upgrade.extensions());
    let protocol = upgrade.choose(&["one", "two"]);
    let accept = upgrade.accept().protocol(protocol).expect("it was chosen");
    let answer = accept.deflate(agreed).bytes();
    let key = upgrade.headers().text("Sec-WebSocket-Key");
    if key != Some("dGhlIHNhbXBsZSBub25jZQ==") {
        return;
    }
    let offers: Vec<_> = upgrade.extensions().iter().filter_map(offer).collect();
    let mut request = Request::new(&url()).deflate(&offers);
    for protocol in upgrade.protocols() {
        request = request.protocol(protocol).expect("it was read as a token");
    }
    let mut client = request.start(NONCE);
    let Ok(Answer::Opened(opened)) = client.parse(&answer) else { panic!("{upgrade:?}") };
    assert_eq!(opened.protocol(), protocol);
    let terms = opened.deflate().map(|agreed| (agreed.server(), agreed.client()));
    assert_eq!(terms, agreed.map(|agreed| (agreed.server(), agreed.client())));
}

fn offer(extension: &crate::handshake::Extension<'_>) -> Option<Offer> {
    (extension.name == Offer::NAME).then(|| Offer::of_params(&extension.params).ok()).flatten()
}

//! From HTTP to WebSocket: a request that asks for one is answered 101, and its connection goes
//! over to the crate `websocket`.
//!
//! By HTTP/1.1 it gets the stream itself and what was read of it beyond the request, so that messages
//! are read and written as on any other WebSocket, with no copy between. By HTTP/2 (RFC 8441) it gets
//! one end of a pair of sockets, and the bytes are carried between the other end and a stream of the
//! connection, two more copies each way: what it costs that a page and its WebSockets share a
//! connection. Such a request has the method CONNECT, which a route must let through:
//! [`axum::routing::any`] does, `get` does not. Its connection belongs to the server as long as the
//! WebSocket is open, and is cut off where a [`shutdown`](crate::Handle::shutdown) ends.
//!
//! ```
//! use axum::{Router, extract::Request, routing::any};
//! use tautline_http::{Server, router, websocket};
//! use tautline_websocket::{Client, Options, read::Event};
//!
//! # let runtime = tautline_runtime::Runtime::new(Default::default())?;
//! let app = Router::new().route("/live", any(async |request: Request| {
//!     websocket::upgrade(&request, Options::default(), |socket| {
//!         socket.on_message(|sender, message| sender.send(message)).map(drop)
//!     })
//! }));
//! let server = Server::new().listen("127.0.0.1:0", router(app))?;
//! runtime.block_on(async {
//!     let mut socket = Client::new().connect(&format!("ws://{}/live", server.local_addr())).await?;
//!     socket.sender().send("hello")?;
//!     assert_eq!(socket.read().await?, Some(Event::Text("hello")));
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::{Request, Response, StatusCode, Version};
use tautline_websocket::handshake::{self, Asked, Origins};
use tautline_websocket::{Options, Role, Stock, WebSocket};

use crate::server::{Way, short};

/// Grants a WebSocket to programs and to pages of the same host, or says why not: [`Upgrade`] has
/// the choices. The response must be that of the service; `handler` gets the WebSocket once it has
/// been sent.
pub fn upgrade<B, F>(request: &Request<B>, options: Options, handler: F) -> Response<Full<Bytes>>
where
    F: FnOnce(WebSocket) -> io::Result<()> + 'static,
{
    Upgrade::new(options).answer(request, handler)
}

/// How requests for a WebSocket are answered.
///
/// Connections with the same options share their buffers, thread by thread.
#[derive(Clone, Debug)]
pub struct Upgrade {
    options: Options,
    origins: Origins,
    protocols: Vec<String>,
}

impl Upgrade {
    /// For programs and for pages of the same host.
    pub fn new(options: Options) -> Self {
        Self { options, origins: Origins::default(), protocols: Vec::new() }
    }

    /// Which pages may connect; others are answered 403.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// The subprotocols that are spoken. The first that the client offers of them is chosen.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, names: impl IntoIterator<Item = P>) -> Self {
        self.protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// As [`upgrade`]: compression is agreed on as the options say, every check of RFC 6455 §4.2.1 is
    /// made, and each has its answer.
    pub fn answer<B, F>(&self, request: &Request<B>, handler: F) -> Response<Full<Bytes>>
    where
        F: FnOnce(WebSocket) -> io::Result<()> + 'static,
    {
        let way = request.extensions().get::<Way>();
        let streamed = request.extensions().get::<Protocol>();
        if streamed.is_some_and(|protocol| protocol.as_str() != "websocket") {
            return short(StatusCode::NOT_IMPLEMENTED);
        }
        let head = match streamed {
            Some(_) => written_anew(request),
            None => written(request),
        };
        let mut server = handshake::Server::new().origins(self.origins.clone());
        let deflate = self.options.deflate.as_ref();
        let (way, granted, agreed, protocol) = match (server.parse(&head), way) {
            (Ok(Asked::Upgrade(upgrade)), Some(way)) => {
                let (accept, agreed) = upgrade.grant(&self.protocols, deflate);
                (way, accept.bytes(), agreed, accept.spoken().map(str::to_owned))
            }
            (Err(refusal), _) => return read(&refusal.response().bytes()),
            _ => return read(&handshake::Response::upgrade_required().bytes()),
        };
        let options = self.options;
        let given = way.give(Box::new(move |link, beyond| {
            if beyond.len() > options.read_buffer {
                let many = beyond.len();
                let text = format!("{many} bytes came with the request: raise `read_buffer`");
                return Err(io::Error::other(text));
            }
            let stock = stock(options);
            let socket = WebSocket::over(link, Role::Server, options, &stock, beyond)?
                .speaking(protocol.as_deref());
            handler(match agreed {
                Some(agreed) => socket.deflated(&agreed),
                None => socket,
            })
        }));
        if let Err(error) = given {
            log::warn!("a WebSocket was refused: {error}");
            return short(StatusCode::SERVICE_UNAVAILABLE);
        }
        let response = read(&granted);
        if streamed.is_some() { granted_on_stream(response) } else { response }
    }
}

/// Options of which the buffers are kept, for each thread.
const KEPT: usize = 8;

/// What connections with these options share on this thread.
fn stock(options: Options) -> Stock {
    thread_local! {
        static STOCKS: RefCell<Vec<(Options, Stock)>> = const { RefCell::new(Vec::new()) };
    }
    STOCKS.with_borrow_mut(|stocks| {
        if let Some((_, stock)) = stocks.iter().find(|(known, _)| *known == options) {
            return stock.clone();
        }
        if stocks.len() == KEPT {
            stocks.remove(0);
        }
        let stock = Stock::new(&options);
        stocks.push((options, stock.clone()));
        stock
    })
}

/// The head of a request as it stands on the wire.
fn written<B>(request: &Request<B>) -> Vec<u8> {
    let version = if request.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{} {} {version}\r\n", request.method(), request.uri()).into_bytes();
    request.headers().iter().for_each(|(name, value)| write_field(&mut head, name, value));
    head.extend_from_slice(b"\r\n");
    head
}

fn write_field(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// The same of a request on a stream of HTTP/2, which has no key and names its host elsewhere, as it
/// would be on a connection of its own: so it goes through every check.
//= RFC 8441 §5
fn written_anew<B>(request: &Request<B>) -> Vec<u8> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    .into_bytes();
    let own = [HOST, UPGRADE, CONNECTION, SEC_WEBSOCKET_KEY];
    let kept = request.headers().iter().filter(|(name, _)| !own.contains(name));
    kept.for_each(|(name, value)| write_field(&mut head, name, value));
    head.extend_from_slice(b"\r\n");
    head
}

/// An answer that grants a WebSocket, for a stream: what speaks of the connection is left out.
//= RFC 8441 §5.1
fn granted_on_stream(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    *response.status_mut() = StatusCode::OK;
    for name in [UPGRADE, CONNECTION, SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
    response
}

/// A response of the crate `websocket`, which has written it, as one of `http`.
fn read(bytes: &[u8]) -> Response<Full<Bytes>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 4..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = lines.next().and_then(|line| line.split(|byte| *byte == b' ').nth(1));
    let status = status.and_then(|status| StatusCode::from_bytes(status).ok());
    let mut response = Response::new(Full::from(body.to_vec()));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

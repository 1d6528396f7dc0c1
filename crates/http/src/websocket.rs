//! From HTTP to WebSocket: a request that asks for one is answered 101, and its connection goes
//! over to the crate `websocket`.
//!
//! It gets the stream itself and what was read of it beyond the request, so that messages are read
//! and written as on any other WebSocket, with no copy between. This is HTTP/1.1 alone: a client
//! that asks by HTTP/2 is answered 426.
//!
//! ```
//! use axum::{Router, extract::Request, routing::get};
//! use tautline_http::{Server, router, websocket};
//! use tautline_websocket::{Client, Options, read::Event};
//!
//! # let runtime = tautline_runtime::Runtime::new(Default::default())?;
//! let app = Router::new().route("/live", get(async |request: Request| {
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
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use send_wrapper::SendWrapper;
use tautline_net::Link;
use tautline_websocket::handshake::{self, Asked, Origins};
use tautline_websocket::{Options, Role, Stock, WebSocket};

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
        let head = written(request);
        let mut server = handshake::Server::new().origins(self.origins.clone());
        let deflate = self.options.deflate.as_ref();
        let (granted, agreed, protocol) = match (server.parse(&head), way) {
            (Ok(Asked::Upgrade(upgrade)), Some(_)) => {
                let (accept, agreed) = upgrade.grant(&self.protocols, deflate);
                (accept.bytes(), agreed, accept.spoken().map(str::to_owned))
            }
            (Err(refusal), _) => return read(&refusal.response().bytes()),
            _ => return read(&handshake::Response::upgrade_required().bytes()),
        };
        if let Some(Way(slot)) = way {
            let options = self.options;
            slot.fill(move |link, beyond| {
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
            });
        }
        read(&granted)
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
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
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

/// Gets a connection, and the bytes that were read of it beyond the request.
pub(crate) type Taker = Box<dyn FnOnce(Link, &[u8]) -> io::Result<()>>;

/// Who takes a connection over once its answer has been written.
#[derive(Default)]
pub(crate) struct Slot {
    taker: RefCell<Option<Taker>>,
}

impl Slot {
    fn fill(&self, taker: impl FnOnce(Link, &[u8]) -> io::Result<()> + 'static) {
        let old = self.taker.replace(Some(Box::new(taker)));
        drop(old);
    }

    pub(crate) fn take(&self) -> Option<Taker> {
        self.taker.take()
    }
}

/// In the extensions of a request: the way to its connection. Requests can be named where `Send` is
/// asked for; used on another thread, it panics.
#[derive(Clone)]
pub(crate) struct Way(SendWrapper<Rc<Slot>>);

impl Way {
    pub(crate) fn new(slot: Rc<Slot>) -> Self {
        Self(SendWrapper::new(slot))
    }
}

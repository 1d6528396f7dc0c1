//! The opening handshake, of both sides: bytes in, what they mean out.
//!
//! | a client | a server |
//! | --- | --- |
//! | [`Url::parse`], [`Url::join`] after a redirect | |
//! | [`Connect`]: the way through a proxy | |
//! | [`Request`] is built, and [`Request::start`] gives a [`Client`] | [`Server::parse`] reads it: [`Asked`] |
//! | [`Client::parse`] reads the answer: [`Answer`] | [`Accept`], or a [`Response`], is written |
//!
//! Parsers are fed with all bytes that are there, from the first of the connection, as often as more
//! have come; they look at each byte once. What they return says how many bytes the handshake had: the
//! bytes behind it are frames already. Nothing here has a socket, a clock or random numbers; a few small
//! allocations are made for each handshake, and none for each byte.
//!
//! ```
//! use tautline_websocket::handshake::{Answer, Asked, Client, Limits, Request, Server, Url};
//!
//! let url = Url::parse("ws://feed.example/trades?symbol=BTC")?;
//! let request = Request::new(&url).protocol("book.v2")?.protocol("book.v1")?;
//! let nonce = [7; 16]; // sixteen random bytes
//! let mut client = request.start(nonce);
//!
//! let mut server = Server::new();
//! let Asked::Upgrade(upgrade) = server.parse(client.bytes())? else { panic!("it is whole") };
//! assert_eq!((upgrade.path(), upgrade.query()), ("/trades", Some("symbol=BTC")));
//! let protocol = upgrade.choose(&["book.v1"]);
//! let mut answer = upgrade.accept().protocol(protocol)?.bytes();
//! answer.extend(b"\x81\x05Hello"); // the first frame is already behind it
//!
//! let Answer::Opened(opened) = client.parse(&answer)? else { panic!("it is whole") };
//! assert_eq!(opened.protocol(), Some("book.v1"));
//! assert_eq!(&answer[opened.used()..], b"\x81\x05Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod head;
pub use head::{HeadError, Limits};

mod headers;
pub use headers::{Header, Headers, Repeated};

mod list;
pub use list::{Extension, ListError, Param};

mod field;
pub use field::FieldError;

mod key;

mod url;
pub use url::{Url, UrlError};

mod request;
pub use request::{Request, RequestError};

mod client;
pub use client::{Answer, Client, ClientError, Opened, Redirect};

mod rejected;
pub use rejected::Rejected;

mod origins;
pub use origins::{OriginError, Origins};

mod server;
pub use server::{Asked, Plain, Refusal, Server, ServerError, Upgrade};

mod response;
pub use response::{Accept, AcceptError, Response, Status};

mod proxy;
pub use proxy::{Connect, Proxied, ProxyError};

#[cfg(test)]
mod tests;

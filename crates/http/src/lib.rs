//! HTTP/1.1 and HTTP/2 on the Tautline loop, as server and as client.
//!
//! The protocols are those of `hyper`; the loop, its timers and its streams carry them, on one
//! thread, with no other runtime beside it. What matters first: [`Server`] and [`Client`]. What
//! may be written for them is whatever the ecosystem has: [`service_fn`], any
//! [`hyper::service::Service`], or an `axum` [`Router`](axum::Router) by [`router`].
//!
//! ```
//! use std::time::Duration;
//! use tautline_http::{Body, Client, Full, Request, Response, Server, service_fn};
//!
//! # let runtime = tautline_runtime::Runtime::new(Default::default())?;
//! let hello = service_fn(async |request: Request<Body>| {
//!     let text = format!("you asked for {}", request.uri().path());
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::from(text)))
//! });
//! let server = Server::new().listen("127.0.0.1:0", hello)?;
//! let url = format!("http://{}/news", server.local_addr());
//! let text = runtime.block_on(async {
//!     let answer = Client::new().get(&url).await?;
//!     let text = answer.into_body().text().await?;
//!     server.shutdown(Duration::from_secs(1)).await;
//!     Ok::<_, Box<dyn std::error::Error>>(text)
//! })??;
//! assert_eq!(text, "you asked for /news");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod rt;
pub mod websocket;

mod body;
mod server;
pub use body::{Body, BodyError};
pub use server::{Handle, Limits, Peer, RouterService, Server, WhenFull, router};

mod client;
pub use client::{Client, ClientError, ClientLimits};

pub use bytes::Bytes;
pub use http_body_util::{BodyExt, Empty, Full};
pub use hyper::service::service_fn;
pub use hyper::{Method, Request, Response, StatusCode, Uri, Version, header};

/// What both sides of TLS offer by ALPN, what is liked best first: for the builders of
/// [`Acceptor`](tautline_net::tls::Acceptor) and [`Connector`](tautline_net::tls::Connector).
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// Any error, as `hyper` and the `tower` world pass it on.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

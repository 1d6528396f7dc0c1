//! TLS: [`Connector`] and [`Acceptor`] make a [`TlsStream`] of any stream.
//!
//! ```
//! use tautline_net::tls::{Acceptor, Connector, Identity, Roots, TlsListener};
//!
//! # let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
//! # let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! let runtime = tautline_runtime::Runtime::new(Default::default())?;
//! let acceptor = Acceptor::builder().identity(Identity::from_pem(chain.clone(), key)).build()?;
//! let listener = TlsListener::bind("127.0.0.1:0", acceptor)?;
//! let addr = listener.local_addr()?;
//! listener.on_accept(|stream| stream?.on_data(|stream, bytes| stream.write(bytes)).map(drop))?;
//!
//! let connector = Connector::builder().roots(Roots::from_pem(chain)?).build()?;
//! let echoed = runtime.block_on(async {
//!     let stream = connector.connect_as(addr, "localhost").await?;
//!     stream.write_all(b"hello").await?;
//!     let mut buf = [0; 5];
//!     stream.read_exact(&mut buf).await?;
//!     stream.shutdown().await?;
//!     std::io::Result::Ok(buf)
//! })??;
//! assert_eq!(&echoed, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a byte: [`Session`] is TLS without I/O, [`Tls`] is a session on a descriptor, a
//! [`Layer`](crate::Layer) as a [`Link`](crate::Link) takes it, and [`TlsStream`] is its face for
//! tasks, [`TlsConn`] the one for handlers, [`fiber::TlsStream`](crate::fiber::TlsStream) the one
//! for fibers.

mod acceptor;
mod buffers;
mod conn;
mod connector;
mod error;
mod handshake;
mod identity;
mod layer;
mod listener;
mod roots;
mod session;
mod store;
mod stream;

pub use self::{
    acceptor::{Acceptor, AcceptorBuilder},
    buffers::{buffers_in_use, set_buffers},
    conn::TlsConn,
    connector::{Connector, ConnectorBuilder},
    error::Error,
    identity::Identity,
    layer::Tls,
    listener::TlsListener,
    roots::Roots,
    session::{Facts, MOST_PLAIN, OVERHEAD, Outgoing, Received, Session, State, Version},
    stream::TlsStream,
};

//! Servers.

mod answer;
mod carry;
mod connection;
mod limits;
mod router;
mod shared;
mod sniff;
mod under_way;
mod watched;
mod way;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body as HttpBody;
use hyper::service::Service;
use hyper::{Request, Response};
use tautline_net::tls::{TlsListener, TlsStream};
use tautline_net::{Call, TcpListener, TcpStream, ToAddress};
use tautline_runtime::{task, timer};

use self::connection::Serving;
use self::shared::{Phase, Shared, unless};
use crate::{Body, BoxError};

pub(crate) use self::{answer::short, way::Way};
pub use self::{
    limits::{Limits, WhenFull},
    router::{RouterService, router},
};

/// Serves HTTP/1.1 and HTTP/2. Which of them is spoken the client chooses: by ALPN through TLS,
/// by how it begins on plain TCP.
///
/// ```
/// use tautline_http::{Limits, Server, router};
/// use axum::{Router, routing::get};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let app = Router::new().route("/", get(async || "hello"));
/// let server = Server::new()
///     .limits(Limits { connections: 100, ..Limits::default() })
///     .listen("127.0.0.1:0", router(app))?;
/// assert_ne!(server.local_addr().port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Server {
    limits: Limits,
}

/// Who has sent a request, in its [`extensions`](Request::extensions).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

/// A connection that was accepted, whose handshake is to come if it has one.
enum Accepted {
    Plain(TcpStream),
    Tls(Call<TlsStream>),
}

enum Listener {
    Plain(TcpListener),
    Tls(TlsListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        match self {
            Self::Plain(tcp) => tcp.accept().await.map(|(tcp, peer)| (Accepted::Plain(tcp), peer)),
            Self::Tls(tls) => tls.accept().await.map(|(tls, peer)| (Accepted::Tls(tls), peer)),
        }
    }
}

impl Server {
    /// With the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// What peers may ask of it.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Listens on a TCP address, and has `service` answer.
    ///
    /// # Errors
    /// When the address cannot be had; as [`serve`](Self::serve).
    pub fn listen<S, B>(self, addr: impl ToAddress, service: S) -> io::Result<Handle>
    where
        S: Service<Request<Body>, Response = Response<B>> + 'static,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        self.serve(TcpListener::bind(addr)?, service)
    }

    /// The same on a listener that is there.
    ///
    /// # Errors
    /// When the task table is full.
    pub fn serve<S, B>(self, listener: TcpListener, service: S) -> io::Result<Handle>
    where
        S: Service<Request<Body>, Response = Response<B>> + 'static,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let addr = listener.local_addr()?;
        self.start(Listener::Plain(listener), addr, service)
    }

    /// The same through TLS. For HTTP/2 the acceptor of the listener offers it: give its builder
    /// [`ALPN`](crate::ALPN).
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_tls<S, B>(self, listener: TlsListener, service: S) -> io::Result<Handle>
    where
        S: Service<Request<Body>, Response = Response<B>> + 'static,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let addr = listener.local_addr()?;
        self.start(Listener::Tls(listener), addr, service)
    }

    fn start<S, B>(self, listener: Listener, addr: SocketAddr, service: S) -> io::Result<Handle>
    where
        S: Service<Request<Body>, Response = Response<B>> + 'static,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let shared = Shared::new();
        let handle = Handle { addr, shared: shared.clone() };
        let (service, limits) = (Rc::new(service), self.limits);
        task::spawn(async move {
            let part = shared.watch();
            let take = take_all(&listener, limits, &shared, &service);
            unless(part.reached(Phase::Draining), take).await;
        })?;
        Ok(handle)
    }
}

/// How long nothing is accepted when nothing can be.
const PAUSE: Duration = Duration::from_millis(100);

async fn take_all<S, B>(listener: &Listener, limits: Limits, shared: &Rc<Shared>, service: &Rc<S>)
where
    S: Service<Request<Body>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let room = shared.watch();
    let farewells = Shared::new();
    loop {
        if limits.when_full == WhenFull::Wait {
            room.fewer_than(limits.connections).await;
        }
        let (accepted, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("no connection can be accepted: {error}");
                // Without a timer there is no loop any more.
                let _ = timer::sleep(PAUSE).await;
                continue;
            }
        };
        if shared.open() >= limits.connections {
            refuse(accepted, shared, &farewells);
            continue;
        }
        let part = shared.connection();
        let serving = Serving { limits, peer, part, service: service.clone() };
        if let Err(error) = task::spawn(serving.run(accepted)) {
            log::warn!("the connection of {peer} was dropped: {error}");
        }
    }
}

/// Clients at a time that are told that there is no room for them; others are closed at once.
const FAREWELLS: usize = 64;

fn refuse(accepted: Accepted, shared: &Rc<Shared>, farewells: &Rc<Shared>) {
    let Accepted::Plain(stream) = accepted else { return };
    if farewells.open() == FAREWELLS {
        return;
    }
    let (end, counted) = (shared.watch(), farewells.connection());
    let told = async move {
        connection::refuse(stream, end).await;
        drop(counted);
    };
    if let Err(error) = task::spawn(told) {
        log::debug!("a connection was refused without a word: {error}");
    }
}

/// A server that runs. Dropped, it lets the server run on.
#[derive(Clone)]
pub struct Handle {
    addr: SocketAddr,
    shared: Rc<Shared>,
}

impl Handle {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections that are open, those in their handshake included; not those that have become a
    /// WebSocket.
    pub fn connections(&self) -> usize {
        self.shared.open()
    }

    /// Ends it: nothing more is accepted, clients are told (`Connection: close`, GOAWAY), what is
    /// under way is finished, at most for as long as `within`; what is left then is cut off. It is
    /// over when this is, and true if nothing was cut off. Dropped before, the ending goes on with
    /// no deadline.
    pub fn shutdown(&self, within: Duration) -> impl Future<Output = bool> + use<> {
        let shared = self.shared.clone();
        shared.advance(Phase::Draining);
        async move {
            let watch = shared.watch();
            if timer::timeout(within, watch.fewer_than(1)).await.is_ok() {
                return true;
            }
            shared.advance(Phase::Cut);
            watch.fewer_than(1).await;
            false
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("addr", &self.addr)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

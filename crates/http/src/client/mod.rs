//! Clients.

mod dial;
mod error;
mod pool;
mod redirect;
mod target;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Body as HttpBody;
use hyper::{Request, Response};
use tautline_net::tls::Connector;
use tautline_runtime::timer;

use self::pool::{Exchange, Pool, Sender};
use self::redirect::Trail;
use self::target::Target;
use crate::body::Bounds;
use crate::{ALPN, Body, BoxError};

pub use self::error::ClientError;
pub(crate) use self::pool::Lease;

/// Asks servers, by HTTP/1.1 or HTTP/2: through TLS as ALPN agrees, on plain TCP by HTTP/1.1
/// unless [`prior_knowledge`](Self::prior_knowledge) says otherwise. Connections are kept and used
/// again. Cheap to clone; all clones share them.
///
/// It goes where servers send it, a few times: see [`redirects`](Self::redirects).
///
/// ```no_run
/// use tautline_http::Client;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let text = runtime.block_on(async {
///     let answer = Client::new().get("https://example.org/").await?;
///     Ok::<_, Box<dyn std::error::Error>>(answer.into_body().text().await?)
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    limits: ClientLimits,
    prior_knowledge: bool,
    redirects: u8,
    /// Made with the roots of the system when it is first needed.
    connector: Rc<OnceCell<Connector>>,
    pool: Rc<Pool>,
}

/// What a client grants its servers, and keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// How long it may take to connect, the handshake of TLS apart, which has a deadline of its
    /// own in the [`Connector`]. Default 10 s.
    pub connect_within: Duration,
    /// How long the head of an answer may take once there is a connection. Default 30 s.
    pub answer_within: Duration,
    /// How long the next piece of a body may take, in either direction. Default 30 s.
    pub progress_within: Duration,
    /// Bytes of the head of an answer; at least 8,192, which less is taken for. Default 64 KiB.
    pub header_bytes: usize,
    /// Headers of an answer of HTTP/1.1. Default 100.
    pub header_count: usize,
    /// Bytes of the body of an answer. Default 64 MiB.
    pub body_bytes: u64,
    /// Idle connections that are kept for each server. Default 8.
    pub idle_connections: usize,
    /// How long they are kept, and those of HTTP/2. Default 30 s.
    pub idle_within: Duration,
    /// How often a server of HTTP/2 is asked for a sign of life (a PING). Default 20 s.
    pub ping_every: Duration,
    /// How long it may take to give it; then the connection has failed. Default 10 s.
    pub ping_within: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(30),
            progress_within: Duration::from_secs(30),
            header_bytes: 64 << 10,
            header_count: 100,
            body_bytes: 64 << 20,
            idle_connections: 8,
            idle_within: Duration::from_secs(30),
            ping_every: Duration::from_secs(20),
            ping_within: Duration::from_secs(10),
        }
    }
}

/// The body of a request, whatever it was.
pub(crate) type Outgoing = std::pin::Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError>>>;

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// With the default limits, trusting the authorities of the system.
    pub fn new() -> Self {
        Self {
            limits: ClientLimits::default(),
            prior_knowledge: false,
            redirects: 5,
            connector: Rc::default(),
            pool: Rc::default(),
        }
    }

    /// What servers are granted.
    #[must_use]
    pub fn limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Whom to trust. For HTTP/2 it offers it: give its builder [`ALPN`].
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = Rc::new(OnceCell::from(connector));
        self
    }

    /// Speaks HTTP/2 on plain TCP, to servers that are known to do so.
    #[must_use]
    pub fn prior_knowledge(mut self, on: bool) -> Self {
        self.prior_knowledge = on;
        self
    }

    /// How often it goes where a server sends it (301, 302, 303, 307, 308). Default 5; by 0 such
    /// answers are like any other.
    ///
    /// By 303, and a POST by 301 or 302, it goes on with GET and without a body. An answer that
    /// asks for a body again is handed back, since the body has gone. `Authorization`, `Cookie` and
    /// `Proxy-Authorization` are not taken to another scheme, host or port, and from TLS it never
    /// goes to plain.
    #[must_use]
    pub fn redirects(mut self, most: u8) -> Self {
        self.redirects = most;
        self
    }

    /// Asks for `url`, such as `http://example.org/page?of=1`.
    ///
    /// # Errors
    /// [`ClientError`]. An answer of any status is none.
    pub async fn get(&self, url: &str) -> Result<Response<Body>, ClientError> {
        let bad = |error: hyper::http::Error| ClientError::BadUrl {
            url: url.to_owned(),
            reason: error.to_string(),
        };
        let request = Request::get(url).body(Empty::<Bytes>::new()).map_err(bad)?;
        self.request(request).await
    }

    /// Sends a request, whose URI is absolute, and waits for the head of its answer. A connection
    /// that was kept and turns out to be closed is replaced, provided that nothing of the request
    /// has left.
    ///
    /// # Errors
    /// [`ClientError`]. An answer of any status is none.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Body>, ClientError>
    where
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let outgoing = |body: B| -> Outgoing { Box::pin(body.map_err(Into::into)) };
        let mut request = request.map(outgoing);
        if self.redirects == 0 {
            return self.ask(request).await;
        }
        let mut left = self.redirects;
        loop {
            let trail = Trail::of(&request);
            let answer = self.ask(request).await?;
            let Some(next) = trail.next(&answer)? else { return Ok(answer) };
            let too_many = || ClientError::Redirects {
                limit: self.redirects,
                location: next.uri().to_string(),
            };
            left = left.checked_sub(1).ok_or_else(too_many)?;
            redirect::forget(answer.into_body()).await;
            request = next;
        }
    }

    /// Once.
    async fn ask(&self, mut request: Request<Outgoing>) -> Result<Response<Body>, ClientError> {
        let target = Target::of(request.uri())?;
        loop {
            let (sender, kept) = self.connection(&target).await?;
            let is_h2 = sender.is_h2();
            target.address(&mut request, is_h2)?;
            match self.exchange(&target, sender, request).await? {
                Exchange::Answer(answer) => return Ok(answer),
                // Each round uses up a kept connection.
                Exchange::Unsent(unsent, _) if kept => request = *unsent,
                Exchange::Unsent(_, source) => return Err(target.failed(source)),
            }
        }
    }

    async fn exchange(
        &self,
        target: &Target,
        mut sender: Sender,
        request: Request<Outgoing>,
    ) -> Result<Exchange, ClientError> {
        let within = self.limits.answer_within;
        let Ok(sent) = timer::timeout(within, sender.send(request)).await else {
            return Err(target.late(within));
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    return Ok(Exchange::Unsent(Box::new(unsent), error.into_error()));
                }
                None => return Err(target.failed(error.into_error())),
            },
        };
        let ClientLimits { body_bytes: most, progress_within: within, .. } = self.limits;
        let lease = self.pool.lease(sender, target, &self.limits);
        let body = |incoming| Body::new(incoming, Bounds { most, within });
        Ok(Exchange::Answer(answer.map(|incoming| body(incoming).with_lease(lease))))
    }

    fn tls(&self) -> Result<&Connector, tautline_net::tls::Error> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        let made = Connector::builder().alpn(ALPN).build()?;
        Ok(self.connector.get_or_init(|| made))
    }
}

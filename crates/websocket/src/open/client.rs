//! Connections that are asked for.

use std::fmt;
use std::io;
use std::rc::Rc;

use tautline_net::tls::Connector;
use tautline_net::{Link, TcpStream};
use tautline_runtime::timer;

use super::OpenError;
use super::talk::{Heard, say};
use crate::deflate::Offer;
use crate::handshake::{Answer, Connect, Opened, Proxied, Request, RequestError, Url};
use crate::{Options, Role, Stock, WebSocket};

/// Asks servers for connections. Cheap to clone; all clones share one [`Stock`]. An example is at
/// [`Server`](crate::Server).
#[derive(Clone)]
pub struct Client {
    options: Options,
    stock: Stock,
    protocols: Vec<String>,
    headers: Vec<(String, String)>,
    redirects: u8,
    proxy: Option<Url>,
    tls: Option<Connector>,
    rule: Option<Rc<Rule>>,
}

/// Says whether an answer that opens a connection is the one that was wanted.
type Rule = dyn Fn(&Opened<'_>) -> Result<(), String>;

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// With the default options.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// With these options.
    pub fn with(options: Options) -> Self {
        Self {
            options,
            stock: Stock::new(&options),
            protocols: Vec::new(),
            headers: Vec::new(),
            redirects: 5,
            proxy: None,
            tls: None,
            rule: None,
        }
    }

    /// Offers a subprotocol; those offered first are preferred.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Adds a header to each request, such as `Origin` or `Authorization`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How often it goes where a server sends it. Default 5. It never goes from TLS to plain, and
    /// takes no `Authorization` and no `Cookie` to another host.
    #[must_use]
    pub fn redirects(mut self, most: u8) -> Self {
        self.redirects = most;
        self
    }

    /// Goes through an HTTP proxy, which is asked to connect: an address such as
    /// `ws://user:password@proxy:3128`.
    ///
    /// # Errors
    /// [`OpenError::Url`].
    pub fn proxy(mut self, url: &str) -> Result<Self, OpenError> {
        self.proxy = Some(Url::parse(url)?);
        Ok(self)
    }

    /// How it speaks TLS, for `wss://`. Unless it is told, it trusts the roots of the system.
    #[must_use]
    pub fn tls(mut self, connector: Connector) -> Self {
        self.tls = Some(connector);
        self
    }

    /// Has `rule` see each answer that opens a connection: its headers, and what was agreed on. If it
    /// says why that is not what was wanted, the connection is closed, and that is the
    /// [error](OpenError::Unwanted).
    #[must_use]
    pub fn on_response<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Opened<'_>) -> Result<(), String> + 'static,
    {
        self.rule = Some(Rc::new(rule));
        self
    }

    /// What its connections share.
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Opens a connection to `ws://host:port/path` or `wss://…`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn connect(&self, url: &str) -> Result<WebSocket, OpenError> {
        let within = self.options.handshake_within;
        match timer::timeout(within, self.go(url)).await {
            Ok(opened) => opened,
            Err(_) => Err(OpenError::Late { within }),
        }
    }

    /// Where it is sent, until a connection is open.
    async fn go(&self, url: &str) -> Result<WebSocket, OpenError> {
        let first = Url::parse(url)?;
        let mut url = first.clone();
        for _ in 0..=self.redirects {
            let link = self.dial(&url).await?;
            let is_first_host = (url.host(), url.port()) == (first.host(), first.port());
            let next = match self.ask(&url, link, is_first_host).await? {
                Asked::Opened(socket) => return Ok(*socket),
                Asked::Elsewhere(location) => location,
            };
            let next_url = url.join(&next)?;
            if url.is_secure() && !next_url.is_secure() {
                return Err(OpenError::Downgrade { location: next });
            }
            url = next_url;
        }
        Err(OpenError::Redirects {
            limit: self.redirects,
            location: url.authority() + url.target(),
        })
    }

    /// A stream to the server, through the proxy and TLS as it may be.
    async fn dial(&self, url: &Url) -> Result<Link, OpenError> {
        let there = self.proxy.as_ref().unwrap_or(url);
        let stream = TcpStream::connect((there.host(), there.port())).await?;
        let stream = match &self.proxy {
            Some(proxy) => self.pass(proxy, url, stream).await?,
            None => stream,
        };
        if !url.is_secure() {
            return Ok(stream.into());
        }
        let connector = match &self.tls {
            Some(connector) => connector.clone(),
            None => Connector::new().map_err(io::Error::from)?,
        };
        Ok(connector.wrap(stream.into_descriptor(), url.host()).await?.into())
    }

    /// Asks a proxy to connect.
    async fn pass(
        &self,
        proxy: &Url,
        url: &Url,
        stream: TcpStream,
    ) -> Result<TcpStream, OpenError> {
        let mut connect = Connect::new(url).limits(self.options.head);
        if let Some((user, password)) = proxy.user() {
            connect = connect.authorization(user, password).map_err(RequestError::from)?;
        }
        stream.write_all(connect.bytes().to_vec()).await.0?;
        let mut heard = Vec::new();
        loop {
            // One byte at a time: what follows is for whoever is behind the proxy.
            let (read, byte) = stream.read(vec![0]).await;
            if read? == 0 {
                return Err(OpenError::Ended);
            }
            heard.extend_from_slice(&byte);
            if let Proxied::Connected { .. } = connect.parse(&heard)? {
                return Ok(stream);
            }
        }
    }

    async fn ask(
        &self,
        url: &Url,
        mut link: Link,
        is_first_host: bool,
    ) -> Result<Asked, OpenError> {
        let mut client = self.request(url, is_first_host)?.start(self.stock.nonce());
        say(&mut link, client.bytes())?;
        let mut heard = Heard::nothing();
        loop {
            match client.parse(heard.bytes())? {
                Answer::Incomplete => {}
                Answer::Opened(opened) => {
                    if let Some(rule) = &self.rule {
                        rule(&opened).map_err(|reason| OpenError::Unwanted { reason })?;
                    }
                    let leftover = &heard.bytes()[opened.used()..];
                    let (options, stock) = (self.options, &self.stock);
                    let agreed = opened.deflate();
                    let socket = WebSocket::over(link, Role::Client, options, stock, leftover)?
                        .speaking(opened.protocol());
                    let socket = match agreed {
                        Some(agreed) => socket.deflated(&agreed),
                        None => socket,
                    };
                    return Ok(Asked::Opened(Box::new(socket)));
                }
                Answer::Redirect(redirect) => {
                    return Ok(Asked::Elsewhere(redirect.location().to_owned()));
                }
            }
            heard.more(&mut link).await?;
        }
    }

    fn request(&self, url: &Url, is_first_host: bool) -> Result<Request, OpenError> {
        let mut request = Request::new(url).limits(self.options.head);
        if let Some(config) = &self.options.deflate {
            request = request.deflate(&[Offer::of(config)]);
        }
        for name in &self.protocols {
            request = request.protocol(name)?;
        }
        for (name, value) in &self.headers {
            let is_secret =
                ["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str());
            if is_first_host || !is_secret {
                request = request.header(name, value)?;
            }
        }
        Ok(request)
    }
}

/// What a server has answered.
enum Asked {
    Opened(Box<WebSocket>),
    Elsewhere(String),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

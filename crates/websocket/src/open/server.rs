//! Connections that clients ask for.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tautline_net::{Link, TcpListener, ToAddress};
use tautline_runtime::{Conn, task, timer};

use super::OpenError;
use super::talk::{Heard, say};
use crate::deflate::Agreed;
use crate::handshake::{self, Accept, Asked, Origins, Response, Upgrade};
use crate::{Options, Role, Stock, WebSocket};

/// Opens the connections that clients ask for. Cheap to clone; all clones share one [`Stock`].
///
/// ```
/// use tautline_websocket::{Client, Server, read::Event};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let addr = Server::new().listen("127.0.0.1:0", |socket| {
///     socket.on_message(|sender, message| sender.send(message)).map(drop)
/// })?;
/// let echoed = runtime.block_on(async {
///     let mut socket = Client::new().connect(&format!("ws://{addr}/")).await?;
///     socket.sender().send("hello")?;
///     let echoed = socket.read().await?;
///     assert_eq!(echoed, Some(Event::Text("hello")));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Server {
    options: Options,
    stock: Stock,
    origins: Origins,
    protocols: Rc<[String]>,
    rule: Option<Rc<Rule>>,
}

/// Says whether a request is granted, and what the answer is.
type Rule = dyn for<'u> Fn(&'u Upgrade<'u>, Accept<'u>) -> Result<Accept<'u>, Response>;

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// With the default options, for programs and for pages of the same host.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// With these options.
    pub fn with(options: Options) -> Self {
        Self {
            options,
            stock: Stock::new(&options),
            origins: Origins::default(),
            protocols: Rc::new([]),
            rule: None,
        }
    }

    /// Which pages may connect; others are answered 403.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// The subprotocols that it speaks. The first that the client offers of them is spoken.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, names: impl IntoIterator<Item = P>) -> Self {
        self.protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Has `rule` see each request that is in order: it may add to the answer, choose another
    /// subprotocol, or refuse by an answer of its own. Compression was agreed on by then.
    #[must_use]
    pub fn on_request<F>(mut self, rule: F) -> Self
    where
        F: for<'u> Fn(&'u Upgrade<'u>, Accept<'u>) -> Result<Accept<'u>, Response> + 'static,
    {
        self.rule = Some(Rc::new(rule));
        self
    }

    /// What its connections share.
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Opens a connection on a stream whose client is about to ask for one. A request that is refused
    /// is answered, and the stream closed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn accept(&self, link: impl Into<Link>) -> Result<WebSocket, OpenError> {
        let (link, within) = (link.into(), self.options.handshake_within);
        match timer::timeout(within, self.greet(link)).await {
            Ok(opened) => opened,
            Err(_) => Err(OpenError::Late { within }),
        }
    }

    async fn greet(&self, mut link: Link) -> Result<WebSocket, OpenError> {
        let server = handshake::Server::new().limits(self.options.head);
        let mut server = server.origins(self.origins.clone());
        let mut heard = Heard::nothing();
        loop {
            let refusal = match server.parse(heard.bytes()) {
                Ok(Asked::Incomplete) => {
                    heard.more(&mut link).await?;
                    continue;
                }
                Ok(Asked::Upgrade(upgrade)) => match self.answer(&upgrade) {
                    Ok((accept, agreed)) => {
                        say(&mut link, &accept.bytes())?;
                        let leftover = &heard.bytes()[upgrade.used()..];
                        let socket = self.open(link, leftover)?.speaking(accept.spoken());
                        return Ok(match agreed {
                            Some(agreed) => socket.deflated(&agreed),
                            None => socket,
                        });
                    }
                    Err(response) => {
                        let status = response.status().code();
                        (response, OpenError::Rejected { status })
                    }
                },
                Ok(Asked::Plain(plain)) => {
                    let target = plain.target().to_owned();
                    (Response::upgrade_required(), OpenError::Plain { target })
                }
                Err(refusal) => (refusal.response(), refusal.into()),
            };
            let (response, error) = refusal;
            // The client may have gone by now.
            let _ = say(&mut link, &response.bytes());
            let _ = link.finish();
            return Err(error);
        }
    }

    fn answer<'u>(
        &self,
        upgrade: &'u Upgrade<'u>,
    ) -> Result<(Accept<'u>, Option<Agreed>), Response> {
        let (accept, agreed) = upgrade.grant(&self.protocols, self.options.deflate.as_ref());
        let accept = match &self.rule {
            Some(rule) => rule(upgrade, accept)?,
            None => accept,
        };
        Ok((accept, agreed))
    }

    fn open(&self, link: Link, leftover: &[u8]) -> Result<WebSocket, OpenError> {
        Ok(WebSocket::over(link, Role::Server, self.options, &self.stock, leftover)?)
    }

    /// Listens on a TCP address, and has `handler` see each connection once it is open. Returns the
    /// address that it listens on. What fails to open is logged.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen<F>(self, addr: impl ToAddress, handler: F) -> io::Result<SocketAddr>
    where
        F: FnMut(WebSocket) -> io::Result<()> + 'static,
    {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        self.serve(listener, handler)?;
        Ok(addr)
    }

    /// The same on a listener that is there. Closing what is returned ends it.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn serve<F>(self, listener: TcpListener, handler: F) -> io::Result<Conn>
    where
        F: FnMut(WebSocket) -> io::Result<()> + 'static,
    {
        let handler = Rc::new(std::cell::RefCell::new(handler));
        listener.on_accept(move |stream| {
            let (server, handler) = (self.clone(), handler.clone());
            let open = async move {
                let opened = match server.accept(stream).await {
                    Ok(socket) => (handler.borrow_mut())(socket),
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = opened {
                    log::debug!("a connection was not opened: {error}");
                }
            };
            // An error would end the listener, for all who come later too.
            if let Err(error) = task::spawn(open) {
                log::warn!("a connection was dropped: {error}");
            }
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.options).finish_non_exhaustive()
    }
}

//! `tautline ws echo`: everything that comes goes back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tautline_log::{debug, warn};
use tautline_net::tls::Acceptor;
use tautline_net::{Link, TcpListener, TcpStream};
use tautline_runtime::task;
use tautline_websocket::deflate::Config;
use tautline_websocket::handshake::Origins;
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{CloseCode, Options, Sender, Server, WebSocket};

use super::{Error, flow};
use crate::Failure;
use crate::cli::EchoArgs;
use crate::mcast::Session;
use crate::table::quantity::{bytes, things};

/// Bytes of a message that goes back when all of it is there: some peers read nothing until they have
/// sent a message. A longer one goes back in parts, as it comes.
const WHOLE: u64 = 64 << 20;

/// Serves until the end, says farewell to everybody, and tells how much it was.
pub(crate) fn echo(args: &EchoArgs) -> Result<(), Failure> {
    let session = Session::start(&args.host(), args.run_for)?;
    let house = Rc::new(House::new(args)?);
    let failed = |error| Error::Listen { addr: args.listen, error };
    let listener = TcpListener::bind(args.listen).map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let host = house.clone();
    let door = listener.on_accept(move |stream| {
        let house = host.clone();
        // An error would end the listener, for all who come later too.
        if let Err(error) = task::spawn(async move { house.receive(stream).await }) {
            warn!("a connection was dropped: {}", error);
        }
    });
    let door = door.map_err(failed)?;
    tell_where(args, addr)?;
    let elapsed = session.run()?;
    door.close();
    house.say_farewell();
    session.run_while(|| house.has_guests())?;
    house.tell(args.json, elapsed)?;
    session.result()
}

fn tell_where(args: &EchoArgs, addr: SocketAddr) -> io::Result<()> {
    let scheme = if args.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{addr}/");
    let mut stdout = io::stdout().lock();
    match args.json {
        true => writeln!(stdout, "{}", json!({ "kind": "listening", "url": url })),
        false => writeln!(stdout, "listening on {url}"),
    }
}

/// A server, and whoever is connected to it.
struct House {
    server: Server,
    acceptor: Option<Acceptor>,
    guests: RefCell<HashMap<u64, Sender>>,
    connections: Cell<u64>,
    refused: Cell<u64>,
    messages: Cell<u64>,
    bytes: Cell<u64>,
}

impl House {
    fn new(args: &EchoArgs) -> Result<Self, Error> {
        let limits = Limits {
            max_message: args.max_message,
            max_frame: args.max_message,
            whole: WHOLE.min(args.max_message),
            ..Limits::default()
        };
        let origins = match &args.origins[..] {
            [] => Origins::SameHost,
            some if some.iter().any(|origin| origin == "any") => Origins::Any,
            some => Origins::Listed(some.to_vec()),
        };
        let deflate = args.deflate.then(Config::default);
        let server = Server::with(Options { limits, deflate, ..Options::default() });
        let acceptor = match (&args.cert, &args.key) {
            (Some(cert), Some(key)) => Some(Acceptor::from_pem_files(cert, key)),
            _ => None,
        };
        Ok(Self {
            server: server.origins(origins).protocols(args.protocols.iter().cloned()),
            acceptor: acceptor.transpose().map_err(Error::tls("--cert, --key"))?,
            guests: RefCell::default(),
            connections: Cell::new(0),
            refused: Cell::new(0),
            messages: Cell::new(0),
            bytes: Cell::new(0),
        })
    }

    /// Has to do with somebody who comes, until he goes.
    async fn receive(&self, stream: TcpStream) {
        match self.open(stream).await {
            Ok(socket) => self.entertain(socket).await,
            Err(error) => {
                self.refused.set(self.refused.get() + 1);
                debug!("a connection was not opened: {}", error);
            }
        }
    }

    async fn open(&self, stream: TcpStream) -> io::Result<WebSocket> {
        let link = match &self.acceptor {
            Some(acceptor) => acceptor.accept(stream.into_descriptor()).await?.into(),
            None => Link::from(stream),
        };
        Ok(self.server.accept(link).await?)
    }

    async fn entertain(&self, mut socket: WebSocket) {
        let (sender, number) = (socket.sender(), self.connections.get());
        self.connections.set(number + 1);
        self.guests.borrow_mut().insert(number, sender.clone());
        let end = loop {
            match socket.read().await {
                Ok(Some(event)) => {
                    self.count(&event);
                    if let Err(error) = flow::answer(&sender, event).await {
                        break Err(error);
                    }
                }
                end => break end.map(drop),
            }
        };
        self.guests.borrow_mut().remove(&number);
        if let Err(error) = end {
            debug!("a connection broke: {}", error);
        }
    }

    fn count(&self, event: &Event<'_>) {
        let (whole, length) = match event {
            Event::Text(text) => (1, text.len()),
            Event::Binary(bytes) => (1, bytes.len()),
            Event::Part(part) => (u64::from(part.last), part.bytes.len()),
            _ => return,
        };
        self.messages.set(self.messages.get() + whole);
        self.bytes.set(self.bytes.get() + length as u64);
    }

    /// Those who have gone by now miss nothing.
    fn say_farewell(&self) {
        for guest in self.guests.borrow().values() {
            let _ = guest.close(CloseCode::GOING_AWAY, "the server ends");
            let _ = guest.flush();
        }
    }

    fn has_guests(&self) -> bool {
        !self.guests.borrow().is_empty()
    }

    fn tell(&self, json: bool, elapsed: Duration) -> io::Result<()> {
        let (seconds, messages, size) =
            (elapsed.as_secs_f64(), self.messages.get(), self.bytes.get());
        let (connections, refused) = (self.connections.get(), self.refused.get());
        let mut stdout = io::stdout().lock();
        if json {
            let object = json!({
                "kind": "summary", "elapsed_s": seconds, "connections": connections,
                "refused": refused, "messages": messages, "bytes": size,
            });
            return writeln!(stdout, "{object}");
        }
        writeln!(
            stdout,
            "summary of {seconds:.1} s: {} in {} over {}, {refused} refused",
            bytes(size),
            things(messages, "message"),
            things(connections, "connection"),
        )
    }
}

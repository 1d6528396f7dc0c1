//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tautline_http::websocket::Upgrade;
use tautline_http::{
    ALPN, Body, Bytes, Full, Handle, Limits, Request, Response, Server, service_fn,
};
use tautline_net::tls::{Acceptor, Connector, Identity, Roots, TlsListener};
use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::Options;

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Runs what `scenario` makes on each driver of this machine, within [`LONG`].
pub(crate) fn on_each_driver<F: Future>(scenario: impl Fn() -> F) {
    for driver in [DriverChoice::Auto, DriverChoice::Readiness] {
        let runtime = Runtime::new(Config { driver, ..Config::default() }).unwrap();
        runtime.block_on(async { timer::timeout(LONG, scenario()).await }).unwrap().unwrap();
    }
}

/// Says back what it was asked: method, path, and the body.
pub(crate) async fn echo(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    let head = format!("{} {}\n", request.method(), request.uri().path());
    let said = match request.into_body().bytes().await {
        Ok(body) => [head.as_bytes(), &body].concat(),
        Err(error) => error.to_string().into_bytes(),
    };
    Ok(Response::new(Full::from(said)))
}

pub(crate) fn echo_server(limits: Limits) -> Handle {
    Server::new().limits(limits).listen("127.0.0.1:0", service_fn(echo)).unwrap()
}

/// Says back every message of a WebSocket, which speaks the subprotocol `a` where it may.
pub(crate) async fn live(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    let options = Options { deflate: Some(Default::default()), ..Options::default() };
    Ok(Upgrade::new(options).protocols(["a"]).answer(&request, |socket| {
        socket.on_message(|sender, message| sender.send(message)).map(drop)
    }))
}

/// Answers every request with as many zeros.
pub(crate) fn serve_bytes(limits: Limits, length: usize) -> Handle {
    let zeros = Bytes::from(vec![0; length]);
    let service = service_fn(move |_| {
        let answer = Response::new(Full::new(zeros.clone()));
        async move { Ok::<_, Infallible>(answer) }
    });
    Server::new().limits(limits).listen("127.0.0.1:0", service).unwrap()
}

/// A certificate for `localhost`, made now: what the server has, whom the client trusts, and the
/// certificate as PEM.
pub(crate) fn certificate() -> (Acceptor, Connector, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.clone(), key);
    let acceptor = Acceptor::builder().identity(identity).alpn(ALPN).build().unwrap();
    let roots = Roots::from_pem(chain.clone()).unwrap();
    (acceptor, Connector::builder().roots(roots).alpn(ALPN).build().unwrap(), chain)
}

pub(crate) fn tls_echo_server(acceptor: Acceptor) -> Handle {
    let listener = TlsListener::bind("127.0.0.1:0", acceptor).unwrap();
    Server::new().serve_tls(listener, service_fn(echo)).unwrap()
}

/// Runs what blocks on a thread of its own, while the loop goes on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, done) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || drop(told.send(work())));
    loop {
        match done.try_recv() {
            Ok(value) => {
                thread.join().unwrap();
                return value;
            }
            Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                std::panic::resume_unwind(thread.join().unwrap_err());
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => {
                timer::sleep(Duration::from_millis(2)).await.unwrap();
            }
        }
    }
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends bytes and reads until the server ends.
pub(crate) async fn talk(addr: SocketAddr, said: impl Into<Vec<u8>>) -> String {
    let said = said.into();
    blocking(move || {
        let mut stream = connect(addr);
        stream.write_all(&said).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        String::from_utf8(heard).unwrap()
    })
    .await
}

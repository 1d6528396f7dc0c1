//! Connections over real sockets, on the loop.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tautline_net::{TcpListener, TcpStream};
use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tautline_websocket::read::{Event, Kind};
use tautline_websocket::{CloseCode, Options, Role, Stock, WebSocket};

/// A runtime for each driver of this machine.
fn runtimes() -> impl Iterator<Item = Runtime> {
    [DriverChoice::Auto, DriverChoice::Readiness]
        .into_iter()
        .map(|driver| Runtime::new(Config { driver, ..Config::default() }).unwrap())
}

/// A server that sends everything back, by callbacks. Returns its address.
fn echo_server(options: Options) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let stock = Stock::new(&options);
    listener
        .on_accept(move |stream| {
            let socket = WebSocket::over(stream, Role::Server, options, &stock, b"")?;
            socket.on_message(|sender, message| sender.send(message)).map(drop)
        })
        .unwrap();
    addr
}

async fn client(addr: std::net::SocketAddr, options: Options) -> WebSocket {
    let stream = TcpStream::connect(addr).await.unwrap();
    WebSocket::over(stream, Role::Client, options, &Stock::new(&options), b"").unwrap()
}

/// What is sent comes back, of every length at which something changes, and in fragments.
#[test]
fn what_is_sent_comes_back() {
    for runtime in runtimes() {
        let run = async {
            let options = Options::default();
            let mut socket = client(echo_server(options), options).await;
            let sender = socket.sender();
            for length in [
                0,
                1,
                125,
                126,
                127,
                4096,
                16_383,
                16_384,
                65_535,
                65_536,
                70_000,
                1 << 20,
                15 << 20,
            ] {
                let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
                sender.send(&bytes).unwrap();
                assert_eq!(socket.read().await.unwrap(), Some(Event::Binary(&bytes)), "{length}");
            }
            sender.send_part(Kind::Text, b"in ", false).unwrap();
            sender.ping(b"still there?").unwrap();
            sender.send_part(Kind::Text, b"parts", true).unwrap();
            assert_eq!(socket.read().await.unwrap(), Some(Event::Pong(b"still there?")));
            assert_eq!(socket.read().await.unwrap(), Some(Event::Text("in parts")));
            sender.close(CloseCode::NORMAL, "done").unwrap();
            assert_eq!(socket.read().await.unwrap(), None);
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}

/// Many messages that are under way at once come back in order, while the client reads late.
#[test]
fn a_burst_comes_back_in_order() {
    for runtime in runtimes() {
        let run = async {
            let options = Options { write_limit: 64 << 20, ..Options::default() };
            let server = echo_server(Options::default());
            let mut socket = client(server, options).await;
            let sender = socket.sender();
            let message = |n: u32| vec![n as u8; (n % 3000) as usize];
            for n in 0..20_000 {
                sender.send(&message(n)).unwrap();
            }
            for n in 0..20_000 {
                assert_eq!(socket.read().await.unwrap(), Some(Event::Binary(&message(n))), "{n}");
            }
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}

/// Who reads by a task is told how the connection has ended, as who is called back is: in order with
/// what the peer has said, and otherwise with why.
#[test]
fn readers_are_told_of_the_end() {
    for runtime in runtimes() {
        let run = async {
            let options = Options::default();
            for (in_order, told) in [(true, Ok(CloseCode::POLICY)), (false, Err("farewell"))] {
                let end = Rc::new(RefCell::new(None));
                let mut socket = client(echo_server(options), options).await;
                let (sender, place) = (socket.sender(), end.clone());
                sender.on_close(move |how| *place.borrow_mut() = Some(how));
                if in_order {
                    sender.close(CloseCode::POLICY, "").unwrap();
                    assert_eq!(socket.read().await.unwrap(), None);
                } else {
                    socket = client(silent_server(), options).await;
                    let place = end.clone();
                    socket.sender().on_close(move |how| *place.borrow_mut() = Some(how));
                    assert!(socket.read().await.is_err());
                }
                match (end.take().unwrap(), told) {
                    (Ok(ended), Ok(code)) => assert_eq!(ended.code, Some(code)),
                    (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                    other => panic!("{other:?}"),
                }
            }
        };
        runtime.block_on(timer::timeout(Duration::from_secs(20), run)).unwrap().unwrap();
    }
}

/// A server that ends each stream at once, without a farewell.
fn silent_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    listener.on_accept(|stream| stream.shutdown(std::net::Shutdown::Both)).unwrap();
    addr
}

/// An end that lies behind a message, both there before anybody looks, is told: the connection does not
/// stay.
#[test]
fn an_end_right_behind_a_message_is_told() {
    use std::io::Write;
    for runtime in runtimes() {
        let options = Options::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut raw = std::net::TcpStream::connect(addr).unwrap();
        raw.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
        raw.shutdown(std::net::Shutdown::Write).unwrap();
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let (messages, ended) = (seen.clone(), seen.clone());
        let stock = Stock::new(&options);
        listener
            .on_accept(move |stream| {
                let socket = WebSocket::over(stream, Role::Server, options, &stock, b"")?;
                let (messages, ended) = (messages.clone(), ended.clone());
                let sender = socket.on_message(move |_, message| {
                    messages.borrow_mut().push(format!("{message:?}"))
                })?;
                sender.on_close(move |how| {
                    ended.borrow_mut().push(how.unwrap_err().kind().to_string());
                });
                std::io::Result::Ok(())
            })
            .unwrap();
        let told = seen.clone();
        let late = std::rc::Rc::new(std::cell::Cell::new(false));
        let is_late = late.clone();
        timer::after(Duration::from_secs(5), move || is_late.set(true)).unwrap();
        runtime.run_until(|| late.get() || told.borrow().len() >= 2).unwrap();
        drop(raw);
        assert_eq!(seen.borrow()[..], ["Text(\"hi\")", "unexpected end of file"]);
    }
}

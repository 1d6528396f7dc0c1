//! A process without a free descriptor: the listener rests and goes on. Alone in its
//! process, since it changes that process's limits.

mod common;

use std::cell::Cell;
use std::fs::File;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use common::{everywhere, limit_descriptors, listener};
use socket2::{Domain, Socket, Type};

/// Accepting stops while there is no descriptor for a connection, does not spin
/// meanwhile, and goes on by itself; the connection that waited is served.
#[test]
fn a_listener_rests_without_descriptors_and_goes_on() {
    limit_descriptors(256);
    everywhere(|runtime| {
        let (server, address) = listener();
        let accepted = Rc::new(Cell::new(0));
        let count = accepted.clone();
        let server = server.on_accept(move |_| count.set(count.get() + 1)).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let fillers: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null"))
            .take(300)
            .map_while(Result::ok)
            .collect();
        assert!(fillers.len() < 300, "the limit holds");
        client.connect(&address).unwrap();
        runtime.run_for(Duration::from_millis(60)).unwrap();
        assert_eq!(accepted.get(), 0);
        let tries = runtime.metrics().engine.completions;
        assert!(tries < 40, "it rests between {tries} tries");
        drop(fillers);
        runtime.run_until(|| accepted.get() == 1).unwrap();
        drop(TcpStream::connect(address.as_socket().unwrap()).unwrap());
        runtime.run_until(|| accepted.get() == 2).unwrap();
        server.close();
        runtime.poll().unwrap();
    });
}

//! Descriptors that come and go.

use super::bench::Bench;
use crate::driver::{Attempt, Driver, Op};

/// A descriptor whose number was in use before serves as if it never had been.
pub(crate) fn a_number_used_again_starts_afresh<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    for round in 0..20_u8 {
        let (client, server) = bench.pair_by(listener, &addr);
        let memory = bench.zeroed(8);
        let token = bench.submit_recv(server, memory);
        bench.settle();
        assert!(bench.is_armed(token), "nothing was sent on this one");
        bench.send_all(client, &[round; 2]);
        assert_eq!(bench.result_of(token), 2);
        assert_eq!(memory.first(2), [round; 2]);
        // Some are closed with bytes unread, so that their state is not the first.
        bench.send_all(client, b"left");
        bench.settle();
        bench.close(server);
        bench.close(client);
    }
}

/// A closed end is the other's end of the stream, and takes no more bytes.
pub(crate) fn closing_tells_the_peer<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(8);
    let token = bench.submit_recv(server, memory);
    bench.settle();
    bench.close(client);
    assert_eq!(bench.result_of(token), 0);
    let send = Op::Send { fd: server, buf: memory.start, len: 1 };
    bench.until("the peer refuses bytes", |bench| {
        bench.settle();
        matches!(bench.attempt(send), Attempt::Done(error) if error < 0)
    });
}

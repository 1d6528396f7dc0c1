//! `websocket`: echo servers that are spoken to by a raw generator of precomputed, masked, binary
//! frames, and the parsing alone.
//!
//! A server runs on a thread pinned to core 0 and is given connections whose opening handshake is
//! over; the generator has core 1.

mod deflate;
mod generator;
mod idle;
mod limit;
mod ours;
mod parse;
mod peers;
mod pipe;
mod rtt;

pub(crate) use idle::second_process;

use crate::echo::Serve;
use crate::harness::{Group, Plan, Role};

/// What one receive takes at most, with everybody who lets that be set.
const BUFFER: usize = 64 << 10;

/// A named server.
#[derive(Clone, Copy)]
struct Server {
    name: &'static str,
    role: Role,
    serve: Serve,
}

/// Everybody who echoes.
fn servers() -> Vec<Server> {
    [ours::servers(), limit::servers(), peers::servers()].concat()
}

/// A group for each row of echo, and one for each of parsing.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let over_sockets = [rtt::groups(plan), pipe::groups(plan)];
    let in_process = [parse::groups(), deflate::groups(), idle::groups()];
    over_sockets.into_iter().chain(in_process).flatten().collect()
}

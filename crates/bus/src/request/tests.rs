//! What another process may send, which no client of ours does.

use super::server::PASSED;
use super::*;
use crate::error::ReceiveError;
use crate::shared::Shared;

/// A server that is sent requests without end which were answered long ago passes over some, and says
/// then that there is none for it, however many there are.
#[test]
fn what_was_answered_is_passed_over_within_a_bound() {
    let namespace = format!("passed-{}", std::process::id());
    let patience = Some(Duration::from_secs(20));
    let config = Config { clients: 2, capacity: 4 * PASSED, patience, ..Config::default() };
    let requests = Requests::<u64, u64, Shared>::open(&namespace, "requests", config).unwrap();
    let client = requests.replies.attach(Role::Giver).unwrap();
    let mut sender = requests.channel.sender().unwrap();
    let mut server = requests.server().unwrap();
    let to = client.issue(&mut 0).unwrap();
    sender.send(Ask { to, message: 1 }).unwrap();
    server.serve(|n| n + 1).unwrap();
    assert_eq!(client.take(to), Ok(2));
    for _ in 0..2 * PASSED {
        sender.send(Ask { to, message: 3 }).unwrap();
    }
    sender.send(Ask { to: Correlation::NONE, message: 4 }).unwrap();
    for _ in 0..2 {
        assert_eq!(server.try_receive().map(drop), Err(ReceiveError::Empty));
    }
    // One who waits goes on.
    for _ in 0..2 * PASSED {
        sender.send(Ask { to, message: 5 }).unwrap();
    }
    assert_eq!(server.receive().map(|request| request.message), Ok(4));
    sender.send(Ask { to: Correlation::NONE, message: 6 }).unwrap();
    assert_eq!(server.receive().map(|request| request.message), Ok(6));
}

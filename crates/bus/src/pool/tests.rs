//! Moments that tests with other processes do not meet.

use super::shared::PASSED;
use super::*;
use crate::channel::{self, Channel};
use crate::error::ReceiveError;
use crate::shared::Shared;

/// A ticket that comes again brings its buffer while a third process clears the seat of the one who
/// died with it; one who lives keeps what it has.
#[test]
fn a_buffer_is_inherited_while_the_seat_is_cleared() {
    let namespace = format!("inherits-{}", std::process::id());
    let config = Config { buffers: 1, ..Config::default() };
    let pool = Pool::<[u8], Shared>::open_bytes(&namespace, "pool", 64, config).unwrap();
    let (mut dead, mut heir) = (pool.borrower().unwrap(), pool.borrower().unwrap());
    let ticket = dead.loan().unwrap().freeze_to(5).into_ticket();
    let theirs = dead.redeem(ticket).unwrap();
    assert_eq!(heir.redeem(ticket).unwrap_err(), RedeemError::Stale);
    pool.handle.parts().begin_to_clear(Role::Taker, dead.seat().seat());
    let buffer = heir.redeem(ticket).unwrap();
    assert_eq!(buffer.view().len(), 5);
    // It is out of the dead one's hands.
    drop(theirs);
    assert_eq!(pool.available(), 0);
    drop(buffer);
    assert_eq!(pool.available(), 1);
    assert_eq!(heir.redeem(ticket).unwrap_err(), RedeemError::Stale);
}

/// A borrower that is sent stale tickets without end passes over some, and says then that there is
/// nothing for it, however many there are.
#[test]
fn stale_tickets_are_passed_over_within_a_bound() {
    let namespace = format!("stale-{}", std::process::id());
    let pool = Pool::<[u8], Shared>::open_bytes(&namespace, "pool", 64, Config::default()).unwrap();
    let config = channel::Config { capacity: 4 * PASSED, ..channel::Config::default() };
    let way = Channel::<Ticket, Shared>::open(&namespace, "way", config).unwrap();
    let (mut sender, mut receiver) = (way.sender().unwrap(), way.receiver().unwrap());
    let mut borrower = pool.borrower().unwrap();
    let stale = borrower.loan().unwrap().freeze().into_ticket();
    drop(borrower.redeem(stale).unwrap());
    for _ in 0..PASSED {
        sender.send(stale).unwrap();
    }
    borrower.loan().unwrap().freeze_to(3).send(&mut sender).unwrap();
    assert_eq!(borrower.try_receive(&mut receiver).err(), Some(ReceiveError::Empty));
    assert_eq!(borrower.try_receive(&mut receiver).unwrap().view().len(), 3);
}

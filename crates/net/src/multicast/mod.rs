//! UDP multicast: a [`Peer`] joins groups, sends to them and receives from them.
//!
//! [`Options`] say how a peer is made, and [`Groups`] names its memberships for handlers; what
//! is wrong with a membership is an [`Error`] that says what would help. The book has a page on
//! all of it.

mod error;
mod groups;
mod inlet;
mod interface;
mod ip;
mod joining;
mod memberships;
mod options;
mod peer;
mod read_buffers;
mod received;
mod refusal;

pub use self::{
    error::Error,
    groups::Groups,
    interface::{Interface, ToInterface},
    ip::ToIp,
    memberships::{Filter, Membership},
    options::Options,
    peer::Peer,
    read_buffers::ReadBuffers,
    received::{ReadEvent, Received},
};
pub(crate) use joining::joining;

//! From received bytes to messages: the receiving half of the protocol, RFC 6455 §5 and §6.2.

mod event;
mod limits;
mod reader;
#[cfg(test)]
mod tests;

pub use event::{Event, Kind, Part};
pub use limits::Limits;
pub(crate) use reader::{Found, Place, message_of};
pub use reader::{Next, Reader};

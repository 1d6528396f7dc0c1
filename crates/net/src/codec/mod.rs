//! Items on byte streams.
//!
//! A codec says how items lie in bytes, and nothing else: [`Decode`] finds the next one and lends it
//! out where it was received, [`Encode`] writes one where it will be sent from. [`Framed`] couples a
//! codec with a stream of whatever sort:
//!
//! | face | receives | sends |
//! | --- | --- | --- |
//! | async | [`Framed::next`] | [`Framed::send`], [`ready`](Framed::ready), [`flush`](Framed::flush) |
//! | fibers | the same calls of [`fiber::Framed`](crate::fiber::Framed), which wait | |
//! | callbacks | [`Framed::on_item`] | the half that the handler is given |
//!
//! Ready-made are [`LengthPrefix`], [`Delimiter`], [`Lines`], [`ByteLines`] and [`Fixed`]; one's own
//! stands beside them or on them.

mod decode;
mod delimiter;
mod due;
mod encode;
mod error;
mod fixed;
mod framed;
mod length;
mod lines;
mod options;
mod outlet;
mod reader;
mod serve;
mod writer;

pub use self::{
    decode::{Decode, Decoded, Decoding, Malformed, decode_all},
    delimiter::{Delimiter, DelimiterError},
    encode::{Encode, encode_into},
    error::{Error, SendError},
    fixed::Fixed,
    framed::Framed,
    length::{LengthError, LengthPrefix},
    lines::{ByteLines, LineError, Lines},
    options::{Flush, Options},
    reader::{Items, Reader},
    serve::{Handled, Served},
    writer::Writer,
};
use outlet::Outlet;

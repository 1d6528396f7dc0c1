//! What a feed is: numbered messages that come in packets, often twice, and sometimes not at all.
//!
//! Pure: no sockets, no clocks. Bytes and the time come in as arguments, messages and events come
//! out.
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`format`](mod@format) | how messages lie in a packet: [`MoldUdp64`](format::MoldUdp64), [`Compact`](format::Compact), or your own |
//! | [`framing`] | how packets lie on a byte stream |
//! | [`sequence`] | every message once and in order, from one line or several: gaps are noticed, repaired, or reported |
//!
//! ```
//! use std::time::Instant;
//! use tautline_feed::format::{Builder, Compact, Format, Session};
//! use tautline_feed::sequence::{Config, Event, Line, Pool, Sequencer};
//!
//! let packet = |first: u64, messages: &[&[u8]]| {
//!     let mut datagram = [0; 1400];
//!     let mut builder = Builder::<Compact>::new(&mut datagram, Session::of_number(7), first)?;
//!     messages.iter().try_for_each(|message| builder.push(message))?;
//!     Ok::<_, tautline_feed::format::BuildError>(builder.finish().to_vec())
//! };
//! let (one, two, three) = (packet(1, &[b"add"])?, packet(2, &[b"modify"])?, packet(3, &[b"trade"])?);
//!
//! let now = Instant::now();
//! let mut sequencer = Sequencer::<Compact, _>::new(Config::default(), Pool::new(64, 1500)?, now)?;
//! let mut heard = Vec::new();
//! // The second packet comes last, and is handed on before the third.
//! for datagram in [&one, &three, &two] {
//!     let packet = Compact::parse(datagram)?;
//!     sequencer.packet(now, Line(0), packet, &mut |event: Event<'_, Compact>| {
//!         if let Event::Messages(run) = event {
//!             heard.extend(run.messages().map(|(number, message)| (number, message.to_vec())));
//!         }
//!     });
//! }
//! assert_eq!(heard, [(1, b"add".to_vec()), (2, b"modify".to_vec()), (3, b"trade".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod format;
pub mod framing;
pub mod sequence;
#[cfg(any(test, feature = "trial"))]
pub mod trial;

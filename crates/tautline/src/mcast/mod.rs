//! `tautline mcast`: multicast groups, seen and fed from a command line.
//!
//! Pure parts, into which bytes and the time go:
//!
//! | file | what it does |
//! | --- | --- |
//! | `seen`, `header` | a packet, and what its header says if it is of a feed that is known |
//! | `numbers`, `meter` | what is missing, late or doubled; what came from whom |
//! | `text`, `render`, `report` | packets and counts as lines, tables and JSON |
//! | `capture`, `frame` | captures, from wherever they come, and the datagrams in them |
//! | `generate`, `pace` | numbered packets, and when they are due |
//! | `lines` | what is read from standard input |
//!
//! And those who listen and speak:
//!
//! | file | what it does |
//! | --- | --- |
//! | `recv`, `send`, `rate`, `dump` | the commands of that name |
//! | `session`, `ending`, `error` | their loop, when they end, and what can go wrong |
//! | `joined` | groups that were joined, and what comes to them |
//! | `page` | where `recv` prints, without waiting for whoever reads |

mod capture;
mod dump;
mod ending;
mod error;
mod frame;
mod generate;
mod header;
mod joined;
mod lines;
mod meter;
mod numbers;
mod pace;
mod page;
mod rate;
mod recv;
mod render;
mod report;
mod seen;
mod send;
mod session;
mod text;

pub(crate) use self::capture::Place;
pub(crate) use self::dump::dump;
pub(crate) use self::error::Error;
pub(crate) use self::generate::Layout;
pub(crate) use self::header::Choice;
pub(crate) use self::lines::Lines;
pub(crate) use self::pace::{Pace, Rate};
pub(crate) use self::page::Page;
pub(crate) use self::rate::rate;
pub(crate) use self::recv::recv;
pub(crate) use self::render::{Bytes, Look};
pub(crate) use self::send::{LONGEST, send};
pub(crate) use self::session::Session;

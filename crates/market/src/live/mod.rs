//! The thin shell: exchange and gateway on the loop's sockets.
//!
//! | file | what it does |
//! | --- | --- |
//! | `venue` | an exchange whose lines are multicast groups |
//! | `sender` | the socket of a line |
//! | `serve` | its replay and snapshot servers |
//! | `station` | a gateway that has joined them, and publishes through relay endpoints |
//! | `clients` | how it asks for replays and snapshots |
//! | `run` | one of both on a loop of its own, from start to end |
//! | `config`, `report` | what goes in, and what is told |
//!
//! A [`Venue`] and a [`Station`] work on whatever loop there is, also a simulated one, on which both may
//! be; [`run_exchange`] and [`run_gateway`] make one for themselves.

mod clients;
mod clock;
mod config;
mod report;
mod run;
mod sender;
mod serve;
mod station;
mod venue;

pub use self::config::{ExchangeConfig, GatewayConfig, UnknownWireFormat, WireFormat};
pub use self::report::{
    AskedReport, ExchangeReport, GatewayReport, InstrumentReport, LineReport, OtherSession,
    SentReport, ServedReport,
};
pub use self::run::{RunError, run_exchange, run_gateway, run_gateway_until};
pub use self::station::Station;
pub use self::venue::Venue;

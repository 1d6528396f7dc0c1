//! The relay's state at one moment, as plain data.

use std::net::SocketAddr;

use serde::Serialize;

use super::{LatencySnapshot, Rates};
use crate::demo::CheckReport;
use crate::queue::Counts;

/// Which way packets pass through an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Packets come from here.
    Source,
    /// Packets go here.
    Destination,
}

/// What an endpoint is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// Resolving, connecting, or waiting to try again.
    #[default]
    Connecting,
    /// Open: bound, connected, listening or reading.
    Open,
    /// A source that has come to its end, or an endpoint closed in order.
    Ended,
    /// Failed for good.
    Failed,
}

/// Packets that did not get through an endpoint, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Drops {
    /// Dropped on arrival at a full queue.
    pub new: u64,
    /// Dropped from a full queue for a newer one.
    pub old: u64,
    /// Queued when the subscriber went; of a source, unfinished when its stream ended.
    pub lost: u64,
    /// Refused because every packet slot was in use (source).
    pub no_slot: u64,
    /// Longer than the endpoint accepts (source).
    pub too_long: u64,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.new + self.old + self.lost + self.no_slot + self.too_long
    }

    /// Adds what one subscriber's queue counted.
    pub fn add_queue(&mut self, counts: &Counts) {
        self.new += counts.dropped_new;
        self.old += counts.dropped_old;
        self.lost += counts.lost;
    }
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointSnapshot {
    /// The URL as the user wrote it.
    pub url: String,
    /// Which way packets pass.
    pub role: Role,
    /// What it is doing.
    pub state: EndpointState,
    /// Where it listens or receives, with the port that the system chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<SocketAddr>,
    /// Traffic; for a destination with many subscribers the sum over all of them.
    #[serde(flatten)]
    pub rates: Rates,
    /// Packets that did not get through.
    pub drops: Drops,
    /// Peers connected now.
    pub peers: u64,
    /// Peers cut off by policy so far.
    pub disconnects: u64,
    /// Connections made again after the first.
    pub reconnects: u64,
    /// Packets waiting in the fullest queue.
    pub queued: u64,
    /// The last error, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The loop's turns over an interval, or over the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LoopSnapshot {
    /// The driver in use: `uring`, `readiness` or `sim`.
    pub driver: String,
    /// How long turns took; `count` is their number.
    pub turn: LatencySnapshot,
    /// Handler or task of the longest turn of the run so far, if that turn was among these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_by: Option<String>,
}

/// Once a second: everything since the snapshot before; counters run from the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename = "interval")]
pub struct Snapshot {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// The source first, then the destinations in the order given.
    pub endpoints: Vec<EndpointSnapshot>,
    /// From receive to last send, over this interval.
    pub latency: LatencySnapshot,
    /// The same by powers of two: at position `n` packets that took up to 2^n µs and are at no
    /// position before, at the last all that took longer.
    pub latency_buckets: Vec<u64>,
    /// Turns over this interval.
    #[serde(rename = "loop")]
    pub turns: LoopSnapshot,
}

/// At the end, orderly or not: the whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename = "summary")]
pub struct Summary {
    /// Seconds from start to end.
    pub elapsed_s: f64,
    /// The source first, then the destinations in the order given; rates are averages.
    pub endpoints: Vec<EndpointSnapshot>,
    /// From receive to last send, over the whole run.
    pub latency: LatencySnapshot,
    /// Turns over the whole run.
    #[serde(rename = "loop")]
    pub turns: LoopSnapshot,
    /// Sum over all checking subscribers; only for the built-in demonstration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckReport>,
}

impl Summary {
    /// Whether no drop was counted, and the checking subscribers, if any, found nothing wrong.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let dropped: u64 = self.endpoints.iter().map(|endpoint| endpoint.drops.total()).sum();
        dropped == 0 && self.check.is_none_or(|check| check.is_perfect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(drops: Drops, check: Option<CheckReport>) -> Summary {
        let endpoint = EndpointSnapshot {
            url: "demo:".into(),
            role: Role::Source,
            state: EndpointState::Open,
            bound: None,
            rates: Rates { packets: 3, bytes: 36, packets_per_s: 1.5, bits_per_s: 144.0 },
            drops,
            peers: 1,
            disconnects: 0,
            reconnects: 0,
            queued: 0,
            error: None,
        };
        let (latency, turns) = (LatencySnapshot::default(), LoopSnapshot::default());
        Summary { elapsed_s: 2.0, endpoints: vec![endpoint], latency, turns, check }
    }

    /// Proves that the JSON form has the documented names, a kind, and no empty options.
    #[test]
    fn json_form_is_flat_and_named() {
        let text = serde_json::to_string(&summary(Drops::default(), None)).unwrap();
        for part in [
            r#""kind":"summary""#,
            r#""role":"source""#,
            r#""packets":3"#,
            r#""p999_ns":0"#,
            r#""loop":{"#,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("null") && !text.contains('\n'), "{text}");
    }

    /// Proves that a single drop, or a single complaint of a checker, makes a run lossy.
    #[test]
    fn any_loss_makes_a_run_lossy() {
        let clean = CheckReport { packets: 9, ..CheckReport::default() };
        assert!(summary(Drops::default(), None).is_lossless());
        assert!(summary(Drops::default(), Some(clean)).is_lossless());
        assert!(!summary(Drops { too_long: 1, ..Drops::default() }, Some(clean)).is_lossless());
        assert!(!summary(Drops::default(), Some(CheckReport { late: 1, ..clean })).is_lossless());
    }
}

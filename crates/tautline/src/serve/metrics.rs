//! What `/metrics` says: the text format of Prometheus, version 0.0.4.

use std::fmt::Write;

use tautline_relay::stats::{EndpointSnapshot, EndpointState, LatencySnapshot, Role, Snapshot};

/// Kind and help of a metric, and where its value comes from.
type Of = (&'static str, &'static str, &'static str, fn(&EndpointSnapshot) -> f64);

const ENDPOINTS: [Of; 7] = [
    ("open", "gauge", "Whether the endpoint is open.", |it| {
        f64::from(u8::from(it.state == EndpointState::Open))
    }),
    ("packets_total", "counter", "Packets that passed.", |it| it.rates.packets as f64),
    ("bytes_total", "counter", "Bytes of payload that passed.", |it| it.rates.bytes as f64),
    ("peers", "gauge", "Peers that are connected.", |it| it.peers as f64),
    ("disconnects_total", "counter", "Peers that were cut off by policy.", |it| {
        it.disconnects as f64
    }),
    ("reconnects_total", "counter", "Connections that were made again.", |it| it.reconnects as f64),
    ("queued_packets", "gauge", "Packets in the fullest queue.", |it| it.queued as f64),
];

/// Says how a relay stands. `buckets` are those of the latency, since the start.
pub(super) fn write(snapshot: &Snapshot, buckets: &[u64]) -> String {
    let mut text = String::new();
    put(&mut text, "elapsed_seconds", "gauge", "Since the start of the relay.");
    line(&mut text, "elapsed_seconds", "", snapshot.elapsed_s);
    for (name, kind, help, value) in ENDPOINTS {
        put(&mut text, name, kind, help);
        for endpoint in &snapshot.endpoints {
            line(&mut text, name, &labels(endpoint), value(endpoint));
        }
    }
    put(&mut text, "drops_total", "counter", "Packets that did not get through, by reason.");
    for endpoint in &snapshot.endpoints {
        let drops = &endpoint.drops;
        for (reason, count) in [
            ("new", drops.new),
            ("old", drops.old),
            ("lost", drops.lost),
            ("no_slot", drops.no_slot),
            ("too_long", drops.too_long),
        ] {
            let labels = format!("{},reason=\"{reason}\"", labels(endpoint));
            line(&mut text, "drops_total", &labels, count as f64);
        }
    }
    histogram(&mut text, buckets);
    let turn = &snapshot.turns.turn;
    quantiles(&mut text, "latency_last_second_seconds", "Of the last second.", &snapshot.latency);
    quantiles(&mut text, "turn_last_second_seconds", "Turns of the loop in the last second.", turn);
    text
}

fn put(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP tautline_{name} {help}\n# TYPE tautline_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(text, "tautline_{name} {value}"),
        labels => writeln!(text, "tautline_{name}{{{labels}}} {value}"),
    };
}

fn labels(endpoint: &EndpointSnapshot) -> String {
    let role = match endpoint.role {
        Role::Source => "source",
        Role::Destination => "destination",
    };
    format!("url=\"{}\",role=\"{role}\"", escaped(&endpoint.url))
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The last bucket has no bound. What all values are together is not known.
fn histogram(text: &mut String, buckets: &[u64]) {
    const NAME: &str = "latency_seconds";
    put(text, NAME, "histogram", "From receive to last send.");
    let mut below = 0;
    for (power, count) in buckets.iter().enumerate() {
        below += count;
        let bound = if power + 1 == buckets.len() {
            "+Inf".to_owned()
        } else {
            ((1_u64 << power) as f64 / 1e6).to_string()
        };
        line(text, "latency_seconds_bucket", &format!("le=\"{bound}\""), below as f64);
    }
    line(text, "latency_seconds_count", "", below as f64);
}

fn quantiles(text: &mut String, name: &str, help: &str, points: &LatencySnapshot) {
    put(text, name, "gauge", help);
    for (quantile, nanos) in [
        ("0.5", points.p50_ns),
        ("0.99", points.p99_ns),
        ("0.999", points.p999_ns),
        ("1", points.max_ns),
    ] {
        line(text, name, &format!("quantile=\"{quantile}\""), nanos as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::snapshot;

    /// Proves that values come with their names and labels, that what a label must not have is
    /// escaped, and that buckets add up.
    #[test]
    fn metrics_are_named_and_labelled() {
        let mut snapshot = snapshot();
        snapshot.endpoints[0].url = "ws://a/?send=\"x\\y\"\n".to_owned();
        let text = write(&snapshot, &[5, 0, 2, 1]);
        for line in [
            "# TYPE tautline_packets_total counter",
            r#"tautline_packets_total{url="ws://a/?send=\"x\\y\"\n",role="source"} 1000"#,
            r#"tautline_latency_seconds_bucket{le="0.000001"} 5"#,
            r#"tautline_latency_seconds_bucket{le="0.000004"} 7"#,
            r#"tautline_latency_seconds_bucket{le="+Inf"} 8"#,
            "tautline_latency_seconds_count 8",
            r#"tautline_latency_last_second_seconds{quantile="0.99"} 0.0000453"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in {text}");
        }
    }
}

//! How large socket buffers and accept queues may be.

use super::Read;
use super::finding::{Area, Finding};
use super::limits::{bytes, number};

const AREA: Area = Area("sockets");
/// A tenth of a second at 320 Mbit/s.
const BUFFER_ENOUGH: i64 = 4 << 20;
const BACKLOG_ENOUGH: i64 = 4_096;

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let sysctl = |name: &str| number(read, &format!("/proc/sys/net/core/{name}"));
    vec![
        buffer_finding("receive buffer", "rmem_max", sysctl("rmem_max")),
        buffer_finding("send buffer", "wmem_max", sysctl("wmem_max")),
        backlog_finding(sysctl("somaxconn")),
    ]
}

fn buffer_finding(item: &'static str, sysctl: &str, value: Option<i64>) -> Finding {
    let remedy = format!("sudo sysctl -w net.core.{sysctl}=8388608");
    match value {
        Some(n) if n >= BUFFER_ENOUGH => {
            AREA.ok(item, format!("up to {}", bytes(n.unsigned_abs())))
        }
        Some(n) => AREA.limited(
            item,
            format!("up to {}: bursts are lost", bytes(n.unsigned_abs())),
            remedy,
        ),
        None => AREA.limited(item, format!("net.core.{sysctl} cannot be read"), remedy),
    }
}

fn backlog_finding(value: Option<i64>) -> Finding {
    let remedy = "sudo sysctl -w net.core.somaxconn=4096";
    match value {
        Some(n) if n >= BACKLOG_ENOUGH => AREA.ok("accept queue", format!("up to {n}")),
        Some(n) => AREA.limited(
            "accept queue",
            format!("up to {n}: a rush of subscribers is refused"),
            remedy,
        ),
        None => AREA.limited("accept queue", "net.core.somaxconn cannot be read", remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, machine, status};
    use super::*;

    /// Proves that the system's usual small buffers are called limited and named with their sysctl.
    #[test]
    fn usual_buffers_are_limited() {
        let read = machine(&[
            ("/proc/sys/net/core/rmem_max", "212992"),
            ("/proc/sys/net/core/wmem_max", "4194304"),
            ("/proc/sys/net/core/somaxconn", "128"),
        ]);
        let findings = findings(&read);
        let receive = find(&findings, "receive buffer");
        assert_eq!(
            (receive.status, receive.found.as_str()),
            (Status::Limited, "up to 208 KiB: bursts are lost")
        );
        assert!(receive.remedy.as_ref().unwrap().contains("net.core.rmem_max="));
        assert_eq!(status(&findings, "send buffer"), Status::Ok);
        assert_eq!(status(&findings, "accept queue"), Status::Limited);
    }
}

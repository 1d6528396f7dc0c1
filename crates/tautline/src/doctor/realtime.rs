//! Real-time scheduling: may we ask for it, and is it taken away again.

use super::Read;
use super::finding::{Area, Finding};
use super::limits::{CAP_SYS_NICE, capable, limit, number, raise};

const AREA: Area = Area("real time");

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let priority = limit(read, "Max realtime priority").map_or(0, |limit| limit.soft);
    let runtime = number(read, "/proc/sys/kernel/sched_rt_runtime_us");
    let period = number(read, "/proc/sys/kernel/sched_rt_period_us").unwrap_or(1_000_000);
    vec![priority_finding(priority, capable(read, CAP_SYS_NICE)), throttle_finding(runtime, period)]
}

fn priority_finding(priority: u64, privileged: bool) -> Finding {
    match priority {
        _ if privileged => AREA.ok("priority", "any (CAP_SYS_NICE)"),
        0 => AREA.missing(
            "priority",
            "RLIMIT_RTPRIO is 0: none may be asked for",
            raise("rtprio", "99"),
        ),
        1..50 => AREA.limited("priority", format!("up to {priority}"), raise("rtprio", "99")),
        _ => AREA.ok("priority", format!("up to {priority}")),
    }
}

fn throttle_finding(runtime: Option<i64>, period: i64) -> Finding {
    let remedy = "sudo sysctl -w kernel.sched_rt_runtime_us=-1";
    match runtime {
        Some(runtime) if runtime < 0 || runtime >= period => AREA.ok("throttling", "off"),
        Some(runtime) => {
            let found = format!(
                "a spinning real-time loop is halted {} µs in each {period} µs",
                period - runtime
            );
            AREA.limited("throttling", found, remedy)
        }
        None => AREA.limited("throttling", "sched_rt_runtime_us cannot be read", remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, machine, status};
    use super::*;

    /// Proves that the limit alone refuses priority, and the capability alone grants it.
    #[test]
    fn capability_outweighs_the_limit() {
        const LIMITS: (&str, &str) =
            ("/proc/self/limits", "Max realtime priority     0                    0");
        assert_eq!(status(&findings(&machine(&[LIMITS])), "priority"), Status::Missing);
        let nice = [
            LIMITS,
            ("/proc/self/status", "CapEff:\t0000000000800000"),
            ("/proc/self/uid_map", "0 0 4294967295"),
        ];
        let read = |path: &str| {
            nice.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(status(&findings(&read), "priority"), Status::Ok);
    }

    /// Proves that the default throttle is reported with the pause it causes, and -1 as off.
    #[test]
    fn throttle_states_the_pause() {
        let usual = machine(&[("/proc/sys/kernel/sched_rt_runtime_us", "950000")]);
        assert!(find(&findings(&usual), "throttling").found.contains("50000 µs"));
        let off = machine(&[("/proc/sys/kernel/sched_rt_runtime_us", "-1")]);
        assert_eq!(status(&findings(&off), "throttling"), Status::Ok);
    }
}

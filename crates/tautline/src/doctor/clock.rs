//! The clock source: can time be read without a system call.

use super::Read;
use super::finding::{Area, Finding};

const AREA: Area = Area("clock");
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0";

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let current = read(&format!("{SOURCE}/current_clocksource")).unwrap_or_default();
    let available = read(&format!("{SOURCE}/available_clocksource")).unwrap_or_default();
    let mut findings = vec![source_finding(&current, &available)];
    findings.extend(
        read("/proc/cpuinfo").filter(|text| text.contains("flags")).map(|text| rate_finding(&text)),
    );
    findings
}

fn source_finding(current: &str, available: &str) -> Finding {
    let select = format!("echo tsc | sudo tee {SOURCE}/current_clocksource");
    match current {
        "tsc" | "arch_sys_counter" => {
            AREA.ok("source", format!("{current}: read without a system call"))
        }
        "" => AREA.limited("source", "cannot be read", "mount -t sysfs sysfs /sys"),
        _ if available.split_whitespace().any(|name| name == "tsc") => {
            AREA.limited("source", format!("{current}, though tsc is available"), select)
        }
        _ => AREA.limited(
            "source",
            format!("{current}: the kernel does not trust the time-stamp counter"),
            "sudo dmesg | grep -i -e tsc -e clocksource   # says why",
        ),
    }
}

/// Whether the time-stamp counter runs at one rate in all power states.
fn rate_finding(cpuinfo: &str) -> Finding {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag| flags.split_whitespace().any(|word| word == flag);
    if has("constant_tsc") && has("nonstop_tsc") {
        return AREA.ok("time-stamp counter", "constant and nonstop");
    }
    AREA.limited(
        "time-stamp counter",
        "not marked constant and nonstop: the system clock is used",
        "grep -o -w -e constant_tsc -e nonstop_tsc /proc/cpuinfo   # a hypervisor may hide them",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    /// Proves that a counter which is there but not chosen, and one which is distrusted, get
    /// different remedies.
    #[test]
    fn remedy_depends_on_what_is_available() {
        assert_eq!(source_finding("tsc", "tsc hpet").status, Status::Ok);
        assert!(source_finding("hpet", "tsc hpet").remedy.unwrap().starts_with("echo tsc"));
        assert!(source_finding("hpet", "hpet acpi_pm").remedy.unwrap().contains("dmesg"));
    }

    /// Proves that both flags are asked for, as whole words.
    #[test]
    fn both_counter_flags_are_needed() {
        assert_eq!(rate_finding("flags\t\t: fpu constant_tsc nonstop_tsc").status, Status::Ok);
        assert_eq!(
            rate_finding("flags\t\t: fpu constant_tsc xnonstop_tsc").status,
            Status::Limited
        );
    }
}

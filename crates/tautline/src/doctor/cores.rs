//! Cores: how many, which are ours, which are left alone by the rest of the system.

use super::Read;
use super::finding::{Area, Finding};
use super::limits::status;

const AREA: Area = Area("cores");
const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let online = cores(read, "online").unwrap_or_default();
    let allowed =
        status(read, "Cpus_allowed_list").and_then(|list| parse_list(&list)).unwrap_or_default();
    // The boot core cannot be left alone: with no other, there is none to spare.
    let spare = online.last().copied().filter(|&core| core > 0);
    let mut findings = vec![
        count_finding(&allowed),
        affinity_finding(&online, &allowed),
        isolation_finding("isolcpus", cores(read, "isolated"), spare),
        isolation_finding("nohz_full", cores(read, "nohz_full"), spare),
        quota_finding(quota(read)),
    ];
    findings.extend(
        read(&format!("{CPU}/cpu0/cpufreq/scaling_governor")).map(|g| governor_finding(&g)),
    );
    findings
}

fn cores(read: Read<'_>, file: &str) -> Option<Vec<u32>> {
    parse_list(&read(&format!("{CPU}/{file}"))?)
}

/// A list such as `0-3,8`; the empty list is valid.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last >= 1 << 16 {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

fn count_finding(allowed: &[u32]) -> Finding {
    match allowed.len() {
        0 => AREA.missing("count", "cannot be read", "mount -t proc proc /proc"),
        1 => AREA.limited(
            "count",
            "1: a spinning loop starves everything else",
            "tautline relay --wait sleep",
        ),
        n => AREA.ok("count", format!("{n} for this process")),
    }
}

fn affinity_finding(online: &[u32], allowed: &[u32]) -> Finding {
    if allowed.len() >= online.len() {
        return AREA.ok("affinity mask", "all cores of this machine");
    }
    let found = format!("{} of {} cores", allowed.len(), online.len());
    AREA.limited("affinity mask", found, format!("sudo taskset -cp 0-{} $$", online.len() - 1))
}

fn isolation_finding(item: &'static str, cores: Option<Vec<u32>>, spare: Option<u32>) -> Finding {
    if let Some(cores) = cores.filter(|cores| !cores.is_empty()) {
        return AREA.ok(item, format!("cores {cores:?}"));
    }
    let Some(spare) = spare else {
        return AREA.limited(
            item,
            "none: this machine has one core",
            "add a second core to this machine",
        );
    };
    let arguments = format!("isolcpus={spare} nohz_full={spare} rcu_nocbs={spare}");
    let remedy = format!(
        "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{arguments} /' /etc/default/grub && sudo update-grub && sudo reboot"
    );
    AREA.limited(item, "none: other work and timer ticks interrupt a pinned loop", remedy)
}

/// The tightest share of a core's time that a control group allows, in percent of one core.
fn quota(read: Read<'_>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let shares = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        group_quota(read, controllers, path)
    });
    shares.min()
}

/// The tightest share along `path` from the group itself up to the root.
fn group_quota(read: Read<'_>, controllers: &str, path: &str) -> Option<u64> {
    let ancestors = std::path::Path::new(path).ancestors().filter_map(|p| p.to_str());
    let shares = ancestors.filter_map(|group| {
        let group = group.trim_end_matches('/');
        if controllers.is_empty() {
            return parse_max(&read(&format!("/sys/fs/cgroup{group}/cpu.max"))?);
        }
        let directory = controllers.split(',').any(|c| c == "cpu").then_some(controllers)?;
        let file = |name: &str| read(&format!("/sys/fs/cgroup/{directory}{group}/{name}"));
        parse_max(&format!("{} {}", file("cpu.cfs_quota_us")?, file("cpu.cfs_period_us")?))
    });
    shares.min()
}

/// Quota and period in microseconds; `max` or a negative quota means none.
fn parse_max(text: &str) -> Option<u64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    quota.saturating_mul(100).checked_div(period)
}

fn quota_finding(percent: Option<u64>) -> Finding {
    let Some(percent) = percent else {
        return AREA.ok("cgroup quota", "none");
    };
    let found = format!("{percent} % of one core: the loop is halted when it is used up");
    AREA.limited(
        "cgroup quota",
        found,
        "docker update --cpu-quota=-1 CONTAINER, or systemctl set-property UNIT CPUQuota=",
    )
}

fn governor_finding(governor: &str) -> Finding {
    if governor == "performance" {
        return AREA.ok("frequency governor", governor);
    }
    let found = format!("{governor}: the clock falls while the loop sleeps");
    AREA.limited("frequency governor", found, "sudo cpupower frequency-set -g performance")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, machine, status};
    use super::*;

    /// Proves that core lists with ranges, single cores and nothing are read.
    #[test]
    fn core_lists_are_read() {
        assert_eq!(parse_list("0-2,7\n"), Some(vec![0, 1, 2, 7]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("0-"), None);
        assert_eq!(parse_list("0-4294967295"), None);
    }

    /// Proves that an isolated, unconstrained machine is found in order throughout.
    #[test]
    fn tuned_machine_is_ok() {
        let read = machine(&[
            ("/sys/devices/system/cpu/online", "0-3"),
            ("/proc/self/status", "Cpus_allowed_list:\t0-3"),
            ("/sys/devices/system/cpu/isolated", "2-3"),
            ("/sys/devices/system/cpu/nohz_full", "2-3"),
            ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"),
            ("/proc/self/cgroup", "0::/user.slice"),
            ("/sys/fs/cgroup/user.slice/cpu.max", "max 100000"),
        ]);
        let findings = findings(&read);
        assert!(findings.iter().all(|finding| finding.status == Status::Ok), "{findings:?}");
    }

    /// Proves that the tightest quota of all ancestors is reported, in both control group versions.
    #[test]
    fn tightest_quota_is_reported() {
        let unified = machine(&[
            ("/proc/self/cgroup", "0::/a/b"),
            ("/sys/fs/cgroup/a/b/cpu.max", "200000 100000"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000"),
            ("/sys/fs/cgroup/cpu.max", "max 100000"),
        ]);
        assert_eq!(quota(&unified), Some(150));
        let legacy = machine(&[
            ("/proc/self/cgroup", "3:cpuset:/x\n4:cpu,cpuacct:/x"),
            ("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000"),
            ("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000"),
        ]);
        assert_eq!(quota(&legacy), Some(50));
        assert_eq!(find(&findings(&legacy), "cgroup quota").status, Status::Limited);
        assert_eq!(parse_max("-1 100000"), None);
    }

    /// Proves that a narrowed mask and missing isolation come with commands for this very machine.
    #[test]
    fn remedies_name_the_cores() {
        let read = machine(&[
            ("/sys/devices/system/cpu/online", "0-7"),
            ("/proc/self/status", "Cpus_allowed_list:\t0-3"),
        ]);
        let findings = findings(&read);
        assert!(find(&findings, "affinity mask").remedy.as_ref().unwrap().contains("0-7"));
        assert!(find(&findings, "isolcpus").remedy.as_ref().unwrap().contains("isolcpus=7 "));
        assert_eq!(status(&findings, "count"), Status::Ok);
    }

    /// Proves that nobody is told to isolate the only core.
    #[test]
    fn only_core_is_not_isolated() {
        let read = machine(&[
            ("/sys/devices/system/cpu/online", "0"),
            ("/proc/self/status", "Cpus_allowed_list:\t0"),
        ]);
        let findings = findings(&read);
        assert_eq!(status(&findings, "count"), Status::Limited);
        assert!(!find(&findings, "isolcpus").remedy.as_ref().unwrap().contains("grub"));
    }
}

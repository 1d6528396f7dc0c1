//! Memory: locking, huge pages, mappings.

use super::Read;
use super::finding::{Area, Finding};
use super::limits::{CAP_IPC_LOCK, Limit, bytes, capable, limit, number, raise};

const AREA: Area = Area("memory");
/// Enough to lock the program and the buffers of a few thousand connections.
const LOCK_ENOUGH: u64 = 256 << 20;
const MAPS_ENOUGH: i64 = 65_530;

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    vec![
        locked_finding(limit(read, "Max locked memory"), capable(read, CAP_IPC_LOCK)),
        huge_finding(field(&meminfo, "HugePages_Free"), field(&meminfo, "Hugepagesize")),
        transparent_finding(read("/sys/kernel/mm/transparent_hugepage/enabled").as_deref()),
        maps_finding(number(read, "/proc/sys/vm/max_map_count")),
    ]
}

/// The number behind `key` in `/proc/meminfo`.
fn field(meminfo: &str, key: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn locked_finding(limit: Option<Limit>, privileged: bool) -> Finding {
    if privileged {
        return AREA.ok("locked memory", "any amount (CAP_IPC_LOCK)");
    }
    let soft = limit.map_or(0, |limit| limit.soft);
    match soft {
        0 => AREA.missing("locked memory", "none may be locked", raise("memlock", "unlimited")),
        LOCK_ENOUGH.. => AREA.ok("locked memory", bytes(soft)),
        _ if limit.is_some_and(|limit| limit.hard >= LOCK_ENOUGH) => {
            AREA.limited("locked memory", bytes(soft), "ulimit -l $(ulimit -H -l)")
        }
        _ => AREA.limited("locked memory", bytes(soft), raise("memlock", "unlimited")),
    }
}

fn huge_finding(free: Option<u64>, size_kib: Option<u64>) -> Finding {
    let remedy = "sudo sysctl -w vm.nr_hugepages=64";
    match (free, size_kib) {
        (Some(free @ 1..), Some(size)) => {
            AREA.ok("huge pages", format!("{free} free of {size} KiB"))
        }
        (Some(_), Some(_)) => {
            AREA.limited("huge pages", "none reserved: buffers use ordinary pages", remedy)
        }
        _ => AREA.missing("huge pages", "this kernel has none", remedy),
    }
}

fn transparent_finding(modes: Option<&str>) -> Finding {
    let chosen = modes.and_then(|m| Some(m.split_once('[')?.1.split_once(']')?.0));
    match chosen {
        Some(mode @ ("always" | "madvise")) => AREA.ok("transparent huge pages", mode),
        _ => AREA.limited(
            "transparent huge pages",
            chosen.unwrap_or("not in this kernel"),
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    }
}

fn maps_finding(count: Option<i64>) -> Finding {
    let remedy = "sudo sysctl -w vm.max_map_count=1048576";
    let Some(count) = count else {
        return AREA.limited("map count", "vm.max_map_count cannot be read", remedy);
    };
    let found = format!("{count}: room for {} mirrored buffers", count / 2);
    if count >= MAPS_ENOUGH {
        AREA.ok("map count", found)
    } else {
        AREA.limited("map count", found, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, machine, status};
    use super::*;

    /// Proves that a small limit is mended by `ulimit` where the hard limit allows it, and only
    /// otherwise by root.
    #[test]
    fn locked_memory_remedy_fits_the_hard_limit() {
        let shell = Some(Limit { soft: 8 << 20, hard: u64::MAX });
        assert!(locked_finding(shell, false).remedy.unwrap().starts_with("ulimit"));
        let root = Some(Limit { soft: 8 << 20, hard: 8 << 20 });
        assert!(locked_finding(root, false).remedy.unwrap().starts_with("sudo prlimit"));
        assert_eq!(locked_finding(root, true).status, Status::Ok);
        assert_eq!(locked_finding(None, false).status, Status::Missing);
    }

    /// Proves that reserved huge pages are told from the mere ability to have some.
    #[test]
    fn free_huge_pages_are_counted() {
        let some = machine(&[(
            "/proc/meminfo",
            "HugePages_Total:  9\nHugePages_Free:   4\nHugepagesize:    2048 kB",
        )]);
        assert_eq!(find(&findings(&some), "huge pages").found, "4 free of 2048 KiB");
        let none = machine(&[("/proc/meminfo", "HugePages_Free:   0\nHugepagesize:    2048 kB")]);
        assert_eq!(status(&findings(&none), "huge pages"), Status::Limited);
        assert_eq!(status(&findings(&machine(&[])), "huge pages"), Status::Missing);
    }

    /// Proves that the bracketed mode is the one that counts.
    #[test]
    fn bracketed_mode_counts() {
        assert_eq!(transparent_finding(Some("always [madvise] never")).status, Status::Ok);
        assert_eq!(transparent_finding(Some("always madvise [never]")).status, Status::Limited);
    }

    /// Proves that the map count is told in buffers, and judged at the usual default.
    #[test]
    fn map_count_is_told_in_buffers() {
        assert!(maps_finding(Some(65_530)).found.contains("32765 mirrored"));
        assert_eq!(maps_finding(Some(65_529)).status, Status::Limited);
    }
}

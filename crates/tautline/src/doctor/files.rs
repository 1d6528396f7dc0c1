//! How many descriptors a process may hold.

use super::Read;
use super::finding::{Area, Finding};
use super::limits::{limit, number, raise};

const AREA: Area = Area("files");
/// Ten thousand subscribers and some.
const ENOUGH: u64 = 16_384;

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    vec![open_finding(read), ceiling_finding(number(read, "/proc/sys/fs/nr_open"))]
}

fn open_finding(read: Read<'_>) -> Finding {
    let (soft, hard) =
        limit(read, "Max open files").map_or((0, 0), |limit| (limit.soft, limit.hard));
    if soft >= ENOUGH {
        return AREA.ok("open files", soft.to_string());
    }
    let found = format!("{soft}: as many connections at a time, less a few");
    let remedy = if hard >= ENOUGH {
        "ulimit -n $(ulimit -H -n)".to_owned()
    } else {
        raise("nofile", "1048576")
    };
    AREA.limited("open files", found, remedy)
}

fn ceiling_finding(nr_open: Option<i64>) -> Finding {
    match nr_open {
        Some(n) if n >= 1 << 20 => AREA.ok("fs.nr_open", n.to_string()),
        Some(n) => AREA.limited(
            "fs.nr_open",
            format!("{n}: the limit above cannot exceed it"),
            "sudo sysctl -w fs.nr_open=1048576",
        ),
        None => AREA.limited("fs.nr_open", "cannot be read", "sysctl fs.nr_open"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, machine, status};
    use super::*;

    /// Proves that the usual login limit is called limited, with the remedy that needs no root
    /// where the hard limit allows it.
    #[test]
    fn usual_login_limit_is_limited() {
        let usual = machine(&[(
            "/proc/self/limits",
            "Max open files            1024                 524288               files",
        )]);
        assert!(
            find(&findings(&usual), "open files").remedy.as_ref().unwrap().starts_with("ulimit -n")
        );
        let tight = machine(&[(
            "/proc/self/limits",
            "Max open files            1024                 4096                 files",
        )]);
        assert!(
            find(&findings(&tight), "open files")
                .remedy
                .as_ref()
                .unwrap()
                .starts_with("sudo prlimit")
        );
        let wide = machine(&[(
            "/proc/self/limits",
            "Max open files            unlimited            unlimited            files",
        )]);
        assert_eq!(status(&findings(&wide), "open files"), Status::Ok);
    }
}

//! The kernel's version and what comes with it.

use super::Read;
use super::finding::{Area, Finding};

const AREA: Area = Area("kernel");
/// The command that brings a newer kernel.
pub(super) const NEWER: &str =
    "sudo apt-get install -t stable-backports linux-image-amd64 && sudo reboot";

/// Major and minor number of a kernel release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

/// The running kernel's version, if its release can be read.
pub(super) fn version(read: Read<'_>) -> Option<Version> {
    parse(&read("/proc/sys/kernel/osrelease")?)
}

fn parse(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub(super) fn findings(read: Read<'_>) -> Vec<Finding> {
    let version = version(read).unwrap_or(Version(0, 0));
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![release_finding(version, &release), guard_finding(version)]
}

fn release_finding(version: Version, release: &str) -> Finding {
    if version == Version(0, 0) {
        return AREA.missing("release", "cannot be read", "mount -t proc proc /proc");
    }
    if version >= Version(6, 1) {
        return AREA.ok("release", format!("{release} (6.1 or newer: every ring feature in use)"));
    }
    AREA.limited(
        "release",
        format!("{release} (below 6.1: without the fastest ring set-up)"),
        NEWER,
    )
}

/// MADV_GUARD_INSTALL came with Linux 6.13.
fn guard_finding(version: Version) -> Finding {
    if version >= Version(6, 13) {
        return AREA.ok("guard pages", "by MADV_GUARD_INSTALL: no mapping of their own");
    }
    AREA.limited("guard pages", "below 6.13 each costs a mapping (see map count)", NEWER)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{machine, status};
    use super::*;

    /// Proves that releases of distributions are read up to their minor number.
    #[test]
    fn releases_are_parsed() {
        assert_eq!(parse("6.18.44-fc-v669"), Some(Version(6, 18)));
        assert_eq!(parse("5.10.0-28-amd64"), Some(Version(5, 10)));
        assert_eq!(parse("6.6-rc1"), Some(Version(6, 6)));
        assert_eq!(parse("Linux"), None);
    }

    /// Proves that each boundary between kernel versions falls where the feature arrived.
    #[test]
    fn boundaries_are_where_features_arrived() {
        let at = |release: &'static str, item| {
            let read =
                |path: &str| (path == "/proc/sys/kernel/osrelease").then(|| release.to_owned());
            status(&findings(&read), item)
        };
        assert_eq!(
            (at("6.1.0", "release"), at("6.0.19", "release")),
            (Status::Ok, Status::Limited)
        );
        assert_eq!(
            (at("6.13.1", "guard pages"), at("6.12.9", "guard pages")),
            (Status::Ok, Status::Limited)
        );
        assert_eq!(status(&findings(&machine(&[])), "release"), Status::Missing);
    }
}

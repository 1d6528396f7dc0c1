//! Process limits and capabilities, from the text of `/proc/self`.

use super::Read;

/// CAP_IPC_LOCK: lock any amount of memory.
pub(super) const CAP_IPC_LOCK: u32 = 14;
/// CAP_SYS_ADMIN: among much else, io_uring where it is reserved for administrators.
pub(super) const CAP_SYS_ADMIN: u32 = 21;
/// CAP_SYS_NICE: any real-time priority.
pub(super) const CAP_SYS_NICE: u32 = 23;

/// A soft and a hard limit; `u64::MAX` stands for unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// The limit called `name` in `/proc/self/limits`.
pub(super) fn limit(read: Read<'_>, name: &str) -> Option<Limit> {
    parse_limit(&read("/proc/self/limits")?, name)
}

fn parse_limit(text: &str, name: &str) -> Option<Limit> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut numbers = rest.split_whitespace().map(parse_number);
    Some(Limit { soft: numbers.next()??, hard: numbers.next()?? })
}

fn parse_number(text: &str) -> Option<u64> {
    if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() }
}

/// The value of `key` in `/proc/self/status`.
pub(super) fn status(read: Read<'_>, key: &str) -> Option<String> {
    let text = read("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether this process holds a capability that counts on the machine, not only in a user
/// namespace of its own.
pub(super) fn capable(read: Read<'_>, capability: u32) -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    let mask = status(read, "CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    read("/proc/self/uid_map").is_some_and(whole) && mask.unwrap_or(0) & (1 << capability) != 0
}

/// The command that sets a limit of the shell it is typed into.
pub(super) fn raise(option: &str, value: &str) -> String {
    format!("sudo prlimit --pid $$ --{option}={value}:{value}")
}

/// A file that holds one number.
pub(super) fn number(read: Read<'_>, path: &str) -> Option<i64> {
    read(path)?.trim().parse().ok()
}

/// A number of bytes for people: whole binary units where they fit.
pub(super) fn bytes(count: u64) -> String {
    match count {
        u64::MAX => "unlimited".to_owned(),
        n if n >= 1 << 30 && n.is_multiple_of(1 << 30) => format!("{} GiB", n >> 30),
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::machine;
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 524288               files
Max locked memory         8388608              unlimited            bytes
Max realtime priority     0                    0";

    /// Proves that limits are found by name with spaces in it, and unlimited is understood.
    #[test]
    fn limits_are_found_by_name() {
        assert_eq!(
            parse_limit(LIMITS, "Max open files"),
            Some(Limit { soft: 1024, hard: 524_288 })
        );
        let locked = Limit { soft: 8 << 20, hard: u64::MAX };
        assert_eq!(parse_limit(LIMITS, "Max locked memory"), Some(locked));
        assert_eq!(parse_limit(LIMITS, "Max fishes"), None);
    }

    /// Proves that capabilities are read bit by bit, and do not count inside a user namespace.
    #[test]
    fn capabilities_count_only_outside_namespaces() {
        let root = machine(&[
            ("/proc/self/status", "CapEff:\t0000000000804000"),
            ("/proc/self/uid_map", " 0 0 4294967295"),
        ]);
        assert!(capable(&root, CAP_IPC_LOCK) && capable(&root, CAP_SYS_NICE));
        assert!(!capable(&root, CAP_SYS_ADMIN));
        let contained = machine(&[
            ("/proc/self/status", "CapEff:\tffffffffffffffff"),
            ("/proc/self/uid_map", "0 1000 1"),
        ]);
        assert!(!capable(&contained, CAP_SYS_NICE));
    }

    /// Proves that sizes are told in the unit in which they are whole or readable.
    #[test]
    fn sizes_are_readable() {
        assert_eq!(
            [bytes(212_992), bytes(8 << 20), bytes(2 << 30), bytes(5)],
            ["208 KiB", "8 MiB", "2 GiB", "5 B"]
        );
    }
}

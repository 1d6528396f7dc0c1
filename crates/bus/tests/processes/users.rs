//! Processes of other users, which only root can start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// Users and a group that need not have a name. All are below those of `nobody`.
pub(crate) const OWNER: u32 = 61_001;
pub(crate) const GUEST: u32 = 61_002;
pub(crate) const STRANGER: u32 = 61_003;
pub(crate) const GROUP: u32 = 61_010;

/// Whether processes of other users can be started; says so if they cannot.
pub(crate) fn are_to_be_had(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip_in_part(&format!("{what}: only root can start processes of other users"));
    }
    is_root
}

/// Tells that a part of a test was left out, and why; in a file too, which `scripts/test` names.
pub(crate) fn skip_in_part(what: &str) {
    println!("skipped in part: {what}");
    let Some(path) = std::env::var_os("TAUTLINE_SKIPS") else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the list");
    file.write_all(format!("{}\n", what.replace('\n', " ")).as_bytes()).expect("the list");
}

/// This program, to be run by a user with those groups, the first being its own; `prepare` runs
/// before, as root.
pub(crate) fn program_of(
    user: u32,
    groups: &[u32],
    mut prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    // By its descriptor, for the way to it may be closed to others.
    static PROGRAM: OnceLock<File> = OnceLock::new();
    let open = || File::open(std::env::current_exe().unwrap()).unwrap();
    let program = PROGRAM.get_or_init(open).as_raw_fd();
    let mut command = Command::new(format!("/proc/self/fd/{program}"));
    let groups = groups.to_vec();
    let become_user = move || {
        prepare()?;
        let own = groups.first().copied().unwrap_or(user);
        // SAFETY: the groups are so many words; the calls take nothing else.
        let done = unsafe {
            libc::setgroups(groups.len(), groups.as_ptr()) == 0
                && libc::setgid(own) == 0
                && libc::setuid(user) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: it makes system calls alone, and allocates nothing.
    unsafe { command.pre_exec(become_user) };
    command
}

/// The segments of that name that a process has open, by their numbers.
pub(crate) fn segments_of(process: u32, namespace: &str, name: &str) -> Vec<u64> {
    let label = format!("/memfd:tautline-bus/{namespace}/{name} (deleted)");
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let paths = files.flatten().map(|file| file.path());
    let own = paths.filter(|path| fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*label));
    let mut numbers: Vec<_> = own.filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

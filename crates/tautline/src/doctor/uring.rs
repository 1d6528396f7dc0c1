//! io_uring: whether the kernel grants it, and with which of the features that Tautline uses.
//!
//! [`probe`] asks the kernel, [`findings`] judges the answers. Nothing is submitted: rings are set
//! up, asked what they can do, and closed.

use std::io;

use io_uring::{Builder, IoUring, Probe, opcode};
use rustix::io::Errno;

use super::Read;
use super::finding::{Area, Finding};
use super::kernel::{NEWER, Version, version};
use super::limits::{CAP_SYS_ADMIN, capable, status};

const AREA: Area = Area("io_uring");
const ENTRIES: u32 = 8;

/// A set-up flag, with those that it needs beside it.
type Flag = (&'static str, fn(&mut Builder) -> &mut Builder);

const FLAGS: [Flag; 5] = [
    ("SINGLE_ISSUER", |ring| ring.setup_single_issuer()),
    ("DEFER_TASKRUN", |ring| ring.setup_single_issuer().setup_defer_taskrun()),
    ("TASKRUN_FLAG", |ring| ring.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag()),
    ("NO_SQARRAY", |ring| ring.setup_no_sqarray()),
    ("CQSIZE", |ring| ring.setup_cqsize(ENTRIES * 8)),
];

/// The operations that the driver and the net layer submit.
const OPERATIONS: [(&str, u8); 20] = [
    ("nop", opcode::Nop::CODE),
    ("read", opcode::Read::CODE),
    ("readv", opcode::Readv::CODE),
    ("write", opcode::Write::CODE),
    ("writev", opcode::Writev::CODE),
    ("fsync", opcode::Fsync::CODE),
    ("openat", opcode::OpenAt::CODE),
    ("close", opcode::Close::CODE),
    ("accept", opcode::Accept::CODE),
    ("connect", opcode::Connect::CODE),
    ("recv", opcode::Recv::CODE),
    ("send", opcode::Send::CODE),
    ("recvmsg", opcode::RecvMsg::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("shutdown", opcode::Shutdown::CODE),
    ("poll_add", opcode::PollAdd::CODE),
    ("poll_remove", opcode::PollRemove::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("async_cancel", opcode::AsyncCancel::CODE),
    ("msg_ring", opcode::MsgRingData::CODE),
];

/// What the kernel answered. `Err` holds the error number.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    version: Option<Version>,
    /// Content of the sysctl; `None` before Linux 6.6, which has none.
    disabled: Option<String>,
    /// Whether a seccomp filter stands over this process.
    filtered: bool,
    administrator: bool,
    /// A ring without flags.
    plain: Option<Result<(), Errno>>,
    /// A ring for each flag.
    flags: Vec<(&'static str, Result<(), Errno>)>,
    ring: Option<RingAnswers>,
}

/// What a ring said about itself.
#[derive(Debug, Clone, Default)]
struct RingAnswers {
    /// Operations the kernel does not have; `Err` if it cannot say.
    absent: Option<Result<Vec<&'static str>, Errno>>,
    buffer_rings: bool,
    send_zc: bool,
    /// IORING_FEAT_NODROP: completions beyond the ring are kept.
    nodrop: bool,
    /// IORING_FEAT_EXT_ARG: a wait takes a timeout.
    ext_arg: bool,
    registered_ring: bool,
}

/// Asks the kernel.
pub(super) fn probe(read: Read<'_>) -> Answers {
    let plain = IoUring::new(ENTRIES);
    let built = |apply: fn(&mut Builder) -> &mut Builder| {
        apply(&mut IoUring::builder()).build(ENTRIES).map(drop).map_err(|error| errno(&error))
    };
    Answers {
        version: version(read),
        disabled: read("/proc/sys/kernel/io_uring_disabled"),
        filtered: status(read, "Seccomp").is_some_and(|mode| mode != "0"),
        administrator: capable(read, CAP_SYS_ADMIN),
        flags: FLAGS.map(|(name, apply)| (name, built(apply))).to_vec(),
        plain: Some(plain.as_ref().map(drop).map_err(errno)),
        ring: plain.ok().map(question),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn question(ring: IoUring) -> RingAnswers {
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe).map_err(|error| errno(&error));
    let absent = OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code));
    // Taking away a group that was never there: ENOENT where groups exist, EINVAL where not.
    let group = ring.submitter().unregister_buf_ring(0).map_err(|error| errno(&error));
    RingAnswers {
        absent: Some(probed.map(|()| absent.map(|(name, _)| *name).collect())),
        buffer_rings: group == Err(Errno::NOENT),
        send_zc: probe.is_supported(opcode::SendZc::CODE),
        nodrop: ring.params().is_feature_nodrop(),
        ext_arg: ring.params().is_feature_ext_arg(),
        registered_ring: ring.submitter().register_ring_fd().is_ok(),
    }
}

/// Judges the answers.
pub(super) fn findings(answers: &Answers) -> Vec<Finding> {
    let mut findings = vec![sysctl_finding(answers), setup_finding(answers)];
    if let Some(ring) = &answers.ring {
        findings.extend(answers.flags.iter().map(|&(flag, result)| flag_finding(flag, result)));
        findings.extend(ring_findings(ring, answers.version));
    }
    findings
}

fn sysctl_finding(answers: &Answers) -> Finding {
    let remedy = "sudo sysctl -w kernel.io_uring_disabled=0";
    match answers.disabled.as_deref() {
        Some("0") => AREA.ok("sysctl", "kernel.io_uring_disabled = 0"),
        Some("1") if answers.administrator => {
            AREA.ok("sysctl", "kernel.io_uring_disabled = 1, but this process is privileged")
        }
        Some("1") => AREA.limited(
            "sysctl",
            "kernel.io_uring_disabled = 1: for administrators and one group",
            remedy,
        ),
        Some(_) => {
            AREA.missing("sysctl", "kernel.io_uring_disabled = 2: off for everybody", remedy)
        }
        None => AREA.ok("sysctl", "none: this kernel cannot switch io_uring off by sysctl"),
    }
}

fn setup_finding(answers: &Answers) -> Finding {
    let Some(Err(error)) = answers.plain else {
        return AREA.ok("ring set-up", "granted");
    };
    let allowed = !matches!(answers.disabled.as_deref(), Some("1" | "2"));
    let (why, remedy) = match error {
        Errno::PERM if allowed && answers.filtered => {
            ("EPERM from a seccomp filter", "docker run --security-opt seccomp=unconfined ...")
        }
        Errno::PERM => ("EPERM", "sudo sysctl -w kernel.io_uring_disabled=0"),
        Errno::NOSYS if answers.filtered => (
            "ENOSYS, perhaps from a seccomp filter",
            "docker run --security-opt seccomp=unconfined ...",
        ),
        Errno::NOSYS => ("ENOSYS: the kernel is too old or built without it", NEWER),
        Errno::NOMEM => (
            "ENOMEM: too little locked memory",
            "sudo prlimit --pid $$ --memlock=unlimited:unlimited",
        ),
        Errno::MFILE => ("EMFILE: too few descriptors", "ulimit -n $(ulimit -H -n)"),
        _ => {
            return AREA.missing(
                "ring set-up",
                format!("{error}: readiness (epoll) is used"),
                NEWER,
            );
        }
    };
    AREA.missing("ring set-up", format!("{why}: readiness (epoll) is used"), remedy)
}

fn flag_finding(flag: &'static str, result: Result<(), Errno>) -> Finding {
    match result {
        Ok(()) => AREA.ok(flag, "granted"),
        Err(error) => AREA.limited(flag, format!("refused ({error}): set up without"), NEWER),
    }
}

fn ring_findings(ring: &RingAnswers, version: Option<Version>) -> Vec<Finding> {
    let granted = |item, has: bool, without: &str| {
        if has { AREA.ok(item, "granted") } else { AREA.limited(item, without, NEWER) }
    };
    // No probe tells of receive flags; multishot receive came with 6.0.
    let multishot = version.is_some_and(|version| version >= Version(6, 0));
    vec![
        operations_finding(ring.absent.as_ref()),
        granted("buffer rings", ring.buffer_rings, "absent: each receive names its buffer"),
        granted("multishot recv", multishot, "absent before 6.0: each receive is armed anew"),
        granted("send_zc", ring.send_zc, "absent: large sends are copied"),
        granted("completion overflow", ring.nodrop, "completions beyond the ring are lost"),
        granted("wait with timeout", ring.ext_arg, "absent: each sleep costs a timer operation"),
        granted("registered ring", ring.registered_ring, "absent: each call looks the ring up"),
    ]
}

fn operations_finding(absent: Option<&Result<Vec<&'static str>, Errno>>) -> Finding {
    match absent {
        Some(Ok(absent)) if absent.is_empty() => {
            AREA.ok("operations", format!("all {} in use", OPERATIONS.len()))
        }
        Some(Ok(absent)) => {
            AREA.limited("operations", format!("absent: {}", absent.join(", ")), NEWER)
        }
        Some(Err(error)) => {
            AREA.limited("operations", format!("cannot be asked for ({error})"), NEWER)
        }
        None => AREA.limited("operations", "were not asked for", NEWER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::super::testing::{find, status};
    use super::*;

    fn refused(error: Errno, disabled: &str, filtered: bool) -> Finding {
        let plain = Some(Err(error));
        let disabled = Some(disabled.to_owned());
        setup_finding(&Answers { plain, disabled, filtered, ..Answers::default() })
    }

    /// Proves that each cause of refusal is told apart, and gets the remedy that fits it.
    #[test]
    fn refusals_are_told_apart() {
        assert!(refused(Errno::PERM, "0", true).remedy.unwrap().contains("seccomp=unconfined"));
        assert!(refused(Errno::PERM, "2", true).remedy.unwrap().contains("io_uring_disabled=0"));
        assert!(refused(Errno::NOMEM, "0", false).remedy.unwrap().contains("memlock"));
        assert!(refused(Errno::NOSYS, "0", false).found.contains("too old"));
        assert_eq!(refused(Errno::MFILE, "0", false).status, Status::Missing);
    }

    /// Proves that the sysctl's three settings are judged, and privilege is taken into account.
    #[test]
    fn sysctl_settings_are_judged() {
        let judge = |disabled: Option<&str>, administrator| {
            let disabled = disabled.map(str::to_owned);
            sysctl_finding(&Answers { disabled, administrator, ..Answers::default() }).status
        };
        assert_eq!(judge(None, false), Status::Ok);
        assert_eq!(judge(Some("0"), false), Status::Ok);
        assert_eq!(
            (judge(Some("1"), false), judge(Some("1"), true)),
            (Status::Limited, Status::Ok)
        );
        assert_eq!(judge(Some("2"), true), Status::Missing);
    }

    /// Proves that a refused flag and absent operations are named, and that nothing is claimed
    /// about a ring that could not be set up.
    #[test]
    fn absent_features_are_named() {
        let ring = RingAnswers { absent: Some(Ok(vec!["msg_ring"])), ..RingAnswers::default() };
        let flags = vec![("NO_SQARRAY", Err(Errno::INVAL))];
        let old = Answers { plain: Some(Ok(())), flags, ring: Some(ring), ..Answers::default() };
        let judged = findings(&old);
        assert_eq!(status(&judged, "NO_SQARRAY"), Status::Limited);
        assert_eq!(find(&judged, "operations").found, "absent: msg_ring");
        assert_eq!(status(&judged, "multishot recv"), Status::Limited);
        assert_eq!(findings(&Answers { ring: None, ..old }).len(), 2);
    }

    /// Proves that the real kernel's answers fit together: where a ring is granted it was
    /// questioned, and where not, nothing is claimed.
    #[test]
    fn real_answers_fit_together() {
        let answers =
            probe(&|path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()));
        assert_eq!(answers.plain.expect("a ring was tried").is_ok(), answers.ring.is_some());
        assert_eq!(answers.flags.len(), FLAGS.len());
    }
}

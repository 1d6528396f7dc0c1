//! Set-up refused at each step, by a script and by a real seccomp filter: the error
//! names the step, the reason and the remedy in one line.

use std::io;
use std::process::Command;

use super::driver::UringDriver;
use super::error::{Forbidden, Policy, Refusal, SetupError, SetupStep};
use super::scripted::ScriptedRing;
use super::setup::{Calls, Features, Flags, driver};
use crate::driver::config::DriverConfig;
use crate::driver::pool::Pool;
use crate::driver::sys::EventFd;

const CONFIG: DriverConfig = DriverConfig {
    entries: 8,
    operations: 64,
    pool_buffers: 4,
    pool_buffer_size: 4096,
    events: 64,
};

/// A kernel that grants everything but what it is told to refuse.
#[derive(Default)]
struct Kernel {
    /// Refuses the ring with this `errno`.
    ring: Option<i32>,
    /// Rungs of the ladder that it does not know.
    unknown_rungs: usize,
    /// Flags it was asked for.
    asked: Vec<Flags>,
    /// Takes one feature away.
    without: Option<fn(&mut Features)>,
    /// Refuses the probe with this `errno`.
    probe: Option<i32>,
    /// Lacks the operation at this place of the list.
    lacks: Option<usize>,
    /// Refuses memory for the pool with this `errno`.
    pool: Option<i32>,
    /// Refuses the buffer ring with this `errno`.
    buffer_ring: Option<i32>,
    /// Refuses the wake-up's descriptor with this `errno`.
    wake: Option<i32>,
    /// What the machine forbids.
    policy: Policy,
}

fn unless<T>(errno: Option<i32>, value: T) -> io::Result<T> {
    errno.map_or(Ok(value), |errno| Err(io::Error::from_raw_os_error(errno)))
}

impl Calls for Kernel {
    type Ring = ScriptedRing;

    fn ring(&mut self, flags: Flags, entries: u32, _: u32) -> io::Result<ScriptedRing> {
        self.asked.push(flags);
        let unknown = (self.asked.len() <= self.unknown_rungs).then_some(libc::EINVAL);
        let ring = ScriptedRing::new(entries);
        ring.script().refuses_pool = self.buffer_ring;
        unless(self.ring.or(unknown), ring)
    }

    fn features(&mut self, _: &ScriptedRing) -> Features {
        let mut features = Features {
            nodrop: true,
            ext_arg: true,
            submit_stable: true,
            fast_poll: true,
            current_position: true,
            skip_success: true,
        };
        if let Some(without) = self.without {
            without(&mut features);
        }
        features
    }

    fn probe(&mut self, _: &ScriptedRing, codes: &[u8]) -> io::Result<Vec<bool>> {
        unless(self.probe, (0..codes.len()).map(|at| self.lacks != Some(at)).collect())
    }

    fn pool(&mut self, count: u16, size: usize) -> io::Result<Pool> {
        unless(self.pool, ())?;
        Pool::new(count, size)
    }

    fn wake(&mut self) -> io::Result<EventFd> {
        unless(self.wake, ())?;
        EventFd::new()
    }

    fn policy(&mut self) -> Policy {
        self.policy
    }
}

/// The error of a set-up that must fail.
fn refused(mut kernel: Kernel) -> SetupError {
    match driver(&mut kernel, &CONFIG) {
        Ok(_) => panic!("the set-up was granted"),
        Err(error) => error,
    }
}

/// Each step that is refused with `EPERM`, `EINVAL` or `ENOMEM` is named, with what it
/// means.
#[test]
fn every_refused_step_is_named() {
    type Refusing = fn(i32) -> Kernel;
    let steps: [(SetupStep, Refusing); 5] = [
        (SetupStep::Ring, |e| Kernel { ring: Some(e), ..Kernel::default() }),
        (SetupStep::Probe, |e| Kernel { probe: Some(e), ..Kernel::default() }),
        (SetupStep::Pool, |e| Kernel { pool: Some(e), ..Kernel::default() }),
        (SetupStep::BufferRing, |e| Kernel { buffer_ring: Some(e), ..Kernel::default() }),
        (SetupStep::Wake, |e| Kernel { wake: Some(e), ..Kernel::default() }),
    ];
    let meanings = [
        (libc::EPERM, Refusal::Forbidden(Forbidden::Seccomp)),
        (libc::EACCES, Refusal::Forbidden(Forbidden::SecurityModule)),
        (libc::EINVAL, Refusal::TooOld),
        (libc::ENOSYS, Refusal::TooOld),
        (libc::ENOMEM, Refusal::MemoryLock),
        (libc::EMFILE, Refusal::Descriptors),
        (libc::EIO, Refusal::Other),
    ];
    for (step, kernel) in steps {
        for (errno, reason) in meanings {
            let error = refused(kernel(errno));
            assert_eq!((error.step, error.reason), (step, reason), "errno {errno}");
            assert_eq!(error.source.raw_os_error(), Some(errno));
            let line = error.to_string();
            assert!(line.contains(&step.to_string()) && !line.contains('\n'), "{line}");
        }
    }
}

/// `EPERM` is laid to the sysctl where the sysctl explains it, else to seccomp.
#[test]
fn the_sysctl_is_told_from_seccomp() {
    let cases = [
        (0, false, Forbidden::Seccomp, "seccomp"),
        (1, false, Forbidden::Sysctl(1), "kernel.io_uring_group"),
        (1, true, Forbidden::Seccomp, "seccomp"),
        (2, true, Forbidden::Sysctl(2), "kernel.io_uring_disabled = 2"),
    ];
    for (disabled, admin, by, remedy) in cases {
        let policy = Policy { disabled, admin };
        let error = refused(Kernel { ring: Some(libc::EPERM), policy, ..Kernel::default() });
        assert_eq!(error.reason, Refusal::Forbidden(by));
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

/// A kernel that does not know the newest flags is asked with fewer, best first, until it
/// agrees; any other refusal ends the asking.
#[test]
fn older_kernels_are_asked_for_less() {
    for unknown_rungs in 0..Flags::LADDER.len() {
        let mut kernel = Kernel { unknown_rungs, ..Kernel::default() };
        assert!(driver(&mut kernel, &CONFIG).is_ok());
        assert_eq!(kernel.asked, Flags::LADDER[..=unknown_rungs]);
    }
    let mut kernel = Kernel { ring: Some(libc::ENOMEM), ..Kernel::default() };
    assert!(driver(&mut kernel, &CONFIG).is_err());
    assert_eq!(kernel.asked.len(), 1);
}

/// A kernel without a needed feature or operation is too old, and the error names it.
#[test]
fn what_is_missing_is_named() {
    type Taking = fn(&mut Features);
    let takes: [(Taking, &str); 6] = [
        (|f| f.nodrop = false, "IORING_FEAT_NODROP"),
        (|f| f.ext_arg = false, "IORING_FEAT_EXT_ARG"),
        (|f| f.submit_stable = false, "IORING_FEAT_SUBMIT_STABLE"),
        (|f| f.fast_poll = false, "IORING_FEAT_FAST_POLL"),
        (|f| f.current_position = false, "IORING_FEAT_RW_CUR_POS"),
        (|f| f.skip_success = false, "IORING_FEAT_CQE_SKIP"),
    ];
    for (without, name) in takes {
        let error = refused(Kernel { without: Some(without), ..Kernel::default() });
        assert_eq!((error.step, error.reason), (SetupStep::Feature(name), Refusal::TooOld));
    }
    let error = refused(Kernel { lacks: Some(0), ..Kernel::default() });
    assert_eq!(error.step, SetupStep::Operation("IORING_OP_RECV"));
    assert!(error.to_string().contains("6.0"), "{error}");
}

/// Set in the process that runs under the filter.
const UNDER_FILTER: &str = "TAUTLINE_TEST_UNDER_SECCOMP";

/// A real seccomp filter that refuses `io_uring_setup` with `EPERM`, as containers do, is
/// told as such. (The filter cannot be taken off, so a second process wears it: this
/// test, started again.)
#[test]
fn a_real_seccomp_filter_is_named() {
    if std::env::var_os(UNDER_FILTER).is_some() {
        filter_io_uring().unwrap();
        match UringDriver::new(&CONFIG) {
            Ok(_) => println!("granted"),
            Err(error) => println!("{error}"),
        }
        return;
    }
    let this = std::thread::current().name().unwrap().to_owned();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([this.as_str(), "--exact", "--nocapture"])
        .env(UNDER_FILTER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let by =
        if Policy::of_this_machine().disabled == 0 { "seccomp filter" } else { "forbidden by" };
    assert!(text.contains(by) && text.contains("io_uring_setup"), "{text}");
}

/// Has `io_uring_setup` refused with `EPERM` to this thread, for ever.
fn filter_io_uring() -> io::Result<()> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, compare) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ);
    let answer = libc::BPF_RET;
    let mut filter = [
        op(load, 0, 0, 0),
        op(compare, 0, 1, libc::SYS_io_uring_setup as u32),
        op(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls take plain values and a program that lives through them.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

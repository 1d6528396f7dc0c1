//! What is asked of the machine for the loop's thread: a core, a real-time priority,
//! locked memory.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::{Config, Wish};
use crate::engine::io::Class;
use crate::error::Error;
use crate::report::Report;

/// Asks for everything the configuration wishes; notes what was refused.
pub(crate) fn apply(config: &Config, report: &mut Report) -> Result<(), Error> {
    grant("a core of its own", config.pin, report, pin)?;
    grant("real-time priority", config.realtime, report, set_realtime)?;
    grant("locked memory", config.lock_memory, report, |()| lock_memory())
}

fn grant<T>(
    wish: &'static str,
    asked: Wish<T>,
    report: &mut Report,
    ask: impl FnOnce(T) -> Result<(), String>,
) -> Result<(), Error> {
    match asked {
        Wish::Off => Ok(()),
        Wish::Require(value) => ask(value).map_err(|reason| Error::Refused { wish, reason }),
        Wish::Try(value) => {
            if let Err(reason) = ask(value) {
                log::warn!("{wish} was refused: {reason}");
                report.refused.push(format!("{wish}: {reason}"));
            }
            Ok(())
        }
    }
}

fn pin(core: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(format!("there is no core {core}"));
    }
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("core {core}: {error}; see `taskset -p $$` for those allowed"))
}

fn set_realtime(priority: u8) -> Result<(), String> {
    if !(1..=99).contains(&priority) {
        return Err(format!("SCHED_FIFO {priority}: there are priorities 1 to 99"));
    }
    let param = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the parameter outlives the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(format!("SCHED_FIFO {priority}: {error}; raise RLIMIT_RTPRIO (`ulimit -r {priority}`)"))
}

fn lock_memory() -> Result<(), String> {
    // On fault: a large table costs only what is used of it.
    let flags = rustix::mm::MlockAllFlags::CURRENT
        | rustix::mm::MlockAllFlags::FUTURE
        | rustix::mm::MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags)
        .map_err(|error| format!("mlockall: {error}; raise RLIMIT_MEMLOCK (`ulimit -l unlimited`)"))
}

/// What sort of descriptor it is.
pub(crate) fn classify(fd: &OwnedFd) -> io::Result<Class> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    if kind.is_file() || kind.is_block_device() {
        return Ok(Class::File);
    }
    if !kind.is_socket() {
        return Ok(Class::Plain);
    }
    let socket = socket2::SockRef::from(fd);
    if rustix::net::sockopt::socket_acceptconn(fd)? {
        return Ok(Class::Listener);
    }
    Ok(if socket.r#type()? == socket2::Type::STREAM { Class::Stream } else { Class::Datagram })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is required and refused is an error with the reason; what is only tried is
    /// reported.
    #[test]
    fn refusals_are_errors_or_reports() {
        let mut report = Report::default();
        let impossible = rustix::thread::CpuSet::MAX_CPU;
        let tried = Config { pin: Wish::Try(impossible), ..Config::default() };
        apply(&tried, &mut report).unwrap();
        assert_eq!(report.refused.len(), 1);
        let required = Config { pin: Wish::Require(impossible), ..Config::default() };
        let error = apply(&required, &mut report).unwrap_err();
        assert!(error.to_string().contains("no core"), "{error}");
    }
}

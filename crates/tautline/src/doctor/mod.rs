//! `tautline doctor`: what this machine grants, line by line, with the remedy.
//!
//! Each area is a pure function from the text of system files to findings; `Read` is the only way
//! to the machine, so that tests hand in the text of machines we do not have. [`uring`] and
//! [`fibers`] alone also ask the kernel directly: by setting up rings and taking them down again,
//! and by marking a page of memory as a guard.

mod clock;
mod cores;
mod fibers;
mod files;
mod finding;
mod kernel;
mod limits;
mod memory;
mod realtime;
mod render;
mod sockets;
mod uring;

pub(crate) use finding::Finding;
pub(crate) use render::{json, lines};

/// Reads a system file; `None` if it is absent or unreadable.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Examines this machine.
pub(crate) fn examine() -> Vec<Finding> {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let mut findings = findings(&read);
    add_behind("kernel", uring::findings(&uring::probe(&read)), &mut findings);
    add_behind("memory", fibers::findings(fibers::probe()), &mut findings);
    findings
}

/// Adds `more` behind the findings of `area`.
fn add_behind(area: &str, more: Vec<Finding>, findings: &mut Vec<Finding>) {
    let last = findings.iter().rposition(|finding| finding.area == area);
    let at = last.map_or(findings.len(), |last| last + 1);
    findings.splice(at..at, more);
}

/// Everything that the text of system files tells.
fn findings(read: Read<'_>) -> Vec<Finding> {
    [
        kernel::findings(read),
        cores::findings(read),
        realtime::findings(read),
        memory::findings(read),
        clock::findings(read),
        files::findings(read),
        sockets::findings(read),
    ]
    .concat()
}

#[cfg(test)]
mod testing {
    use super::finding::{Finding, Status};

    /// A machine that consists of the given files.
    pub(super) fn machine(
        files: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<String> {
        move |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    /// Status of the finding about `item`.
    pub(super) fn status(findings: &[Finding], item: &str) -> Status {
        find(findings, item).status
    }

    /// The finding about `item`.
    pub(super) fn find<'a>(findings: &'a [Finding], item: &str) -> &'a Finding {
        let found = findings.iter().find(|finding| finding.item == item);
        found.unwrap_or_else(|| panic!("nothing about {item} in {findings:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::finding::Status;
    use super::*;

    /// Proves that a machine whose files cannot be read is still described, without a panic, and
    /// that everything found wanting has a remedy.
    #[test]
    fn unreadable_machine_is_described() {
        let findings = findings(&|_| None);
        assert!(findings.len() > 10);
        for finding in findings.iter().filter(|finding| finding.status != Status::Ok) {
            assert!(finding.remedy.is_some(), "{finding:?}");
        }
    }

    /// Proves that nonsense in the files neither panics nor passes for a measured value.
    #[test]
    fn nonsense_is_survived() {
        for text in ["", "\n", "x", "-", "[", "99999999999999999999999", "0-", "Max open files"] {
            let findings = findings(&|_| Some(text.to_owned()));
            assert!(findings.len() > 10, "{text:?}");
        }
    }
}

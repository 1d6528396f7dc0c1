//! What the rules let pass, and why. An exception that excepts nothing is itself a finding.

use crate::Finding;

/// One rule is lifted for one file, or for all files below a folder that ends in `/`.
struct Exception {
    rule: &'static str,
    path: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 6] = [
    Exception {
        rule: "atomics",
        path: "crates/runtime/src/driver/uring/provided.rs",
        reason: "the tail of a buffer ring is shared with the kernel, which no model can play",
    },
    Exception {
        rule: "atomics",
        path: "crates/runtime/src/runtime.rs",
        reason: "a counter of runtimes in a static, which loom's atomics cannot be",
    },
    Exception {
        rule: "atomics",
        path: "crates/runtime/src/watch/stall.rs",
        reason: "one flag that ends the watcher's thread, which is joined",
    },
    Exception {
        rule: "atomics",
        path: "crates/runtime/src/watch/stall/beacon.rs",
        reason: "each word stands for itself: a look at the wrong moment costs a report",
    },
    Exception {
        rule: "atomics",
        path: "crates/runtime/src/watch/stall/snapshot.rs",
        reason: "written by a signal's handler, which no model can play",
    },
    Exception {
        rule: "clock",
        path: "crates/market/src/live/clock.rs",
        reason: "an epoch for the loop's time, which is told in the terms of the standard library",
    },
];

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        let below = self.path.ends_with('/') && finding.path.starts_with(self.path);
        self.rule == finding.rule && (below || self.path == finding.path)
    }
}

/// The findings that no exception covers, and the exceptions that cover none.
pub(crate) fn apply(findings: Vec<Finding>) -> Vec<Finding> {
    let idle: Vec<Finding> = EXCEPTIONS
        .iter()
        .filter(|exception| !findings.iter().any(|finding| exception.covers(finding)))
        .map(|exception| Finding {
            rule: "exception",
            path: exception.path.to_owned(),
            line: 1,
            mend: format!(
                "nothing here needs the exception from `{}` ({}): take it out",
                exception.rule, exception.reason
            ),
        })
        .collect();
    let open = findings.into_iter().filter(|f| !EXCEPTIONS.iter().any(|e| e.covers(f)));
    open.chain(idle).collect()
}

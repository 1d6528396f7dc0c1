//! Fibers: how many stacks with guard pages a process may have.

use tautline_runtime::fiber::{GuardSupport, stack_guards};

use super::finding::{Area, Finding};

/// Their stacks stand with the rest of memory.
const AREA: Area = Area("memory");
const ITEM: &str = "fiber stacks";

/// Asks the kernel itself, which tells in no file whether it has guard markers.
pub(super) fn probe() -> GuardSupport {
    stack_guards()
}

pub(super) fn findings(support: GuardSupport) -> Vec<Finding> {
    let finding = match support {
        GuardSupport::Markers => AREA.ok(ITEM, "guard markers: any number"),
        GuardSupport::Protection { stacks } => AREA.limited(
            ITEM,
            format!("{stacks}: before Linux 6.13 each takes two mappings for its guard page"),
            "sudo sysctl -w vm.max_map_count=1048576",
        ),
        other => AREA.ok(ITEM, format!("{other:?}")),
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    /// Proves that guards by protection are called limited, with their number and a remedy, and
    /// that this machine's answer can be told.
    #[test]
    fn protected_guards_are_limited() {
        let old = &findings(GuardSupport::Protection { stacks: 32_233 })[0];
        assert_eq!(old.status, Status::Limited);
        assert!(old.found.starts_with("32233:") && old.remedy.is_some(), "{old:?}");
        let here = &findings(probe())[0];
        assert_eq!(here.remedy.is_some(), here.status != Status::Ok, "{here:?}");
    }
}

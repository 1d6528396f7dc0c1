//! How large stacks are, and how many: what a configuration says of them.

use std::fmt;

use crate::Error;

/// The most bytes of one stack.
const MAX_SIZE: usize = 1 << 30;
/// The most stacks of one class.
const MAX_COUNT: usize = 1 << 24;

/// The class of a fiber's stack: how deep the fiber may call.
///
/// The sizes are those of [`Config::stacks`](crate::Config::stacks); the defaults are named
/// here. Memory is spent by the page, when it is first used: a fiber of a large class that
/// calls no deeper than one of a small class costs no more memory, only address space.
///
/// ```
/// use tautline_runtime::fiber::Stack;
/// assert_eq!(Stack::default(), Stack::Small);
/// assert_eq!(Stack::Medium.to_string(), "medium");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stack {
    /// 32 KiB: handlers of connections, protocols, what calls no foreign code.
    #[default]
    Small,
    /// 256 KiB: formatting and parsing libraries, moderate recursion.
    Medium,
    /// 1 MiB: foreign code, deep recursion.
    Large,
}

impl Stack {
    /// Every class, the smallest first.
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// The class's name, as in [`StackSizes`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The stacks of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackClass {
    /// Bytes that a fiber may use of one, rounded up to whole pages. A reserve for the
    /// backtrace of a panic comes on top.
    pub size: usize,
    /// How many there are. 0: the class is not used.
    pub count: usize,
}

/// The sizes and numbers of stacks, for each class.
///
/// All get their address space at [`Runtime::new`](crate::Runtime::new), and memory page by
/// page as fibers use it; memory once used stays with its stack for the next fiber.
///
/// ```
/// use tautline_runtime::fiber::{StackClass, StackSizes};
/// let sizes = StackSizes {
///     small: StackClass { size: 16 << 10, count: 100_000 },
///     large: StackClass { count: 0, ..StackSizes::default().large },
///     ..StackSizes::default()
/// };
/// assert_eq!(sizes.medium.size, 256 << 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSizes {
    /// Of [`Stack::Small`]. Default 1,024 of 32 KiB.
    pub small: StackClass,
    /// Of [`Stack::Medium`]. Default 128 of 256 KiB.
    pub medium: StackClass,
    /// Of [`Stack::Large`]. Default 16 of 1 MiB.
    pub large: StackClass,
}

impl Default for StackSizes {
    fn default() -> Self {
        Self {
            small: StackClass { size: 32 << 10, count: 1024 },
            medium: StackClass { size: 256 << 10, count: 128 },
            large: StackClass { size: 1 << 20, count: 16 },
        }
    }
}

impl StackSizes {
    /// What is said of one class.
    pub(crate) const fn class(&self, class: Stack) -> StackClass {
        match class {
            Stack::Small => self.small,
            Stack::Medium => self.medium,
            Stack::Large => self.large,
        }
    }

    /// Refuses what no stack can be made of.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let fields = [
            ("stacks.small.size", "stacks.small.count", self.small),
            ("stacks.medium.size", "stacks.medium.count", self.medium),
            ("stacks.large.size", "stacks.large.count", self.large),
        ];
        fields.into_iter().try_for_each(|(size, count, class)| class.check(size, count))
    }
}

impl StackClass {
    fn check(self, size: &'static str, count: &'static str) -> Result<(), Error> {
        let refuse = |field, value: usize, remedy| {
            Err(Error::Config { field, value: value.to_string(), remedy })
        };
        if self.count == 0 {
            Ok(())
        } else if self.size == 0 {
            refuse(size, 0, "it must be at least 1; a class that is not needed has count 0")
        } else if self.size > MAX_SIZE {
            refuse(size, self.size, "a stack has 1 GiB at most")
        } else if self.count > MAX_COUNT {
            refuse(count, self.count, "there are 16,777,216 stacks of a class at most")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults pass, a class that is not used may be anything, and what makes no sense
    /// is refused under its field's name.
    #[test]
    fn nonsense_is_refused_by_name() {
        let sizes = StackSizes::default();
        sizes.check().unwrap();
        let refused = |sizes: StackSizes| match sizes.check() {
            Err(Error::Config { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        let of = |size, count| StackClass { size, count };
        StackSizes { large: of(0, 0), ..sizes }.check().unwrap();
        assert_eq!(refused(StackSizes { small: of(0, 1), ..sizes }), "stacks.small.size");
        assert_eq!(
            refused(StackSizes { medium: of(usize::MAX, 1), ..sizes }),
            "stacks.medium.size"
        );
        assert_eq!(refused(StackSizes { large: of(1, usize::MAX), ..sizes }), "stacks.large.count");
    }

    /// Classes are in order of size, and each is found under its name.
    #[test]
    fn each_class_has_its_own_size() {
        let sizes = StackSizes::default();
        assert!(Stack::ALL.is_sorted_by_key(|&class| sizes.class(class).size));
        assert_eq!(Stack::ALL.map(Stack::name), ["small", "medium", "large"]);
    }
}

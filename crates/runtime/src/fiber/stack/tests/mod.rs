//! The pools as a whole, on this machine's memory.

mod child;
mod deep;
mod locked;
mod overflows;
mod pools;

use super::{Stack, StackClass, StackSizes, Stacks};

/// So many small stacks, and none of another class.
fn only_small(count: usize) -> StackSizes {
    let none = StackClass { size: 0, count: 0 };
    StackSizes { small: StackClass { size: 32 << 10, count }, medium: none, large: none }
}

/// Whether the byte at `address` can be touched, told without touching it.
fn is_accessible(address: usize) -> bool {
    let (_reader, writer) = rustix::pipe::pipe().expect("two descriptors");
    let byte = std::ptr::without_provenance::<libc::c_void>(address);
    use std::os::fd::AsRawFd;
    // SAFETY: the kernel reads the byte if it may, and says EFAULT if not.
    match unsafe { libc::write(writer.as_raw_fd(), byte, 1) } {
        1 => true,
        _ => {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "{error}");
            false
        }
    }
}

/// Checks that every stack of `class` has a guard page, and all of the rest.
fn check_guards(stacks: &mut Stacks, class: Stack) {
    use corosensei::stack::Stack as _;
    let page = rustix::param::page_size();
    while let Some(stack) = stacks.take(class) {
        let (limit, base) = (stack.limit().get(), stack.base().get());
        for guarded in [limit, limit + page - 1] {
            assert!(!is_accessible(guarded), "{guarded:#x} of {stack:?}");
        }
        for usable in [limit + page, base - 1] {
            assert!(is_accessible(usable), "{usable:#x} of {stack:?}");
        }
        assert!(base - limit - page > stacks.usage(class).size);
    }
}

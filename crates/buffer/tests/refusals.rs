//! What the system or the arguments refuse is a named error, and leaves nothing behind.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tautline_buffer::{
    Bip, ByteBuffer, Error, Fifo, HugePages, MapOptions, Mirrored, Pages, Region,
};

/// Bytes of a buffer that is large enough for its leak to be seen.
const LARGE: usize = 64 << 20;
/// Times that each failure is repeated.
const TIMES: usize = 20;
/// A leak shows once for each time. Some of that is of other tests: the allocator sets as much aside
/// as one buffer has for a thread that begins.
const LEAK: usize = TIMES / 2 * LARGE;

/// Limits and mappings belong to the process, so only one test at a time may look.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a failed construction could leave behind.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    memory_files: usize,
    address_space: usize,
}

impl Holdings {
    fn now() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').next().unwrap().parse().unwrap();
        Self {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            memory_files: maps.lines().filter(|line| line.contains("tautline-buffer")).count(),
            address_space: pages * rustix::param::page_size(),
        }
    }
}

/// Runs `fail` some times; its errors are of the kind wanted and nothing of size is left behind.
fn leaves_nothing<T>(fail: impl Fn() -> Result<T, Error>, wanted: fn(&Error) -> bool) {
    let before = Holdings::now();
    for _ in 0..TIMES {
        let error = fail().err().expect("this was to be refused");
        assert!(wanted(&error), "{error:?}");
    }
    let after = Holdings::now();
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.memory_files, before.memory_files);
    assert!(after.address_space < before.address_space + LEAK, "{before:?} {after:?}");
}

/// Runs `f` under a lowered soft limit. The limit is back in place when `f` is done.
fn limited(resource: Resource, current: u64, f: impl FnOnce()) {
    struct Restore(Resource, Rlimit);
    impl Drop for Restore {
        fn drop(&mut self) {
            setrlimit(self.0, self.1).unwrap();
        }
    }
    let old = getrlimit(resource);
    let lowered = Rlimit { current: Some(current), maximum: old.maximum };
    let _restore = Restore(resource, old);
    setrlimit(resource, lowered).unwrap();
    f();
}

/// Zero bytes are refused by name, by every kind.
#[test]
fn size_zero_is_named() {
    let _alone = alone();
    let zero = |error: &Error| matches!(error, Error::ZeroSize);
    leaves_nothing(|| Mirrored::new(0), zero);
    leaves_nothing(|| Bip::new(0), zero);
    leaves_nothing(|| ByteBuffer::new(0), zero);
    leaves_nothing(|| Region::new(0), zero);
}

/// A size that overflows once rounded or doubled is refused by name, by every kind.
#[test]
fn size_overflow_is_named() {
    let _alone = alone();
    let too_large = |error: &Error| matches!(error, Error::TooLarge { .. });
    for size in [usize::MAX, usize::MAX / 2 + 1] {
        leaves_nothing(|| Mirrored::new(size), too_large);
        leaves_nothing(|| Bip::new(size), too_large);
        leaves_nothing(|| ByteBuffer::new(size), too_large);
        leaves_nothing(|| Region::new(size), too_large);
    }
    leaves_nothing(|| ByteBuffer::with(1, usize::MAX, MapOptions::new()), too_large);
}

/// More than any machine has is refused when asked for, not when touched.
#[test]
fn more_than_the_machine_has_is_refused() {
    let _alone = alone();
    let map = |error: &Error| matches!(error, Error::Map { .. });
    leaves_nothing(|| Mirrored::new(1 << 60), map);
    leaves_nothing(|| ByteBuffer::new(1 << 60), map);
    leaves_nothing(|| Region::new(1 << 60), map);
    leaves_nothing(|| Bip::new(1 << 60), |error| matches!(error, Error::Heap { .. }));
}

/// With no descriptor left the memory file is refused, and the error says which limit.
#[test]
fn no_descriptor_left() {
    let _alone = alone();
    let before = Holdings::now();
    limited(Resource::Nofile, 0, || {
        for _ in 0..TIMES {
            let error = Mirrored::new(LARGE).unwrap_err();
            assert!(matches!(error, Error::Map { what: "create a memory file", .. }), "{error:?}");
            assert!(error.to_string().contains("RLIMIT_NOFILE"));
        }
    });
    assert!(Holdings::now().address_space < before.address_space + LEAK);
}

/// With no address space left the reservation is refused while the memory file is open; the file
/// is closed again.
#[test]
fn no_address_space_left() {
    let _alone = alone();
    let room = Holdings::now().address_space + LARGE;
    limited(Resource::As, room as u64, || {
        leaves_nothing(
            || Mirrored::new(LARGE),
            |error| matches!(error, Error::Map { what: "reserve address space", .. }),
        );
        leaves_nothing(|| ByteBuffer::new(LARGE), |error| matches!(error, Error::Map { .. }));
    });
}

/// When the process may have no more mappings, a ring that got only its first half gives it back.
#[test]
fn no_map_entry_left() {
    let _alone = alone();
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    if limit.trim().parse::<usize>().unwrap() > 100_000 {
        return; // Using them all up would take too long.
    }
    let before = Holdings::now();
    let mut rings = Vec::with_capacity(100_000);
    let error = loop {
        match Mirrored::new(1) {
            Ok(ring) => rings.push(ring),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Map { .. }) && error.to_string().contains("vm.max_map_count"));
    // A ring needs two entries: try with none left, with about one, and with two.
    let mut filler = None;
    for _ in 0..3 {
        let full = Holdings::now().memory_files;
        drop(Mirrored::new(1));
        assert_eq!(Holdings::now().memory_files, full);
        match filler {
            None => {
                rings.pop();
                filler = Some(Region::new(1).unwrap());
            }
            Some(_) => filler = None,
        }
    }
    drop(rings);
    let after = Holdings::now();
    assert_eq!((after.memory_files, after.descriptors), (before.memory_files, before.descriptors));
}

/// Required huge pages are there or refused by name; tried ones fall back, and the buffer says so.
#[test]
fn huge_pages_are_granted_refused_or_replaced() {
    let _alone = alone();
    let require = MapOptions::new().huge_pages(HugePages::Require);
    let attempt = MapOptions::new().huge_pages(HugePages::Try);
    match Mirrored::with(LARGE, require) {
        Ok(ring) => assert_eq!((ring.pages(), ring.capacity()), (Pages::Huge, LARGE)),
        Err(_) => {
            let refused = |error: &Error| matches!(error, Error::HugePages { .. });
            leaves_nothing(|| Mirrored::with(LARGE, require), refused);
            leaves_nothing(|| Region::with(LARGE, require), refused);
            leaves_nothing(|| ByteBuffer::with(LARGE, 4, require), refused);
            assert_eq!(Mirrored::with(LARGE, attempt).unwrap().pages(), Pages::Ordinary);
            assert_eq!(Region::with(LARGE, attempt).unwrap().pages(), Pages::Ordinary);
        }
    }
    let mut ring = Mirrored::with(100, attempt).unwrap();
    let all = vec![5; ring.capacity()];
    assert_eq!(ring.put(&all), all.len());
    assert_eq!(ring.readable(), all);
}

/// A lock beyond the limit is refused, names the limit, and unmaps what was mapped; one within it
/// is granted and counts once.
#[test]
fn lock_beyond_the_limit_names_it() {
    let _alone = alone();
    let lock = MapOptions::new().lock(true);
    limited(Resource::Memlock, 1 << 20, || {
        // Capabilities belong to a thread: a fresh one gives up the right to exceed the limit.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut sets = capabilities(None).unwrap();
                sets.effective.remove(CapabilitySet::IPC_LOCK);
                set_capabilities(None, sets).unwrap();
                let beyond = |error: &Error| {
                    matches!(error, Error::Lock { limit: Some(0x10_0000), .. })
                        && error.to_string().contains("1048576 bytes")
                };
                leaves_nothing(|| Mirrored::with(LARGE, lock), beyond);
                leaves_nothing(|| Region::with(LARGE, lock), beyond);
                leaves_nothing(|| ByteBuffer::with(LARGE, 4, lock), beyond);
                assert!(Mirrored::with(600 << 10, lock).is_ok(), "twice that would be too much");
            });
        });
    });
}

/// A dropped buffer gives everything back.
#[test]
fn drop_gives_everything_back() {
    let _alone = alone();
    let before = Holdings::now();
    for _ in 0..TIMES {
        drop(Mirrored::with(LARGE, MapOptions::new()).unwrap());
        drop(ByteBuffer::new(LARGE).unwrap());
        drop(Region::new(LARGE).unwrap());
    }
    let after = Holdings::now();
    assert_eq!((after.memory_files, after.descriptors), (before.memory_files, before.descriptors));
    assert!(after.address_space < before.address_space + LEAK, "{before:?} {after:?}");
}

/// A live ring holds no descriptor, and its prefaulted pages are in memory, on both sides.
#[test]
fn prefault_gives_every_page_its_memory() {
    let _alone = alone();
    let before = Holdings::now();
    let size = 8 << 20;
    for (prefault, expected) in [(false, 0), (true, 2 * size / 1024)] {
        let ring = Mirrored::with(size, MapOptions::new().prefault(prefault)).unwrap();
        assert_eq!(Holdings::now().descriptors, before.descriptors);
        assert_eq!(resident_kib(), expected, "{}", ring.capacity());
    }
}

/// KiB of the ring's two mappings that have a page behind them.
fn resident_kib() -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut ours = false;
    let mut sum = 0;
    for line in smaps.lines() {
        if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            ours = line.contains("tautline-buffer");
        } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| ours) {
            sum += size.trim().trim_end_matches(" kB").parse::<usize>().unwrap();
        }
    }
    sum
}

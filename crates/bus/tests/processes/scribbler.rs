//! A process that scribbles over what another has open, and those who live with it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use tautline_bus::OpenError;

use super::Other;

/// Bytes of the header.
const HEADER: u64 = 8192;

/// What became of messages that somebody scribbled over.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) whole: usize,
    pub(crate) corrupt: usize,
    pub(crate) refused: usize,
}

/// Writes random words to random places of the segment of that name, the header included, that this
/// process's parent has open; without end.
pub(crate) fn scribble(namespace: &str, name: &str) -> ! {
    let victim = std::os::unix::process::parent_id();
    let mut seed = 0x5eed_u64;
    loop {
        let Some(file) = find_file(victim, namespace, name) else { continue };
        let len = file.metadata().unwrap().len();
        // Just being made.
        if len < 16 {
            continue;
        }
        for _ in 0..200 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Small numbers are more dangerous than large ones: they look right.
            let word = if seed & 1 == 0 { seed } else { (seed >> 8) & 31 };
            // The header is looked at when the object is opened alone.
            let first = if seed & 0xe == 0 || len <= HEADER + 8 { 0 } else { HEADER };
            let at = first + (seed >> 16) % (len - 8 - first);
            file.write_all_at(&word.to_le_bytes(), at & !7).unwrap();
        }
    }
}

/// The segment of that name, if the process has it open.
pub(crate) fn find_file(victim: u32, namespace: &str, name: &str) -> Option<File> {
    let label = format!("/memfd:tautline-bus/{namespace}/{name} (deleted)");
    let files = fs::read_dir(format!("/proc/{victim}/fd")).ok()?.flatten();
    let mut paths = files.map(|file| file.path());
    let path =
        paths.find(|path| fs::read_link(path).is_ok_and(|to| to.as_os_str() == label.as_str()))?;
    File::options().read(true).write(true).open(path).ok()
}

/// Ten thousand rounds of `play` with an object that another process, which plays the part
/// "scribble NAME", scribbles over all the time, also between a check and its use.
pub(crate) fn withstand<O>(
    namespace: &str,
    name: &str,
    open: impl Fn(usize) -> Result<O, OpenError>,
    play: impl Fn(&O, &mut Fates),
) {
    let scribbler = Other::play(&format!("scribble {name}"), namespace);
    let (mut fates, mut spoilt) = (Fates::default(), 0);
    let (mut rounds, mut opened, begun) = (0, 0, Instant::now());
    while rounds < 10_000 {
        // They count once the other has been at work.
        if fates.corrupt == 0 {
            rounds = 0;
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing is corrupt: {fates:?}");
        }
        // A segment without a user is gone, and the next is whole; unless it is spoilt while it
        // is made.
        opened += 1;
        let object = match open(opened) {
            Ok(object) => object,
            Err(error) => {
                assert!(!matches!(error, OpenError::System { .. }), "{error}");
                spoilt += 1;
                continue;
            }
        };
        for _ in 0..40 {
            rounds += 1;
            play(&object, &mut fates);
        }
    }
    println!("{name}: {rounds} rounds in {:?}, {spoilt} not opened: {fates:?}", begun.elapsed());
    assert!(fates.whole > 0, "{fates:?}");
    scribbler.kill();
}

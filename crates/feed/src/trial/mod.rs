//! Whatever may come, played from bytes: for fuzz targets, and for tests that replay what they have
//! found.
//!
//! A fuzzer makes up bytes, [`packet()`] and [`sequence()`] make of them what they like, and panic if
//! something is not as it should be. The targets are in `fuzz/`.

mod act;
mod narrow;
mod packet;
mod play;

use std::fs;
use std::path::PathBuf;

use arbitrary::{Result, Unstructured};

pub use self::act::{Act, Number};
pub use self::narrow::Narrow;
pub use self::packet::packet;
pub use self::play::Play;
use crate::format::{Compact, Format, MoldUdp64};
use crate::sequence::{Bip, Config, Pool, Slots, Store};

/// What happens to a sequencer, and how it is made.
#[derive(Clone, Debug)]
pub struct Case {
    /// How the sequencer goes about it.
    pub config: Config,
    /// Packets that its store holds, about.
    pub size: usize,
    /// What happens.
    pub acts: Vec<Act>,
}

impl Case {
    /// The one that bytes stand for. There is one for all bytes.
    ///
    /// # Errors
    /// None in fact: where there are no bytes left, zeros are read.
    pub fn of(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let config = act::config(bytes)?;
        let size = bytes.int_in_range(1..=20)?;
        let mut acts = Vec::new();
        while !bytes.is_empty() {
            acts.push(Act::of(bytes)?);
        }
        Ok(Self { config, size, acts })
    }

    /// Lets it happen. Of each number it is seen to that it is told once and in order, and after each
    /// step that all parts of the sequencer agree.
    ///
    /// # Panics
    /// If something is not as it should be.
    pub fn play<F: Format, S: Store>(&self, store: S) {
        let mut play = Play::<F, S>::new(self.config.clone(), store);
        self.acts.iter().for_each(|act| play.act(act));
    }
}

/// Plays what the bytes stand for: in one of the formats, with one of the stores.
///
/// # Panics
/// If something is not as it should be.
pub fn sequence(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(format) = bytes.arbitrary::<u8>() else { return };
    let Ok(case) = Case::of(&mut bytes) else { return };
    match format % 3 {
        0 => with_store::<Compact>(&case, format / 3),
        1 => with_store::<MoldUdp64>(&case, format / 3),
        _ => with_store::<Narrow>(&case, format / 3),
    }
}

fn with_store<F: Format>(case: &Case, store: u8) {
    let size = case.size;
    let never = "stores of a few bytes can be made";
    match store % 3 {
        0 => case.play::<F, _>(Pool::new(size, 60).expect(never)),
        1 => case.play::<F, _>(Slots::new(64 * size).expect(never)),
        _ => case.play::<F, _>(Bip::new(100 * size, 2 * size).expect(never)),
    }
}

/// Plays all that is kept for a target in `fuzz/corpus`, for tests: what fuzzing has found, and what it
/// begins with.
///
/// # Panics
/// If something is not as it should be, after the name of the file, or if next to nothing is kept.
pub fn replay_corpus(target: &str, play: impl Fn(&[u8])) {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../fuzz/corpus", target].iter().collect();
    let kept = fs::read_dir(&folder).expect("each target has a folder");
    let files: Vec<_> = kept.map(|file| file.expect("a file of the folder").path()).collect();
    assert!(files.len() >= 10, "{} files in {}", files.len(), folder.display());
    for file in files {
        println!("{}", file.display()); // shown if it fails
        play(&fs::read(&file).expect("a file that can be read"));
    }
}

#[cfg(test)]
mod tests;

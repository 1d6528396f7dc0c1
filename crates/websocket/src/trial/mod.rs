//! Whatever may come, played from bytes: for fuzz targets, and for tests that replay what they have
//! found.
//!
//! A fuzzer makes up bytes, the functions here make of them what they like, and panic if something is
//! not as it should be. The targets are in `fuzz/`.

mod deflate;
mod frames;
mod handshake;

use std::fs;
use std::path::PathBuf;

pub use self::deflate::inflate;
pub use self::frames::frames;
pub use self::handshake::{WORDS, handshake};

/// Plays all files that are kept for a target.
///
/// # Panics
/// If something is not as it should be, or if there are no files.
pub fn replay(target: &str, play: fn(&[u8])) {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../fuzz/corpus", target].iter().collect();
    let kept = fs::read_dir(&folder).expect("the corpus is in the repository");
    let files: Vec<_> = kept.map(|file| file.expect("a file of the folder").path()).collect();
    assert!(files.len() >= 10, "{} files in {}", files.len(), folder.display());
    for file in files {
        println!("{}", file.display()); // shown if it fails
        play(&fs::read(&file).expect("a file that can be read"));
    }
}

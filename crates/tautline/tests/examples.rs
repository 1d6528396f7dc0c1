//! Examples that show something which can fail, run as programs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An example that was built with the tests, as `scripts/test` has it.
fn example(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_tautline")).with_file_name("examples").join(name);
    assert!(beside.exists(), "build it first: cargo build --workspace --all-features --examples");
    beside
}

/// Readers of order books in shared memory are killed; nobody misses a book, and none is torn.
#[test]
fn books_in_shared_memory_outlast_their_readers() {
    let run = Command::new(example("market_shm")).arg("2").output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("100000 books") && told.contains(" 0 missed, 0 torn"), "{told}");
    assert!(!told.contains(" 0 readers killed") && !told.contains("of 0 that"), "{told}");

    let wrong = Command::new(example("market_shm")).arg("soon").output().unwrap();
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("soon"));
}

/// A program that logs has its lines on the console and in the file, as its filter has it.
#[test]
fn lines_are_on_the_console_and_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = |filter: &str| {
        let mut program = Command::new(example("logging"));
        let run = program.arg(filter).env("TMPDIR", folder.path()).output().unwrap();
        (run.status.success(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    let (success, told) = run("warn,logging::detail=debug");
    assert!(success && told.lines().count() == 4, "{told}");
    assert!(told.lines().last().is_some_and(|line| line.ends_with("that was all")), "{told}");

    let (success, told) = run("info");
    let path = told.trim_end().rsplit(' ').next().unwrap();
    let objects = std::fs::read_to_string(path).unwrap();
    assert_eq!((success, objects.lines().count()), (true, told.lines().count()), "{told}");

    let (success, told) = run("app*=info");
    assert!(!success && told.contains("app*"), "{told}");
}

/// Workers paint by messages to an agent that owns a Vulkan command pool, and by a mutex: each pixel
/// has the colour that was sent last.
#[test]
#[cfg(feature = "vulkan")]
fn pixels_have_the_colour_that_was_sent_last() {
    let run = Command::new(example("vulkan_commands")).output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("each of 65536 pixels"), "{told}");

    let none = Command::new(example("vulkan_commands")).env("VK_ICD_FILENAMES", "none").output();
    let none = none.unwrap();
    assert!(!none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("mesa-vulkan-drivers"));
}

//! Rings of records: what is written is read, whole and in order, also from the file alone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tautline_buffer::MapOptions;
use tautline_bus::record::{self, Config, MakeError, Reader, Refusal, Remains, Writer};

const SMALL: Config = Config { capacity: 4096, longest: 1000, memory: MapOptions::new() };

/// A record that says which it is, of a length that depends on that.
fn text(n: u32) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(4 + n as usize % 97, n as u8);
    bytes
}

fn write(writer: &mut Writer, n: u32) -> Result<(), Refusal> {
    let bytes = text(n);
    let mut claim = writer.claim(bytes.len() + 5)?;
    claim[..bytes.len()].copy_from_slice(&bytes);
    claim.commit(bytes.len());
    Ok(())
}

fn take(reader: &mut Reader) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    reader.take(&mut record).unwrap().then_some(record)
}

fn in_file(folder: &Path) -> (PathBuf, Writer, Reader) {
    let path = folder.join("ring");
    let (writer, reader) = record::in_file(&path, SMALL).unwrap();
    (path, writer, reader)
}

/// Numbers of the records in the file, and how many of them were released.
fn told(path: &Path) -> (Vec<u32>, usize) {
    let remains = Remains::read(path).unwrap();
    let number = |bytes: &[u8]| {
        let n = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(bytes, text(n));
        n
    };
    let released = remains.records().filter(|record| record.released).count();
    (remains.records().map(|record| number(record.bytes)).collect(), released)
}

/// Between two threads, over many laps, every record arrives once, whole and in order.
#[test]
fn records_arrive_in_order_over_many_laps() {
    let (mut writer, mut reader) = record::in_memory(SMALL).unwrap();
    let thread = std::thread::spawn(move || {
        for n in 0..20_000 {
            while write(&mut writer, n).is_err() {
                std::thread::yield_now();
            }
        }
    });
    let mut next = 0;
    while next < 20_000 {
        let Some(record) = take(&mut reader) else {
            std::thread::yield_now();
            continue;
        };
        assert_eq!(record, text(next));
        next += 1;
        if next % 3 == 0 {
            reader.release(reader.position());
        }
    }
    thread.join().unwrap();
    assert!(reader.is_closed() && take(&mut reader).is_none());
}

/// What is taken but not released keeps its room; a full ring and a long record are refused, and
/// the count of what was given up is seen by the reader.
#[test]
fn no_room_is_told_and_counted() {
    let (mut writer, mut reader) = record::in_memory(SMALL).unwrap();
    assert_eq!(writer.claim(1001).err(), Some(Refusal::TooLong));
    let mut written = 0;
    while write(&mut writer, written).is_ok() {
        written += 1;
    }
    writer.count_dropped();
    assert_eq!(reader.dropped(), 1);
    assert_eq!(take(&mut reader), Some(text(0)));
    assert_eq!(writer.claim(500).err(), Some(Refusal::Full));
    while take(&mut reader).is_some() {}
    reader.release(reader.position());
    assert!(writer.claim(500).is_ok());
}

/// A claim that is dropped was never there, and one that is not used up gives the rest back.
#[test]
fn a_claim_that_is_not_committed_is_nothing() {
    let (mut writer, mut reader) = record::in_memory(SMALL).unwrap();
    writer.claim(900).unwrap().fill(7);
    for n in 0..5 {
        let mut claim = writer.claim(900).unwrap();
        claim[0] = n;
        claim.commit(1);
    }
    for n in 0..5 {
        assert_eq!(take(&mut reader), Some(vec![n]));
    }
    assert_eq!(take(&mut reader), None);
}

/// A ring whose writer has gone is opened for another after all was read, and not before.
#[test]
fn a_ring_is_used_again_when_it_was_read_to_the_end() {
    let (mut writer, mut reader) = record::in_memory(SMALL).unwrap();
    assert!(reader.reopen().is_none(), "its writer is there");
    write(&mut writer, 1).unwrap();
    drop(writer);
    assert!(reader.is_closed() && reader.reopen().is_none(), "there is a record");
    assert_eq!(take(&mut reader), Some(text(1)));
    assert!(reader.reopen().is_none(), "its room was not given back");
    reader.release(reader.position());
    let mut writer = reader.reopen().unwrap();
    assert!(!reader.is_closed());
    write(&mut writer, 2).unwrap();
    assert_eq!(take(&mut reader), Some(text(2)));
}

/// A ring that is too small for its records, or a file that is there, is an error that says so.
#[test]
fn impossible_rings_are_refused() {
    let long = Config { longest: 4096, ..SMALL };
    let error = record::in_memory(long).unwrap_err();
    assert!(matches!(error, MakeError::TooLong { longest: 4096, limit: 2040 }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let (path, _writer, _reader) = in_file(folder.path());
    let error = record::in_file(&path, SMALL).unwrap_err().to_string();
    assert!(error.contains("ring") && error.contains("exists"), "{error}");
    assert!(record::in_file(&folder.path().join("other"), long).is_err());
    assert!(!folder.path().join("other").exists());
}

/// The file tells all that was committed and not released, and what it still has of the rest,
/// without gaps, up to the last record; what was claimed and not committed is not there.
#[test]
fn the_file_tells_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut writer, mut reader) = in_file(folder.path());
    assert_eq!(told(&path), (vec![], 0));
    for n in 0..5000 {
        while write(&mut writer, n).is_err() {
            take(&mut reader);
            reader.release(reader.position());
        }
        if n % 7 == 0 && take(&mut reader).is_some() {
            reader.release(reader.position());
        }
        writer.claim(500).map(|mut claim| claim.fill(0xee)).ok();
        if n % 50 == 49 {
            let (numbers, _) = told(&path);
            let first = numbers[0];
            assert!(numbers.iter().copied().eq(first..=n), "{numbers:?} up to {n}");
        }
    }
    while take(&mut reader).is_some() {}
    reader.release(reader.position());
    let (numbers, released) = told(&path);
    assert!(released == numbers.len() && released > 20, "{released} of {numbers:?}");
}

/// A file that was scribbled over, or cut short, gives errors or other records; never more, and no
/// panic.
#[test]
fn scribbled_files_are_no_danger() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut writer, mut reader) = in_file(folder.path());
    for n in 0..200 {
        while write(&mut writer, n).is_err() {
            take(&mut reader);
            reader.release(reader.position());
        }
    }
    let whole = fs::read(&path).unwrap();
    let mut random = numbers(7);
    let hostile = folder.path().join("hostile");
    for round in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 9 {
            let in_head = random().is_multiple_of(2);
            let range = if in_head { 512 } else { bytes.len() };
            let at = (random() as usize % range) & !7;
            let value = if random().is_multiple_of(2) { random() } else { random() % 5000 };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if round % 10 == 0 {
            bytes.truncate(random() as usize % bytes.len());
        }
        fs::write(&hostile, &bytes).unwrap();
        match Remains::read(&hostile) {
            Ok(remains) => assert!(remains.records().count() <= whole.len() / 8),
            Err(error) => assert!(error.to_string().contains("hostile"), "{error}"),
        }
    }
}

/// A sequence of numbers that is the same each time (xorshift).
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Damage in the middle costs the records there alone, and is told.
#[test]
fn what_stands_behind_the_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut writer, _reader) = in_file(folder.path());
    for n in 0..30 {
        write(&mut writer, n).unwrap();
    }
    let page = fs::metadata(&path).unwrap().len() - 4096;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 80], page + 400).unwrap();
    let remains = Remains::read(&path).unwrap();
    let whole: Vec<u32> = remains
        .records()
        .map(|record| (record.bytes, u32::from_le_bytes(record.bytes[..4].try_into().unwrap())))
        .filter(|(bytes, n)| *bytes == text(*n))
        .map(|(_, n)| n)
        .collect();
    assert_eq!((whole[0], *whole.last().unwrap()), (0, 29));
    assert!((20..30).contains(&whole.len()), "{whole:?}");
    assert_eq!(remains.records().filter(|record| record.after_damage).count(), 1);
}

/// A living reader meets what somebody has written into the file: an error, after which it goes on.
#[test]
fn a_reader_gets_over_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut writer, mut reader) = in_file(folder.path());
    write(&mut writer, 1).unwrap();
    let page = fs::metadata(&path).unwrap().len() - 4096;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 8], page).unwrap();
    assert!(reader.take(&mut Vec::new()).is_err());
    reader.skip();
    write(&mut writer, 2).unwrap();
    assert_eq!(take(&mut reader), Some(text(2)));
}

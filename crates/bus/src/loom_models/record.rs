//! Rings of records.

use loom::thread;
use tautline_buffer::MapOptions;

use super::check;
use crate::record::{self, Config};
use crate::sync::spin_loop;

/// The model watches parts of which each holds a whole number of the longest records.
const CONFIG: Config = Config { capacity: 4096, longest: 2040, memory: MapOptions::new() };

/// Who sees that the writer has gone finds the last record by the next look, and may then open the
/// ring for another, whose records come after.
#[test]
fn loom_record_a_closed_ring_has_told_all() {
    check(|| {
        let (mut writer, mut reader) = record::in_memory(CONFIG).unwrap();
        let thread = thread::spawn(move || {
            writer.claim(2040).unwrap().commit(1000);
            writer.count_dropped();
        });
        let mut record = Vec::new();
        while !reader.is_closed() {
            spin_loop();
        }
        assert_eq!(reader.dropped(), 1);
        assert!(reader.take(&mut record).unwrap());
        assert_eq!(record.len(), 1000);
        assert!(!reader.take(&mut record).unwrap());
        reader.release(reader.position());
        let mut writer = reader.reopen().unwrap();
        thread.join().unwrap();
        writer.claim(2040).unwrap().commit(2040);
        assert!(reader.take(&mut record).unwrap());
    });
}

/// No byte of a record is written again before its room was given back.
#[test]
fn loom_record_room_is_used_after_its_release() {
    check(|| {
        let (mut writer, mut reader) = record::in_memory(CONFIG).unwrap();
        let thread = thread::spawn(move || {
            for n in 0..3 {
                loop {
                    if let Ok(mut claim) = writer.claim(2040) {
                        claim.fill(n);
                        claim.commit(2040);
                        break;
                    }
                    spin_loop();
                }
            }
        });
        let mut record = Vec::new();
        for n in 0..3 {
            while !reader.take(&mut record).unwrap() {
                spin_loop();
            }
            assert!(record.len() == 2040 && record.iter().all(|byte| *byte == n));
            reader.release(reader.position());
        }
        thread.join().unwrap();
    });
}

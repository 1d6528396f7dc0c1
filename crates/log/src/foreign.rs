//! Lines that bring their site with them: who writes them knows no call site that stays.

use std::fmt;

use crate::core::Core;
use crate::encode::{Number, Str, Text};
use crate::pen::with_pen;
use crate::record::{self, HEAD, MOST, Tag};
use crate::{Level, site};

/// Bytes of a target or a path that are kept: there has to be room for the message.
const LONGEST_NAME: usize = 200;

/// Where a line comes from that brings its site with it.
pub(crate) struct Origin<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
}

/// Writes a line whose text is formatted here, if a log runs that wants it.
pub(crate) fn write_foreign(origin: &Origin<'_>, message: fmt::Arguments<'_>) {
    let Some(pass) = site::gate(origin.level) else { return };
    let number = Number::<u64, { Tag::U64 as u8 }>;
    let (level, line) = (number(origin.level as u64), number(origin.line.into()));
    let (target, file) = (Str(short(origin.target)), Str(short(origin.file)));
    let arguments = (level, (line, (target, (file, (Text(message), ())))));
    let wanted = |core: &Core| core.passes(origin.target, origin.level);
    with_pen(pass, wanted, |pen| {
        if pen.wants(origin.level, origin.target) {
            pen.foreign(&arguments);
        }
    });
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

const _: () = assert!(record::HEAD + 16 + 16 * MOST <= crate::SHORTEST_LIMIT);
const _: () = assert!(HEAD + 8 + 5 * 8 + 3 * LONGEST_NAME <= crate::SHORTEST_LIMIT);

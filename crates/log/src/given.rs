//! Lines that do not come from the macros of this crate, but through those of others.

use std::fmt;

use crate::Level;
use crate::core;
use crate::encode::{Encode, Str, Text, Texts};
use crate::pen::{self, with_pen};
use crate::record::{self, FOREIGN, HEAD, MOST, Tag, mark_cut, put_head, tag_bytes};
use crate::site::{Pass, Site};

/// An argument whose form is known when the line is written.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    U64(u64),
    I64(i64),
    U128(u128),
    I128(i128),
    F64(f64),
    Bool(bool),
    Str(&'a str),
    /// Formatted into the record.
    Text(fmt::Arguments<'a>),
}

/// Writes a line of a site that was made at run time. Of more than 32 arguments the rest is left
/// out, and the line is marked as cut.
pub(crate) fn write_given(site: &'static Site, pass: Pass, arguments: &[Given<'_>]) {
    if site.is_off() {
        return;
    }
    with_pen(pass, |pen| {
        pen.line_of(site, |record, ticks, number| fill(record, ticks, number, arguments));
    });
}

fn fill(bytes: &mut [u8], ticks: u64, site: u32, arguments: &[Given<'_>]) -> usize {
    let taken = &arguments[..arguments.len().min(MOST)];
    let tags = taken.iter().rev().fold(0, |tags, given| tags << 4 | u128::from(given.tag()));
    let front = HEAD + tag_bytes(taken.len());
    let before = front + taken.iter().map(|given| given.fixed()).sum::<usize>();
    let (head, room) = bytes.split_at_mut(before);
    let (head, mut fixed) = head.split_at_mut(front);
    let mut texts = Texts::new(room);
    for given in taken {
        let own;
        (own, fixed) = fixed.split_at_mut(given.fixed());
        given.put(own, &mut texts);
    }
    put_head(head, ticks, site, taken.len(), tags);
    if texts.is_cut() || taken.len() < arguments.len() {
        mark_cut(head);
    }
    before + texts.used()
}

impl Given<'_> {
    fn tag(self) -> u8 {
        let tag = match self {
            Self::U64(_) => Tag::U64,
            Self::I64(_) => Tag::I64,
            Self::U128(_) => Tag::U128,
            Self::I128(_) => Tag::I128,
            Self::F64(_) => Tag::F64,
            Self::Bool(_) => Tag::Bool,
            Self::Str(_) => Tag::Str,
            Self::Text(_) => Tag::Text,
        };
        tag as u8
    }

    /// Bytes of its part of the fixed part.
    fn fixed(self) -> usize {
        if matches!(self, Self::U128(_) | Self::I128(_)) { 16 } else { 8 }
    }

    fn put(self, fixed: &mut [u8], texts: &mut Texts<'_>) {
        match self {
            Self::U64(n) => fixed.copy_from_slice(&n.to_le_bytes()),
            Self::I64(n) => fixed.copy_from_slice(&n.to_le_bytes()),
            Self::U128(n) => fixed.copy_from_slice(&n.to_le_bytes()),
            Self::I128(n) => fixed.copy_from_slice(&n.to_le_bytes()),
            Self::F64(n) => fixed.copy_from_slice(&n.to_bits().to_le_bytes()),
            Self::Bool(yes) => fixed.copy_from_slice(&u64::from(yes).to_le_bytes()),
            Self::Str(text) => Str(text).put(fixed, texts),
            Self::Text(text) => Text(text).put(fixed, texts),
        }
    }
}

/// Where a line comes from that brings its site with it.
pub(crate) struct Origin<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
}

/// Whether a log runs that wants such lines.
pub(crate) fn wants(level: Level, target: &str) -> bool {
    !pen::is_silent()
        && core::current_core().is_some_and(|core| core.filter().passes(target, level))
}

/// Writes a line whose text is formatted here. Whether it is wanted is looked at by the thread that
/// reads.
pub(crate) fn write_foreign(origin: &Origin<'_>, message: fmt::Arguments<'_>) {
    let Some(pass) = core::running() else { return };
    // Short ones of these leave room for the message.
    let short = |text: &'_ str| text.floor_char_boundary(200);
    let (target, file) =
        (&origin.target[..short(origin.target)], &origin.file[..short(origin.file)]);
    let arguments = [
        Given::U64(origin.level as u64),
        Given::U64(origin.line.into()),
        Given::Str(target),
        Given::Str(file),
        Given::Text(message),
    ];
    with_pen(pass, |pen| {
        pen.put(usize::MAX, |record, ticks| fill(record, ticks, FOREIGN, &arguments));
    });
}

const _: () = assert!(record::HEAD + 16 + 16 * MOST <= crate::SHORTEST_LIMIT);

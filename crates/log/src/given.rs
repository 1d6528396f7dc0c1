//! Lines that do not come from the macros of this crate, but through those of others.

use std::fmt;

use crate::Level;
use crate::core;
use crate::encode::{Encode, Number, Str, Text, Texts, Wide};
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

/// Does the same for each form.
macro_rules! each {
    ($given:expr, $form:ident => $do:expr) => {
        match $given {
            Given::U64(n) => each!(Number<{ Tag::U64 as u8 }>, Number::new(n), $form => $do),
            Given::I64(n) => each!(Number<{ Tag::I64 as u8 }>, Number::new(n as u64), $form => $do),
            Given::U128(n) => each!(Wide<{ Tag::U128 as u8 }>, Wide::new(n), $form => $do),
            Given::I128(n) => {
                each!(Wide<{ Tag::I128 as u8 }>, Wide::new(n.cast_unsigned()), $form => $do)
            }
            Given::F64(n) => each!(Number<{ Tag::F64 as u8 }>, Number::new(n.to_bits()), $form => $do),
            Given::Bool(b) => each!(Number<{ Tag::Bool as u8 }>, Number::new(b.into()), $form => $do),
            Given::Str(text) => each!(Str<'_>, Str(text), $form => $do),
            Given::Text(text) => each!(Text<'_>, Text(text), $form => $do),
        }
    };
    ($type:ty, $value:expr, $form:ident => $do:expr) => {{
        let $form: $type = $value;
        $do
    }};
}

fn tag_of<E: Encode>(_: &E) -> u8 {
    E::TAG
}

fn fixed_of<E: Encode>(_: &E) -> usize {
    E::FIXED
}

impl Given<'_> {
    fn tag(self) -> u8 {
        each!(self, form => tag_of(&form))
    }

    fn fixed(self) -> usize {
        each!(self, form => fixed_of(&form))
    }

    fn put(self, fixed: &mut [u8], texts: &mut Texts<'_>) {
        each!(self, form => form.put(fixed, texts));
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

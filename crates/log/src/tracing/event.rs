//! From an event to a record: once over its fields to see what they are, then over them again, to
//! copy them to where they are read.

use std::fmt::{Debug, Write};

use tracing_core::Event;
use tracing_core::field::{Field, Visit};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::site::{self, MOST, Set};
use super::span;
use crate::core::Core;
use crate::encode::Texts;
use crate::pen::with_pen;
use crate::record::{HEAD, Tag, mark_cut, put_head, tag_bytes};

/// Writes an event, with the spans around it.
pub(super) fn write<'a, R: LookupSpan<'a>>(event: &Event<'_>, spans: Option<Scope<'a, R>>) {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let set = Set { fields: fields.present, spans: spans.is_some() };
    let (set, site) = site::of(event.metadata(), set);
    let Some(pass) = site.gate() else { return };
    let wanted = |core: &Core| core.wants(site);
    with_pen(pass, wanted, |pen| {
        pen.line_of(site, |record, ticks, number| {
            let plan = Plan::new(set, &mut fields);
            let (head, room) = record.split_at_mut(plan.head);
            let (fixed, texts) = room.split_at_mut(plan.fixed);
            put_head(head, ticks, number, plan.arguments, plan.tags);
            let texts = Texts::new(texts);
            let mut filler = Filler { plan: &plan, tags: &fields.tags, fixed, texts, next: 0 };
            filler.fill(event, spans);
            if filler.texts.is_cut() || fields.surplus {
                mark_cut(head);
            }
            plan.head + plan.fixed + filler.texts.used()
        });
    });
}

/// What the fields of an event are.
#[derive(Default)]
struct Fields {
    /// Those that it has, by their indices.
    present: u32,
    /// What they are.
    tags: [Option<Tag>; MOST],
    /// Some fields are beyond those that are kept.
    surplus: bool,
}

impl Fields {
    fn see(&mut self, field: &Field, tag: Tag) {
        match self.tags.get_mut(field.index()) {
            Some(place) => {
                *place = Some(tag);
                self.present |= 1 << field.index();
            }
            None => self.surplus = true,
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, _: f64) {
        self.see(field, Tag::F64);
    }

    fn record_i64(&mut self, field: &Field, _: i64) {
        self.see(field, Tag::I64);
    }

    fn record_u64(&mut self, field: &Field, _: u64) {
        self.see(field, Tag::U64);
    }

    fn record_i128(&mut self, field: &Field, _: i128) {
        self.see(field, Tag::I128);
    }

    fn record_u128(&mut self, field: &Field, _: u128) {
        self.see(field, Tag::U128);
    }

    fn record_bool(&mut self, field: &Field, _: bool) {
        self.see(field, Tag::Bool);
    }

    fn record_str(&mut self, field: &Field, _: &str) {
        self.see(field, Tag::Str);
    }

    fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
        self.see(field, Tag::Text);
    }
}

/// Where in a record everything goes.
struct Plan {
    arguments: usize,
    tags: u128,
    /// Bytes before the fixed part.
    head: usize,
    /// Bytes of the fixed part.
    fixed: usize,
    /// Where each field has its part of the fixed part.
    places: [u16; MOST],
}

impl Plan {
    /// Fields that the event lacks, and the set has, become empty texts.
    fn new(set: Set, fields: &mut Fields) -> Self {
        let mut plan = Self { arguments: 0, tags: 0, head: 0, fixed: 0, places: [0; MOST] };
        if set.spans {
            plan.add(Tag::Text);
        }
        for index in set.indices() {
            plan.places[index] = plan.fixed as u16; // 16 bytes for each at most
            plan.add(*fields.tags[index].get_or_insert(Tag::Text));
        }
        plan.head = HEAD + tag_bytes(plan.arguments);
        plan
    }

    fn add(&mut self, tag: Tag) {
        self.tags |= (tag as u128) << (4 * self.arguments);
        self.arguments += 1;
        self.fixed += 8 * tag.words();
    }
}

/// Copies the fields of an event to their places.
struct Filler<'a> {
    plan: &'a Plan,
    tags: &'a [Option<Tag>; MOST],
    fixed: &'a mut [u8],
    texts: Texts<'a>,
    /// Fields come in the order of their indices, and so do their texts: this is the next. One that
    /// comes out of turn, which no macro makes, stays empty.
    next: usize,
}

impl Filler<'_> {
    fn fill<'a, R: LookupSpan<'a>>(&mut self, event: &Event<'_>, spans: Option<Scope<'a, R>>) {
        self.fixed.fill(0);
        if let Some(spans) = spans {
            span::write(spans, &mut self.texts);
            self.fixed[..8].copy_from_slice(&(self.texts.used() as u64).to_le_bytes());
        }
        event.record(self);
    }

    /// Where a field goes, if it has a place and is what it was when it was seen first.
    fn place(&mut self, field: &Field, tag: Tag) -> Option<&mut [u8]> {
        let index = field.index();
        if index < self.next || *self.tags.get(index)? != Some(tag) {
            return None;
        }
        self.next = index + 1;
        let start = usize::from(self.plan.places[index]);
        self.fixed.get_mut(start..start + 8 * tag.words())
    }

    fn put<const N: usize>(&mut self, field: &Field, tag: Tag, bytes: [u8; N]) {
        if let Some(place) = self.place(field, tag) {
            place.copy_from_slice(&bytes);
        }
    }

    fn put_text(&mut self, field: &Field, tag: Tag, write: impl FnOnce(&mut Texts<'_>)) {
        let before = self.texts.used();
        if self.place(field, tag).is_none() {
            return;
        }
        write(&mut self.texts);
        let len = (self.texts.used() - before) as u64;
        let start = usize::from(self.plan.places[field.index()]);
        self.fixed[start..start + 8].copy_from_slice(&len.to_le_bytes());
    }
}

impl Visit for Filler<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Tag::F64, value.to_bits().to_le_bytes());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Tag::I64, value.to_le_bytes());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Tag::U64, value.to_le_bytes());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, Tag::I128, value.to_le_bytes());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, Tag::U128, value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Tag::Bool, u64::from(value).to_le_bytes());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, Tag::Str, |texts| {
            let _ = texts.write_str(value);
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, Tag::Text, |texts| {
            // Of a value that fails there is what it wrote before.
            let _ = write!(texts, "{value:?}");
        });
    }
}

//! Events that are lines of the crate `log`, handed on by a `LogTracer`: all of a level have one call
//! site there, and bring what is known of them in fields.

use std::cell::Cell;
use std::fmt::{self, Debug, Display};

use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Metadata};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::{level, span};
use crate::foreign::{Origin, write_foreign};

/// Writes such an event, of which `metadata` is true, with the spans around it.
pub(super) fn write<'a, R: LookupSpan<'a>>(
    event: &Event<'_>,
    metadata: &Metadata<'_>,
    spans: Option<Scope<'a, R>>,
) {
    let origin = Origin {
        level: level(metadata),
        target: metadata.target(),
        file: metadata.file().unwrap_or_default(),
        line: metadata.line().unwrap_or_default(),
    };
    let message = Message { event, spans: Cell::new(spans) };
    write_foreign(&origin, format_args!("{message}"));
}

/// What the line says. It is formatted once.
struct Message<'e, 'f, 'a, R: LookupSpan<'a>> {
    event: &'e Event<'f>,
    spans: Cell<Option<Scope<'a, R>>>,
}

impl<'a, R: LookupSpan<'a>> Display for Message<'_, '_, 'a, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(spans) = self.spans.take() {
            span::write(spans, f);
            f.write_str(": ")?;
        }
        let mut text = Text(f, Ok(()));
        self.event.record(&mut text);
        text.1
    }
}

/// Formats the message.
struct Text<'a, 'f>(&'a mut fmt::Formatter<'f>, fmt::Result);

impl Visit for Text<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.1 = value.fmt(self.0);
        }
    }
}

//! What is known of a span, as text: `order{id=17}`.

use std::fmt::{self, Debug, Write};

use tracing_core::span::{Attributes, Record};
use tracing_core::{Field, field::Visit};
use tracing_subscriber::registry::{LookupSpan, Scope, SpanRef};

/// Bytes of the fields of a span that are kept.
const LONGEST: usize = 512;

/// The fields of a span: `id=17 side="buy"`.
#[derive(Default)]
struct Fields(String);

/// Formats the fields that a span has from the start.
pub(super) fn begin<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>, attributes: &Attributes<'_>) {
    let mut fields = Fields::default();
    attributes.record(&mut fields);
    span.extensions_mut().replace(fields);
}

/// Formats what a span has learnt since. What was recorded before stays.
pub(super) fn add<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>, values: &Record<'_>) {
    // The span is locked only after that: a value may log while it is formatted, in this very span.
    let mut learnt = Fields::default();
    values.record(&mut learnt);
    if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
        fields.join(&learnt);
    }
}

/// Writes spans, the outermost first: `order{id=17}:fill`.
pub(super) fn write<'a, R: LookupSpan<'a>>(spans: Scope<'a, R>, out: &mut impl Write) {
    for (at, span) in spans.from_root().enumerate() {
        // What is written to is a ring, which takes everything or cuts it, here and below.
        let _ = out.write_str(if at == 0 { "" } else { ":" });
        let _ = out.write_str(span.name());
        if let Some(Fields(text)) = span.extensions().get()
            && !text.is_empty()
        {
            let _ = write!(out, "{{{text}}}");
        }
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.0.len() < LONGEST {
            let space = if self.0.is_empty() { "" } else { " " };
            // A text takes everything, but a value may refuse to be formatted.
            let _ = write!(self.0, "{space}{field}={value}");
            self.cut();
        }
    }

    fn join(&mut self, more: &Self) {
        if self.0.len() < LONGEST && !more.0.is_empty() {
            self.0.push_str(if self.0.is_empty() { "" } else { " " });
            self.0.push_str(&more.0);
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.0.len() > LONGEST {
            self.0.truncate(self.0.floor_char_boundary(LONGEST));
            self.0.push_str("..");
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

//! Lines of code that logs by the crate `tracing`.
//!
//! ```
//! use tautline_log::{Config, Logger};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let guard = Logger::start(Config::default())?;
//! let subscriber = tracing_subscriber::registry().with(tautline_log::tracing::layer());
//! tracing::subscriber::with_default(subscriber, || {
//!     let _span = tracing::info_span!("order", id = 17).entered();
//!     tracing::info!(price = 2.5, "filled"); // order{id=17}: filled price=2.5
//! });
//! # drop(guard);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An event becomes a line. Its fields are copied into the ring of the thread as they are, if they
//! are numbers or texts, or formatted into it; nothing is boxed on the way. They stand behind the
//! message, and are fields of the line. The spans around it stand before the message, the outermost
//! first, and are one more field, `span`. A span is formatted when it is made, and when something is
//! recorded in it, for which memory is allocated; what is entered, left or closed makes no line.
//!
//! Lines of the crate `log` that come by a `LogTracer`, as `init()` of `tracing_subscriber` installs it,
//! have their own target, file and line, and are filtered by them. That one and
//! `facade::install` exclude each other, for `log` has one logger: with `init()`, leave
//! the facade out; with the facade, hand the subscriber to `tracing::subscriber::set_global_default`.
//!
//! [`layer()`] wants what the [`Filter`](crate::Filter) of the log wants that runs, and no other:
//! where nobody else listens, a macro of `tracing` that is not wanted costs a look at a number.

mod event;
mod facade;
mod site;
mod span;

use tracing_core::subscriber::Interest;
use tracing_core::{Event, LevelFilter, Metadata, Subscriber, callsite, span as core_span};
use tracing_log::{AsLog, NormalizeEvent, log};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{self, Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::sync::{AtomicBool, Ordering};
use crate::{Level, core, pen};

/// A layer for a subscriber of `tracing_subscriber`. It writes to whichever
/// [`Logger`](crate::Logger) runs when something happens.
///
/// See [the module](self).
pub fn layer<S>() -> Filtered<Lines, Wanted, S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Relaxed: it stands alone.
    IN_USE.store(true, Ordering::Relaxed);
    Lines(()).with_filter(Wanted(()))
}

/// Makes lines of events. See [`layer()`].
#[derive(Debug)]
pub struct Lines(());

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(
        &self,
        attributes: &core_span::Attributes<'_>,
        id: &core_span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            span::begin(&span, attributes);
        }
    }

    fn on_record(
        &self,
        id: &core_span::Id,
        values: &core_span::Record<'_>,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            span::add(&span, values);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let spans = context.event_scope(event);
        match event.normalized_metadata() {
            Some(metadata) => facade::write(event, &metadata, spans),
            None => event::write(event, spans),
        }
    }
}

/// Lets through what the log wants that runs. See [`layer()`].
#[derive(Debug)]
pub struct Wanted(());

impl<S> layer::Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let lowest = core::current_core().and_then(|core| core.lowest());
        Some(lowest.map_or(LevelFilter::OFF, level_filter))
    }
}

/// Whether there is a layer.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Has `tracing` ask again what is wanted: a log has started, or has ended.
pub(crate) fn follow(lowest: Option<Level>) {
    callsite::rebuild_interest_cache();
    let level = lowest.map_or(LevelFilter::OFF, level_filter).as_log();
    // A `LogTracer` has told `log` what was wanted when it was installed, and tells it no more. Never
    // less than before: others may listen to it too.
    if IN_USE.load(Ordering::Relaxed) && log::max_level() < level {
        log::set_max_level(level);
    }
}

fn wants(metadata: &Metadata<'_>) -> bool {
    pen::wants(level(metadata), metadata.target())
}

fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing_core::Level::TRACE => Level::Trace,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::ERROR => Level::Error,
    }
}

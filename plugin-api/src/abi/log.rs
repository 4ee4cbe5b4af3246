//! Carries the plug-in's `tracing` to the host: each library has its own copy of tracing's statics, so without
//! this every record a plug-in makes would vanish.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::module::HostTableRef;
use super::size;
use crate::{LogLevel, LogRecord};

/// The host's sides of the backends that are open in this library, the newest last: it gets the records.
static OPEN: Mutex<Vec<Host>> = Mutex::new(Vec::new());

/// The level up to which records are wanted, from 0 for none to 5 for all.
static WANTED: AtomicU8 = AtomicU8::new(0);

#[derive(Clone, Copy)]
struct Host {
    table: HostTableRef,
    context: u64,
}

/// Records go to the host as long as this value lives.
pub(super) struct Forwarding {
    context: u64,
}

/// Sends this library's records to the host.
pub(super) fn forward_to(table: HostTableRef, context: u64) -> Forwarding {
    // A subscriber is for good: the first one serves every instance of the backend in this process.
    drop(tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Forward)));
    change(|open| open.push(Host { table, context }));
    Forwarding { context }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        change(|open| open.retain(|host| host.context != self.context));
    }
}

/// Changes who is open, and tells `tracing` which records are wanted now.
fn change(change: impl FnOnce(&mut Vec<Host>)) {
    change(&mut open());
    // Asked without the lock: the host's answer may not wait for a record.
    let wanted =
        newest().and_then(|host| (1..=5).rev().find(|level| host.table.enabled()(host.context, *level)));
    WANTED.store(wanted.unwrap_or(0), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

fn open() -> MutexGuard<'static, Vec<Host>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn newest() -> Option<Host> {
    open().last().copied()
}

/// Returns the records that are wanted now.
fn wanted() -> LevelFilter {
    match WANTED.load(Ordering::Relaxed) {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

fn send(record: &LogRecord) {
    if let (Some(host), Some(text)) = (newest(), size::record_text(record)) {
        host.table.log()(host.context, text.as_str().into());
    }
}

struct Forward;

/// What is kept with a span.
struct SpanText {
    text: String,
    began: Instant,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    /// Is asked again whenever a backend is opened or closed.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if wanted() >= *metadata.level() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _ctx: Context<'_, S>) -> bool {
        wanted() >= *metadata.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(wanted())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            let text = fields.describe(attributes.metadata().name());
            span.extensions_mut().insert(SpanText { text, began: Instant::now() });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = ctx.span(id)
            && let Some(kept) = span.extensions_mut().get_mut::<SpanText>()
        {
            kept.text = format!("{} {}", kept.text, fields.describe(""));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut record = LogRecord::new(level(*metadata.level()), metadata.target(), fields.message);
        record.fields = fields.others;
        record.spans = ctx.event_scope(event).map(describe_scope).unwrap_or_default();
        send(&record);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let metadata = span.metadata();
        let mut record = LogRecord::new(level(*metadata.level()), metadata.target(), "close");
        record.span_micros = span
            .extensions()
            .get::<SpanText>()
            .map(|kept| u64::try_from(kept.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        record.spans = describe_scope(span.scope());
        send(&record);
    }
}

/// Lists the spans of a scope, outermost first.
fn describe_scope<'a, R: LookupSpan<'a>>(scope: Scope<'a, R>) -> Vec<String> {
    let texts =
        scope.from_root().map(|span| span.extensions().get::<SpanText>().map(|kept| kept.text.clone()));
    texts.flatten().collect()
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// The fields of a record or span, its message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    /// Writes `name{a=1 b="x"}`.
    fn describe(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if !self.others.is_empty() {
            let fields: Vec<_> = self.others.iter().map(|(name, value)| format!("{name}={value}")).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "{{{}}}", fields.join(" "));
        }
        text
    }

    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.others.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

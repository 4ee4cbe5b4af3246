//! Carries the plug-in's `tracing` to the host: each library has its own copy of tracing's statics, so without
//! this every record a plug-in makes would vanish.

use std::fmt::{self, Write};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::module::HostTableRef;
use crate::{LogLevel, LogRecord};

/// Sends this library's records to the host, from now on and for good; the first host wins.
pub(super) fn forward_to(host: HostTableRef, context: u64) {
    let wanted =
        [LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR];
    let filter = (1..=5u8)
        .rev()
        .zip(wanted)
        .find(|(level, _)| host.enabled()(context, *level))
        .map_or(LevelFilter::OFF, |(_, filter)| filter);
    let subscriber = tracing_subscriber::registry().with(Forward { host, context }.with_filter(filter));
    // Invariant: a second instance of the backend in one process shares the first one's log.
    drop(tracing::subscriber::set_global_default(subscriber));
}

struct Forward {
    host: HostTableRef,
    context: u64,
}

/// What is kept with a span.
struct SpanText {
    text: String,
    began: Instant,
}

impl Forward {
    fn send(&self, record: &LogRecord) {
        if let Ok(text) = serde_json::to_string(record) {
            self.host.log()(self.context, text.as_str().into());
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
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
        self.send(&record);
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
        self.send(&record);
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

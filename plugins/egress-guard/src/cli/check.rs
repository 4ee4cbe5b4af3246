//! `check`: reads a configuration, and answers what it would say to a URL. Looks nothing up.

use std::path::PathBuf;
use std::process::ExitCode;

use claude_bottle_egress_policy::{Asked, Decision, GuardConfig, Scheme, Url, parse_authority};

use super::say;
use super::source::read_config;
use crate::error::GuardError;

/// Check a configuration, or ask it about a URL
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// URL, or `host:port` for a tunnel; exit code 0 when it is allowed, 1 when it is refused
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET", requires = "url")]
    method: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let config = read_config(&args.file)?;
    let Some(url) = &args.url else {
        say(&summary(&config));
        return Ok(ExitCode::SUCCESS);
    };
    let decision = answer(&config, url, &args.method)
        .ok_or_else(|| GuardError::Url { url: url.escape_default().to_string() })?;
    say(&explain(&decision));
    Ok(if decision.is_allowed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(config: &GuardConfig) -> String {
    let policy = &config.policy;
    format!(
        "ok: bottle `{}`, listens on {}, {} rules, {} static hosts, {} private grants",
        config.bottle,
        config.listen,
        policy.rules.len(),
        policy.hosts.len(),
        policy.private.len()
    )
}

fn explain(decision: &Decision) -> String {
    let word = if decision.is_allowed() { "allowed" } else { "refused" };
    let rule = decision.rule.as_deref().unwrap_or("no rule");
    let origin = decision.origin.as_deref().filter(|origin| !origin.is_empty()).unwrap_or("-");
    format!("{word}: {} ({}; rule: {rule}; from: {origin})", decision.reason, decision.code.as_str())
}

/// Answers what would be said to a URL, or to a tunnel when it is `host:port` alone.
fn answer(config: &GuardConfig, url: &str, method: &str) -> Option<Decision> {
    if !url.contains("://") {
        let (host, port) = parse_authority(url, Some(443)).ok()?;
        return Some(config.policy.decide(&host, port, config.tunnel(&host, port)));
    }
    let Url { is_https, host, port, target } = Url::parse(url).ok()?;
    let scheme = if is_https { config.tunnel(&host, port) } else { Scheme::Http };
    Some(config.policy.decide_request(&host, port, scheme, Asked { method, target: &target }))
}

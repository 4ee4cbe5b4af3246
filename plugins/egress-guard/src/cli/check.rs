//! `check`: reads a configuration, and answers what it would say to a URL. Looks nothing up.

use std::path::PathBuf;
use std::process::ExitCode;

use claude_bottle_egress_policy::{Decision, GuardConfig, HostOrIp, Scheme, parse_authority};

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
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let config = read_config(&args.file)?;
    let Some(url) = &args.url else {
        say(&summary(&config));
        return Ok(ExitCode::SUCCESS);
    };
    let (scheme, host, port) =
        destination(url).ok_or_else(|| GuardError::Url { url: url.escape_default().to_string() })?;
    let decision = config.policy.decide(&host, port, scheme);
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

fn destination(url: &str) -> Option<(Scheme, HostOrIp, u16)> {
    let (scheme, rest, port) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest, 80),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Connect, rest, 443),
        Some(_) => return None,
        None => (Scheme::Connect, url, 443),
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = parse_authority(authority, Some(port)).ok()?;
    Some((scheme, host, port))
}

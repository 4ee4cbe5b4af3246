//! Whose a credential is: the hosts of the vendor that gives credentials of a form. In a header that is made for credentials
//! one may go to its vendor, and to no other host.

use claude_bottle_egress_policy::HostOrIp;

/// Beginnings of rule names, and the domains of the vendor: each itself and every name below it. What has no vendor, or
/// runs on its users' own hosts, has no line; a host is named for such a secret in the manifest.
const VENDORS: &[(&str, &[&str])] = &[
    ("1password-", &["1password.com", "1password.ca", "1password.eu"]),
    ("adobe-", &["adobe.io", "adobe.com"]),
    ("airtable-", &["airtable.com"]),
    ("alibaba-", &["aliyun.com", "aliyuncs.com"]),
    ("anthropic-", &["anthropic.com", "claude.ai", "claude.com"]),
    ("artifactory-", &["jfrog.io"]),
    ("authress-", &["authress.io"]),
    ("aws-", &["amazonaws.com", "amazonaws.com.cn", "aws.amazon.com"]),
    ("azure-ad-", &["microsoftonline.com", "microsoft.com", "azure.com"]),
    ("azure-storage-", &["core.windows.net"]),
    ("clickhouse-", &["clickhouse.cloud"]),
    ("clojars-", &["clojars.org"]),
    ("cloudflare-", &["cloudflare.com"]),
    ("databricks-", &["databricks.com", "azuredatabricks.net"]),
    ("digitalocean-", &["digitalocean.com"]),
    ("doppler-", &["doppler.com"]),
    ("duffel-", &["duffel.com"]),
    ("dynatrace-", &["dynatrace.com"]),
    ("easypost-", &["easypost.com"]),
    ("facebook-", &["facebook.com"]),
    ("flutterwave-", &["flutterwave.com"]),
    ("flyio-", &["fly.io", "machines.dev"]),
    ("frameio-", &["frame.io"]),
    ("gcp-", &["googleapis.com", "google.com"]),
    ("github-", &["github.com", "githubusercontent.com", "ghcr.io", "ghe.com", "githubcopilot.com"]),
    ("gitlab-", &["gitlab.com"]),
    ("google-", &["googleapis.com", "google.com"]),
    ("grafana-", &["grafana.com", "grafana.net"]),
    ("groq-", &["groq.com"]),
    ("harness-", &["harness.io"]),
    ("hashicorp-tf-", &["terraform.io"]),
    ("heroku-", &["heroku.com"]),
    ("huggingface-", &["huggingface.co", "hf.co"]),
    ("infracost-", &["infracost.io"]),
    ("intra42-", &["42.fr"]),
    ("linear-", &["linear.app"]),
    ("maxmind-", &["maxmind.com"]),
    ("notion-", &["notion.com", "notion.so"]),
    ("npm-", &["npmjs.org", "npmjs.com"]),
    ("octopus-", &["octopus.app"]),
    ("openai-", &["openai.com"]),
    ("openshift-", &["openshift.com", "openshiftapps.com"]),
    ("perplexity-", &["perplexity.ai"]),
    ("pinecone-", &["pinecone.io"]),
    ("planetscale-", &["planetscale.com"]),
    ("postman-", &["getpostman.com", "postman.com"]),
    ("prefect-", &["prefect.cloud"]),
    ("pulumi-", &["pulumi.com"]),
    ("pypi-", &["pypi.org"]),
    ("readme-", &["readme.com", "readme.io"]),
    ("replicate-", &["replicate.com"]),
    ("rubygems-", &["rubygems.org"]),
    ("scalingo-", &["scalingo.com"]),
    ("sendgrid-", &["sendgrid.com"]),
    ("sendinblue-", &["brevo.com", "sendinblue.com"]),
    ("sentry-", &["sentry.io"]),
    ("settlemint-", &["settlemint.com"]),
    ("shippo-", &["goshippo.com"]),
    ("shopify-", &["shopify.com", "myshopify.com"]),
    ("sidekiq-", &["contribsys.com"]),
    ("slack-", &["slack.com"]),
    ("sourcegraph-", &["sourcegraph.com", "sourcegraphcloud.com"]),
    ("square-", &["squareup.com", "squareupsandbox.com"]),
    ("stripe-", &["stripe.com"]),
    ("supabase-", &["supabase.com"]),
    ("twilio-", &["twilio.com"]),
    ("vault-", &["hashicorp.cloud"]),
    ("xai-", &["x.ai"]),
];

/// A cookie belongs to the host that set it, on any domain.
const COOKIES: &[&str] = &["gitlab-session-cookie"];

/// Returns `true` if a credential that fits the rule may be shown to this host.
pub fn may_be_shown(rule: &str, host: &HostOrIp) -> bool {
    let HostOrIp::Name(name) = host else { return COOKIES.contains(&rule) };
    let name = name.to_string();
    let is_within =
        |domain: &&str| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let of_vendor = VENDORS.iter().filter(|(beginning, _)| rule.starts_with(beginning));
    COOKIES.contains(&rule) || of_vendor.flat_map(|(_, domains)| *domains).any(is_within)
}

#[cfg(test)]
mod tests {
    use super::super::rules::builtin;
    use super::*;

    #[test]
    fn a_credential_may_be_shown_to_its_vendor_alone() {
        let may = |rule: &str, host: &str| may_be_shown(rule, &HostOrIp::parse(host).unwrap());
        for (rule, host) in [
            ("github-pat", "github.com"),
            ("github-pat", "api.github.com"),
            ("npm-access-token", "registry.npmjs.org"),
            ("anthropic-token", "api.anthropic.com"),
            ("aws-access-token", "s3.eu-central-1.amazonaws.com"),
            ("gitlab-session-cookie", "git.corp.example"),
        ] {
            assert!(may(rule, host), "{rule} {host}");
        }
        for (rule, host) in [
            ("github-pat", "evilgithub.com"),
            ("github-pat", "github.com.evil.example"),
            ("github-pat", "gitlab.com"),
            ("github-pat", "192.0.2.1"),
            ("private-key", "github.com"),
            ("gitlab-pat", "git.corp.example"),
        ] {
            assert!(!may(rule, host), "{rule} {host}");
        }
    }

    #[test]
    fn every_line_is_of_a_rule() {
        let rules = builtin().unwrap();
        for (beginning, domains) in VENDORS {
            assert!(rules.patterns().any(|(id, ..)| id.starts_with(beginning)), "{beginning}");
            assert!(domains.iter().all(|domain| HostOrIp::parse(domain).is_ok()), "{beginning}");
        }
        assert!(COOKIES.iter().all(|rule| rules.find(rule).is_some()));
    }
}

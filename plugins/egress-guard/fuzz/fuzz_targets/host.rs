//! Hosts, authorities and rules: what is accepted is canonical, and canonical once more changes nothing.

#![no_main]

use claude_bottle_egress_policy::{GuardConfig, HostOrIp, Rule, parse_authority};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(host) = HostOrIp::parse(text) {
        let canonical = host.to_string();
        assert_eq!(HostOrIp::parse(&canonical).as_ref(), Ok(&host));
        assert!(canonical.is_ascii() && canonical.eq_ignore_ascii_case(text) || host.name().is_none());
        if let Some(name) = host.name() {
            assert!(name.as_str().len() <= 253 && !name.as_str().ends_with('.'));
            // Nothing the system's own parsers take for an address may pass as a name.
            assert!(name.as_str().parse::<std::net::IpAddr>().is_err());
        }
    }
    if let Ok((host, port)) = parse_authority(text, Some(443)) {
        assert_eq!(parse_authority(&format!("{host}:{port}"), None), Ok((host, port)));
    }
    if let Ok(rule) = Rule::parse(text, "fuzz") {
        assert_eq!(Rule::parse(&rule.to_string(), "fuzz"), Ok(rule));
    }
    if let Ok(config) = GuardConfig::from_yaml(text) {
        let written = config.to_yaml().expect("what was read can be written");
        assert_eq!(GuardConfig::from_yaml(&written).expect("what was written can be read"), config);
    }
});

//! Variables that every program in a bottle has, on every backend, and the bottle's name as a host. A manifest's own variables of the same
//! name win.

use claude_bottle_plugin_api::Spec;

/// The locale of an image or a machine that says none: UTF-8, and otherwise plain.
pub const LOCALE: (&str, &str) = ("LANG", "C.UTF-8");

/// Connections to these are not for the proxy.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// Returns the variables that lead programs to the proxy, which has a URL, and keep them from what it would refuse.
pub fn proxy_variables(proxy: &str) -> Vec<(&'static str, String)> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
    let mut variables: Vec<_> = names.map(|name| (name, proxy.to_owned())).into();
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, LOOPBACK.to_owned())));
    // Node's own fetch looks at the variables above only with this: https://nodejs.org/api/cli.html#node_use_env_proxy1
    variables.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
    variables
}

/// Returns a bottle's name as the kernel takes it for a host's: 63 bytes of it.
pub fn hostname(name: &str) -> String {
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.', '_']).to_owned()
}

/// Returns the variables that the agent's profile has.
pub fn profile_variables(spec: &Spec) -> impl Iterator<Item = (&str, &str)> {
    let all = spec.agent.profile.iter().flat_map(|profile| &profile.env);
    all.map(|(name, value)| (name.as_str(), value.as_str()))
}

//! Variables that every program in a bottle has, on every backend. A manifest's own of the same name win.

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
    // An update of the agent would end with its bottle, and comes from hosts that are rarely allowed.
    variables.push(("DISABLE_AUTOUPDATER", "1".to_owned()));
    // Unasked, the agent looks for a list of plug-ins at each start.
    variables.push(("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1".to_owned()));
    variables
}

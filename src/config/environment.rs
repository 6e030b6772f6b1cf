//! The environment variables of smscope's own.

use super::likely::likely;
use crate::environment::Environment;

/// The variables of our own that are read.
pub const VARIABLES: [&str; 12] = [
    "SMSCOPE_ADMIN_LISTEN",
    "SMSCOPE_API_KEY",
    "SMSCOPE_API_KEY_FILE",
    "SMSCOPE_CONFIG",
    "SMSCOPE_DATA_DIR",
    "SMSCOPE_LISTEN",
    "SMSCOPE_PUBLIC_URL",
    "SMSCOPE_STORE_HORIZON",
    "SMSCOPE_STORE_RETENTION",
    "SMSCOPE_STORE_SIZE_LIMIT",
    "SMSCOPE_TOKEN",
    "SMSCOPE_TOKEN_FILE",
];

/// One warning for each variable that looks like ours and is not.
///
/// Kubernetes sets `SMSCOPE_SERVICE_HOST`, `SMSCOPE_PORT_7672_TCP` and the like for a service named smscope: not a word
/// about those.
pub(super) fn unknown_variables(env: &dyn Environment) -> Vec<String> {
    let injected = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    let mut names = env.names();
    names.retain(|name| name.starts_with("SMSCOPE_") && !injected(name) && !VARIABLES.contains(&name.as_str()));
    names.sort();
    let known = VARIABLES.join(", ");
    let line = |name: String| {
        let question = likely(&name, VARIABLES).map_or(String::new(), |likely| format!(" (did you mean {likely}?)"));
        format!("{name}: unknown variable, not used{question}; expected one of {known}")
    };
    names.into_iter().map(line).collect()
}

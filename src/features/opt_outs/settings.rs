//! `[opt_outs]`: the list of numbers that opted out. Off by default.

use crate::route::OptOutScope;
use crate::settings::credentials;
use crate::settings::prelude::*;

#[derive(Clone, Debug)]
pub struct OptOuts {
    pub scope: OptOutScope,
    /// Opens the list on the admin listener; `None`: made once and stored.
    pub api_token: Option<Secret>,
}

settings! {
    ENABLED: bool = switch("opt_outs.enabled",
        "stores a list of the numbers that opted out, by STOP and START, and shows it on the admin listener")
        .example("true").wrong(r#""yes""#);
    SCOPE: OptOutScope = word("opt_outs.scope",
        "which messages to an opted-out number are counted: `source`, all of the source; `sender`, those whose sender \
         is what the STOP was written to").default("source").example(r#""sender""#).wrong(r#""number""#);
    API_TOKEN: Secret = secret("opt_outs.api_token", "token", credentials::token,
        "the token that `/v1/opt-outs` requires").absent("made once and stored")
        .example(r#""0123456789abcdef0123456789abcdef""#).wrong(r#""s3cret""#).beside("enabled = true");
    API_TOKEN_FILE: Secret = secret_file("opt_outs.api_token_file", credentials::token_file, "the same from a file")
        .absent("made once and stored").example(r#""/etc/smscope/token""#).wrong(r#""/nonexistent/token""#)
        .beside("enabled = true");
}

pub(crate) fn read(mut table: Table) -> Result<Option<OptOuts>, ConfigError> {
    let enabled = table.get(&ENABLED)?;
    let opt_outs = OptOuts { scope: table.get(&SCOPE)?, api_token: table.find_either(&API_TOKEN, &API_TOKEN_FILE)? };
    table.finish()?;
    Ok(enabled.then_some(opt_outs))
}

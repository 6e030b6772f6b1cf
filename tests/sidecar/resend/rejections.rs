//! Settings with which sending again would not be what is promised.

use super::SOON;
use crate::support::Launch;

#[test]
fn a_rule_that_cannot_work_is_rejected_before_anything_is_sent() {
    const API: &str = "[[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"k\"\n";
    const OPT_OUTS: &str = "[opt_outs]\nenabled = true\n";
    for (file, line) in [
        (
            format!("{SOON}{API}"),
            "resend[0].name = \"absent\": there is no list of opt-outs; expected opt_outs.enabled = true: opted-out numbers get \
             no messages",
        ),
        (
            format!("{SOON}{OPT_OUTS}"),
            "resend[0].name = \"absent\": source \"smsmode\" has no API to send by; expected sources with a key of the REST API \
             ([source.api]), or through = \"relay\"",
        ),
        (
            format!("{SOON}{OPT_OUTS}{API}mode = \"legacy\"\n"),
            "resend[0].name = \"absent\": source \"smsmode\" has no API to send by; expected sources with a key of the REST API \
             ([source.api]), or through = \"relay\"",
        ),
        (
            format!("[privacy]\ntext = \"dropped\"\n{SOON}{OPT_OUTS}{API}"),
            "resend[0].name = \"absent\": source \"smsmode\" has text = \"dropped\"; expected sources whose texts are stored",
        ),
        (
            format!("{SOON}through = \"relay\"\n{OPT_OUTS}{API}"),
            "resend[0].through = \"relay\": no relay accepts those of source \"smsmode\"; expected a relay of cloudevents with \"resend.requested\" among \
             its events",
        ),
        (
            format!("{SOON}ttl = \"1s\"\n{OPT_OUTS}{API}"),
            "resend[0].delay = \"1s\": nothing would be sent: delay is not shorter than ttl; expected a shorter delay",
        ),
        (
            format!("[[resend]]\nname = \"absent\"\nreasons = []\n{OPT_OUTS}{API}"),
            "resend[0].reasons = […]: empty; expected at least one reason",
        ),
        (
            format!("{SOON}{SOON}{OPT_OUTS}{API}"),
            "resend[1].name = \"absent\": already the name of resend[0]; expected a name of its own",
        ),
    ] {
        let ended = Launch::new().file(&file).args(&["check"]).run();
        assert_eq!((ended.code, ended.stderr.trim_end()), (Some(78), &*format!("smscope: {line}")), "{file}");
    }
}

#[test]
fn a_rule_that_works_but_not_as_intended_is_warned_about() {
    let file = "[[resend]]\nname = \"absent\"\n[opt_outs]\nenabled = true\n\
                [[source]]\nname = \"smsmode\"\n[source.api]\nkey = \"k\"\n";
    let shown = |file: &str| {
        let ended = Launch::new().file(file).args(&["check"]).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let warnings = [
        "resend[0].reasons: receipts of the REST API say none of these",
        "resend[0]: a client that knows the callback URL of source \"smsmode\" can trigger resends by false failures",
    ];
    for warning in warnings {
        assert!(shown(file).contains(warning), "{}", shown(file));
    }
    let closed = file
        .replace("name = \"absent\"", "name = \"absent\"\nreasons = [\"network\", \"unknown\"]")
        .replace("name = \"smsmode\"", "name = \"smsmode\"\nallow = [\"192.0.2.0/24\"]");
    for warning in warnings {
        assert!(!shown(&closed).contains(warning), "{}", shown(&closed));
    }
}

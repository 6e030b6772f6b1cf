//! Killed at any moment: never twice for one failure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{SOON, absent, asked, results, rules, tell};
use crate::support::smsmode::{Fault, SmsmodeApi};
use crate::support::{Launch, eventually};

#[test]
fn however_often_it_is_killed_no_failure_is_answered_twice() {
    const MESSAGES: usize = 40;
    const KILLS: usize = 12;
    let stand_in = SmsmodeApi::start();
    // Long enough for a kill between the request and its answer.
    stand_in.always_fail(Fault::Slow(Duration::from_millis(40)));
    let launch = Launch::new().file(&rules(&stand_in, SOON));
    let mut smscope = launch.start();
    for message in 0..MESSAGES {
        tell(&smscope, &absent(&format!("m-{message}")));
    }
    std::thread::sleep(Duration::from_millis(900));
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(60 + 17 * kill as u64));
        smscope.signal("KILL");
        drop(smscope);
        smscope = launch.start();
        // The provider reports the failures again, as it does after a restart.
        for message in 0..MESSAGES {
            tell(&smscope, &absent(&format!("m-{message}")));
        }
    }
    let ended = || [results(&smscope, "sent"), results(&smscope, "uncertain")];
    eventually("each is answered", || ended().iter().sum::<f64>() == MESSAGES as f64);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for sent in asked(&stand_in) {
        *times.entry(sent["refClient"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(times.values().all(|&times| times == 1), "{times:?}");
    let [sent, uncertain] = ended();
    assert!(times.len() as f64 >= sent, "{sent} are said to be sent, {} were", times.len());
    assert!(uncertain <= KILLS as f64, "{uncertain}");
}

//! The order of system calls, as strace saw them: no answer leaves before the sync that covers it has returned.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{HOOK, Launch, post, program, receipt};

const CLIENTS: usize = 8;
const EACH: usize = 25;

/// One thing that happened, in the order of the trace.
#[derive(Debug)]
enum Step {
    /// A request with these messages was read from a socket.
    Asked(String, BTreeSet<String>),
    /// These messages were written to the write-ahead log.
    Logged(BTreeSet<String>),
    /// By this thread: the writer's and the checkpointer's may overlap.
    SyncBegins(String),
    SyncEnds(String),
    /// An acknowledgement begins to leave by a socket.
    Answered(String),
}

#[test]
fn no_answer_leaves_before_the_sync_that_covers_it() {
    let Some(strace) = program("strace", "strace") else { return };
    let launch = Launch::new();
    let trace = launch.home.path().join("trace");
    // Detached, so that the process that was started is smscope itself.
    let calls = "trace=read,recvfrom,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";
    let trace_to = trace.to_str().unwrap();
    let smscope = launch
        .clone()
        .program(strace)
        .args(&["-D", "-f", "-y", "-s", "20000", "-e", calls, "-o", trace_to, env!("CARGO_BIN_EXE_smscope")])
        .start();
    std::thread::scope(|scope| {
        for name in 0..CLIENTS {
            let mut client = smscope.client();
            scope.spawn(move || {
                for number in 0..EACH {
                    let id = format!("<{name}-{number}>");
                    assert_eq!(client.ask(post(HOOK, receipt(&id, "DELIVERED"))).result(), "accepted");
                }
            });
        }
    });
    smscope.stop();
    let (answers, syncs) = check(&steps(&std::fs::read_to_string(&trace).unwrap()));
    println!("{answers} answers after {syncs} syncs of the write-ahead log");
    assert_eq!(answers, CLIENTS * EACH);
    assert!(syncs > 0 && syncs < answers * 2, "{syncs} syncs");
}

/// Gives how many answers there were, each after its sync, and how many syncs.
fn check(steps: &[Step]) -> (usize, usize) {
    let (mut asked, mut syncing) = (BTreeMap::new(), BTreeMap::new());
    let (mut logged, mut synced) = (BTreeSet::new(), BTreeSet::new());
    let (mut answers, mut syncs) = (0, 0);
    for step in steps {
        match step {
            Step::Asked(socket, ids) => drop(asked.insert(socket.clone(), ids.clone())),
            Step::Logged(ids) => logged.extend(ids.iter().cloned()),
            // What is written while a sync runs is for the next one.
            Step::SyncBegins(thread) => drop(syncing.insert(thread, logged.clone())),
            Step::SyncEnds(thread) => {
                synced.append(&mut syncing.remove(thread).unwrap());
                syncs += 1;
            }
            Step::Answered(socket) => {
                let ids = asked.remove(socket).unwrap_or_else(|| panic!("an answer that nobody asked for on {socket}"));
                assert!(!ids.is_empty());
                let early: Vec<_> = ids.iter().filter(|id| !synced.contains(*id)).collect();
                assert!(early.is_empty(), "acknowledged before they were on disk: {early:?}");
                answers += 1;
            }
        }
    }
    (answers, syncs)
}

fn steps(trace: &str) -> Vec<Step> {
    // What a call that was begun is about, until it is resumed.
    let mut begun: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut steps = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(resumed) = call.strip_prefix("<... ") {
            let name = resumed.split(' ').next().unwrap();
            let file = begun.remove(&(thread, name)).unwrap_or_default();
            match name {
                "fsync" | "fdatasync" if is_log(&file) => steps.push(synced(thread, resumed)),
                "read" | "recvfrom" => steps.extend(asked(&file, resumed)),
                _ => {}
            }
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else { continue };
        let file = arguments.split([',', ')', ' ']).next().unwrap_or_default().to_owned();
        let unfinished = call.ends_with("<unfinished ...>");
        match name {
            "write" | "pwrite64" if is_log(&file) => steps.push(Step::Logged(ids(arguments))),
            "write" | "writev" | "sendto" | "sendmsg" if arguments.contains("HTTP/1.1 200") => {
                steps.push(Step::Answered(file.clone()));
            }
            "fsync" | "fdatasync" if is_log(&file) => {
                steps.push(Step::SyncBegins(thread.to_owned()));
                if !unfinished {
                    steps.push(synced(thread, call));
                }
            }
            "read" | "recvfrom" if !unfinished => steps.extend(asked(&file, arguments)),
            _ => {}
        }
        if unfinished {
            begun.insert((thread, name), file);
        }
    }
    steps
}

fn is_log(file: &str) -> bool {
    file.ends_with("smscope.db-wal>")
}

fn synced(thread: &str, call: &str) -> Step {
    assert!(call.trim_end().ends_with("= 0"), "a sync failed: {call}");
    Step::SyncEnds(thread.to_owned())
}

fn asked(file: &str, text: &str) -> Option<Step> {
    let ids = ids(text);
    (file.contains("socket:") && !ids.is_empty()).then(|| Step::Asked(file.to_owned(), ids))
}

/// The messages that are spoken of: `<3-17>`.
fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(word, _)| word);
    let is_id =
        |word: &&str| word.split_once('-').is_some_and(|(a, b)| a.parse::<u8>().is_ok() && b.parse::<u8>().is_ok());
    words.filter(is_id).map(str::to_owned).collect()
}

#[test]
fn an_answer_that_came_too_early_would_be_seen() {
    let request = r#"10 recvfrom(9<socket:[1]>, "{\"messageId\":\"<1-1>\"}", 100, 0, NULL, NULL) = 30"#;
    let logged = r#"11 pwrite64(7</d/smscope.db-wal>, "..<1-1>..", 4096, 0) = 4096"#;
    let begins = "11 fdatasync(7</d/smscope.db-wal> <unfinished ...>";
    let ends = "11 <... fdatasync resumed>) = 0";
    let answer = r#"10 sendto(9<socket:[1]>, "HTTP/1.1 200 OK", 15, 0, NULL, 0) = 15"#;
    let checked = |lines: &[&str]| std::panic::catch_unwind(|| check(&steps(&lines.join("\n"))));
    assert_eq!(checked(&[request, logged, begins, ends, answer]).unwrap(), (1, 1));
    for early in [
        [request, logged, begins, answer, ends],
        [request, begins, logged, ends, answer],
        [request, answer, logged, begins, ends],
    ] {
        assert!(checked(&early).is_err(), "{early:?}");
    }
}

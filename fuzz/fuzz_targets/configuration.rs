//! A configuration file: it is understood, or refused in one line for each setting that cannot be used.
#![no_main]

use std::collections::HashMap;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use smscope::config::{Config, Flags};

fuzz_target!(|text: &[u8]| {
    let path = PathBuf::from(format!("/dev/shm/smscope-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, text).expect("memory to write to");
    let flags = Flags { config: Some(path), ..Flags::default() };
    if let Err(error) = Config::load(&flags, &HashMap::<String, String>::new()) {
        let lines = error.to_string();
        assert!(lines.split('\n').all(|line| !line.is_empty() && !line.contains(char::is_control)), "{lines:?}");
    }
});

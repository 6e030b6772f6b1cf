//! What a collector, or whoever stands in its place, answers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| smscope::telemetry::answer::classify_anything(answer));

//! A small file system of its own.

use std::path::Path;
use std::process::Command;

use super::require_tool;

/// In memory, and unmounted with the test.
pub struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// With options such as `size=2m`; `None` if the right to mount is missing and the test is skipped.
    pub fn new(at: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", options, "smscope-test", at.to_str().unwrap()]);
        require_tool("the right to mount", mounted.then(|| at.to_owned()), "run the tests as root")?;
        Some(Self(at))
    }

    pub fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]));
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
}

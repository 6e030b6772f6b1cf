//! The dashboards are what the code in grafana/ generates.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::grafana::script;
use crate::support::{package, root, succeeded};

#[test]
fn the_dashboards_are_what_the_generator_writes() {
    let folder = TempDir::new().unwrap();
    if script(&["src/generate.ts", folder.path().to_str().unwrap()], "").is_none() {
        return;
    }
    let files = |root: &Path| {
        let names = fs::read_dir(root.join("dashboards")).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name.to_str().unwrap().ends_with(".json")).collect();
        names.sort();
        names
    };
    let root = root();
    assert_eq!(files(folder.path()), files(root));
    for name in files(root) {
        let file = Path::new("dashboards").join(name);
        let [written, committed] = [folder.path(), root].map(|root| fs::read_to_string(root.join(&file)).unwrap());
        assert!(written == committed, "{} is not what `npm run generate` in grafana/ writes", file.display());
    }
}

#[test]
fn the_generator_is_correct_by_its_types() {
    let Some(compiler) = package("tsc") else { return };
    succeeded(&Command::new(compiler).current_dir(root().join("grafana")).output().unwrap());
}

//! A disk that keeps only what was synced, and of the rest whatever chance leaves: rebuilt from the log that shim.c writes.
//!
//! It is harsher than most real ones. Of what was not synced any sector may have been written and any may not, in whatever order
//! it was written; a file whose folder was not synced may have no name. What it does not do is forget what was synced.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::load::Dice;

const SECTOR: usize = 512;

/// A change that was not synced, with the moment at which it was made.
type Pending<T> = Vec<(u64, T)>;

enum Change {
    Write { at: usize, data: Vec<u8> },
    Truncate(usize),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Pending<Change>,
}

#[derive(Clone)]
enum Naming {
    File(PathBuf, usize),
    Folder(PathBuf),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf),
}

#[derive(Clone, Copy)]
enum Named {
    File(usize),
    Folder,
}

/// What has become of a folder.
pub struct LossyDisk {
    root: PathBuf,
    contents: Vec<Content>,
    /// Which content an inode holds now: inodes are used again.
    content_of: HashMap<u64, usize>,
    folders: HashMap<u64, PathBuf>,
    names: HashMap<PathBuf, Named>,
    /// By folder.
    pending_names: HashMap<PathBuf, Pending<Naming>>,
    pub syncs: usize,
    pub writes: usize,
}

impl LossyDisk {
    /// `root` as it is now, all of it durable.
    pub fn holding(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            contents: Vec::new(),
            content_of: HashMap::new(),
            folders: HashMap::new(),
            names: HashMap::from([(root.to_owned(), Named::Folder)]),
            pending_names: HashMap::new(),
            syncs: 0,
            writes: 0,
        };
        disk.take_in(root);
        disk
    }

    fn take_in(&mut self, folder: &Path) {
        use std::os::unix::fs::MetadataExt;
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            if metadata.is_dir() {
                self.names.insert(path.clone(), Named::Folder);
                self.take_in(&path);
            // The control socket has no content.
            } else if metadata.is_file() && !path.to_str().unwrap().ends_with("-shm") {
                let durable = fs::read(&path).unwrap();
                let content = self.new_content(metadata.ino(), durable);
                self.names.insert(path, Named::File(content));
            }
        }
    }

    fn new_content(&mut self, inode: u64, durable: Vec<u8>) -> usize {
        self.contents.push(Content { durable, pending: Vec::new() });
        self.content_of.insert(inode, self.contents.len() - 1);
        self.contents.len() - 1
    }

    /// Replays a log up to where it breaks off: that is when the power went.
    pub fn replay(&mut self, log: &[u8]) {
        let mut rest = log;
        while let Some((head, after)) = rest.split_first_chunk::<48>() {
            let mut fields = [0; 6];
            for (field, bytes) in fields.iter_mut().zip(head.chunks_exact(8)) {
                *field = u64::from_ne_bytes(bytes.try_into().unwrap());
            }
            let [kind, moment, inode, number, one, two] = fields;
            let (one, two) = (one as usize, two as usize);
            if after.len() < one + two {
                break;
            }
            let path = |text: &[u8]| PathBuf::from(std::str::from_utf8(text).unwrap());
            let (first, second) = (&after[..one], &after[one..one + two]);
            match kind as u8 {
                b'W' => self.change(moment, inode, Change::Write { at: number as usize, data: first.to_vec() }),
                b'T' => self.change(moment, inode, Change::Truncate(number as usize)),
                b'S' => self.sync(inode, number),
                b'F' => drop(self.folders.insert(inode, path(first))),
                b'M' => self.name(moment, &path(first), Naming::Folder(path(first))),
                b'U' => self.name(moment, &path(first), Naming::Gone(path(first))),
                b'R' => self.name(moment, &path(second), Naming::Moved(path(first), path(second))),
                b'C' => {
                    let content = self.new_content(inode, Vec::new());
                    self.name(moment, &path(first), Naming::File(path(first), content));
                }
                b'L' => {
                    let content = self.content_of[&inode];
                    self.name(moment, &path(first), Naming::File(path(first), content));
                }
                other => panic!("no such record: {other}"),
            }
            rest = &after[one + two..];
        }
    }

    fn change(&mut self, moment: u64, inode: u64, change: Change) {
        self.writes += 1;
        let content = self.content_of[&inode];
        self.contents[content].pending.push((moment, change));
    }

    fn name(&mut self, moment: u64, path: &Path, naming: Naming) {
        let folder = path.parent().unwrap().to_owned();
        self.pending_names.entry(folder).or_default().push((moment, naming));
    }

    /// What was done up to `began` is durable.
    fn sync(&mut self, inode: u64, began: u64) {
        self.syncs += 1;
        if let Some(folder) = self.folders.get(&inode) {
            let pending = self.pending_names.entry(folder.clone()).or_default();
            let later = pending.split_off(pending.partition_point(|(moment, _)| *moment <= began));
            for (_, naming) in std::mem::replace(pending, later) {
                self.settle(naming);
            }
        } else {
            let content = &mut self.contents[self.content_of[&inode]];
            let later = content.pending.split_off(content.pending.partition_point(|(moment, _)| *moment <= began));
            for (_, change) in std::mem::replace(&mut content.pending, later) {
                apply(&mut content.durable, &change);
            }
        }
    }

    fn settle(&mut self, naming: Naming) {
        match naming {
            Naming::File(path, content) => drop(self.names.insert(path, Named::File(content))),
            Naming::Folder(path) => drop(self.names.insert(path, Named::Folder)),
            Naming::Gone(path) => drop(self.names.remove(&path)),
            Naming::Moved(from, to) => {
                if let Some(named) = self.names.remove(&from) {
                    self.names.insert(to, named);
                }
            }
        }
    }

    /// Power loss: leaves in `root` what the disk has. Returns how many unsynced changes there were.
    pub fn cut(mut self, dice: &mut Dice) -> usize {
        let mut unsynced = 0;
        for pending in std::mem::take(&mut self.pending_names).into_values() {
            // Names go to a journal, in their order.
            unsynced += pending.len();
            let kept = dice.below(pending.len() as u64 + 1) as usize;
            pending.into_iter().take(kept).for_each(|(_, naming)| self.settle(naming));
        }
        // Of a hundred sectors so many got through.
        let luck = [0, 10, 50, 90, 100][dice.below(5) as usize];
        for content in &mut self.contents {
            unsynced += content.pending.len();
            for (_, change) in std::mem::take(&mut content.pending) {
                tear(&mut content.durable, &change, || dice.below(100) < luck);
            }
        }
        self.write_out();
        unsynced
    }

    fn write_out(&self) {
        fs::remove_dir_all(&self.root).unwrap();
        fs::create_dir(&self.root).unwrap();
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(path, _)| path.components().count());
        for (path, named) in names {
            if !path.parent().unwrap().is_dir() {
                // Its folder has no name.
                continue;
            }
            match named {
                Named::Folder if path == &self.root => {}
                Named::Folder => fs::create_dir(path).unwrap(),
                Named::File(content) => {
                    fs::write(path, &self.contents[*content].durable).unwrap();
                    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
                }
            }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    tear(content, change, || true);
}

/// Makes a change as far as it gets through, a sector at a time.
fn tear(content: &mut Vec<u8>, change: &Change, mut gets_through: impl FnMut() -> bool) {
    match change {
        Change::Truncate(length) => {
            if gets_through() {
                content.resize(*length, 0);
            }
        }
        Change::Write { at, data } => {
            let mut from = 0;
            while from < data.len() {
                let to = data.len().min(from + SECTOR - (at + from) % SECTOR);
                if gets_through() {
                    if content.len() < at + to {
                        content.resize(at + to, 0);
                    }
                    content[at + from..at + to].copy_from_slice(&data[from..to]);
                }
                from = to;
            }
        }
    }
}

#[test]
fn it_has_all_synced_changes_and_tears_the_rest() {
    let mut log = Vec::new();
    let mut say = |kind: u8, moment: u64, inode: u64, number: u64, text: &[u8]| {
        for field in [u64::from(kind), moment, inode, number, text.len() as u64, 0] {
            log.extend(field.to_ne_bytes());
        }
        log.extend(text);
    };
    let home = tempfile::TempDir::new().unwrap();
    let root = home.path().join("data");
    fs::create_dir(&root).unwrap();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    say(b'F', 1, 10, 0, root.to_str().unwrap().as_bytes());
    say(b'C', 2, 11, 0, path("synced").as_bytes());
    say(b'W', 3, 11, 0, &[1; 1500]);
    say(b'S', 4, 10, 3, b"");
    // A sync that began before the second write covers the first one alone.
    say(b'W', 5, 11, 1500, &[2; 1500]);
    say(b'S', 6, 11, 4, b"");
    say(b'C', 7, 12, 0, path("nameless").as_bytes());
    say(b'W', 8, 12, 0, &[3; 10]);
    say(b'S', 9, 12, 8, b"");
    let (mut torn, mut named) = (0, 0);
    for seed in 0..50 {
        let mut disk = LossyDisk::holding(&root);
        disk.replay(&log);
        assert_eq!(disk.cut(&mut Dice::of(seed)), 2);
        let content = fs::read(root.join("synced")).unwrap();
        assert_eq!(content[..1500], [1; 1500]);
        torn += usize::from(content.len() > 1500 && content[1500..].contains(&0) && content[1500..].contains(&2));
        if let Ok(content) = fs::read(root.join("nameless")) {
            assert_eq!(content, [3; 10]);
            named += 1;
        }
        for file in ["synced", "nameless"] {
            let _gone = fs::remove_file(root.join(file));
        }
    }
    assert!(torn > 3 && named > 3 && named < 47, "{torn} torn, {named} named");
}

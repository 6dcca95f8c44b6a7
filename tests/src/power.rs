//! What a directory may look like after the power went: from a record of everything that was done to its files
//! (`tests/power/recorder.c`).
//!
//! Of a file there is what it held when it was synced last; of what was written later each write is there, half
//! there or not, or the file has only grown. Of a directory there are the names that it had when it was synced
//! last, and the first few of what was done to it later. That is what POSIX promises, and less than most file
//! systems do.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::random::Random;

/// The library for `LD_PRELOAD`, compiled into this directory.
pub fn recorder(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("power/recorder.c");
    let library = folder.join("recorder.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    let compiled = compiler.status().unwrap_or_else(|error| panic!("cc: {error}; run tests/run.sh --set-up"));
    assert!(compiled.success(), "the recorder cannot be compiled");
    library
}

/// One thing that was done.
#[derive(Debug, Clone)]
pub struct Event {
    kind: u8,
    inode: u64,
    offset: u64,
    text: Vec<u8>,
}

impl Event {
    /// Something was on disk when this returned.
    pub fn is_sync(&self) -> bool {
        self.kind == b'S'
    }
}

/// The record as the recorder wrote it.
pub fn read(record: &Path) -> Vec<Event> {
    let bytes = std::fs::read(record).unwrap_or_else(|error| panic!("{record:?}: {error}"));
    let (mut events, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((head, tail)) = rest.split_at_checked(21) {
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| head[from + at]));
        let length = u32::from_le_bytes(std::array::from_fn(|at| head[17 + at])) as usize;
        let (text, tail) = tail.split_at(length);
        events.push(Event { kind: head[0], inode: number(1), offset: number(9), text: text.to_vec() });
        rest = tail;
    }
    events
}

/// How much of what was not synced is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Nothing,
    /// Everything, as after a kill.
    All,
    /// Some of it.
    Some,
}

type Id = usize;

#[derive(Debug, Clone)]
enum Change {
    Put(String, Id),
    Remove(String),
    Rename(String, String),
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Debug, Default)]
struct Node {
    is_dir: bool,
    /// As of now; for paths.
    now: BTreeMap<String, Id>,
    /// On disk for certain.
    names: BTreeMap<String, Id>,
    data: Vec<u8>,
    /// Since the last sync.
    pending: Vec<Change>,
}

/// The files below one directory as they are now, and as they are on disk.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    inodes: HashMap<u64, Id>,
}

impl Disk {
    /// Takes what is there now as being on disk.
    pub fn at(root: &Path) -> Disk {
        let mut disk = Disk { root: root.to_path_buf(), nodes: Vec::new(), inodes: HashMap::new() };
        disk.take(root);
        disk
    }

    fn take(&mut self, path: &Path) -> Id {
        let meta = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let id = self.node(meta.ino(), meta.is_dir());
        if meta.is_dir() {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                let child = self.take(&entry.path());
                let name = entry.file_name().to_string_lossy().into_owned();
                self.nodes[id].names.insert(name.clone(), child);
                self.nodes[id].now.insert(name, child);
            }
        } else {
            self.nodes[id].data = std::fs::read(path).unwrap_or_default();
        }
        id
    }

    fn node(&mut self, inode: u64, is_dir: bool) -> Id {
        self.nodes.push(Node { is_dir, ..Node::default() });
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// The directory of a path and the name in it.
    fn place(&self, path: &str) -> Option<(Id, String)> {
        let inside = Path::new(path).strip_prefix(&self.root).ok()?;
        let mut id = 0;
        for part in inside.parent()? {
            id = *self.nodes[id].now.get(&*part.to_string_lossy())?;
        }
        Some((id, inside.file_name()?.to_string_lossy().into_owned()))
    }

    /// One more thing was done.
    pub fn apply(&mut self, event: &Event) {
        let text = String::from_utf8_lossy(&event.text).into_owned();
        match event.kind {
            b'C' | b'D' => {
                let id = self.node(event.inode, event.kind == b'D');
                self.change(&text, |name| Change::Put(name, id));
            }
            b'L' => {
                let Some(id) = self.inodes.get(&event.inode).copied() else { return };
                self.change(&text, |name| Change::Put(name, id));
            }
            b'U' => self.change(&text, Change::Remove),
            b'R' => {
                let (from, to) = text.split_once('\n').unwrap_or_default();
                let (Some((old, _)), Some((new, name))) = (self.place(from), self.place(to)) else {
                    panic!("a rename out of the tree: {text}")
                };
                assert_eq!(old, new, "a rename to another directory: {text}");
                self.change(from, |from| Change::Rename(from, name));
            }
            b'W' => self.pend(event.inode, Change::Write(event.offset, event.text.clone())),
            b'T' => self.pend(event.inode, Change::Cut(event.offset)),
            b'S' => self.sync(event.inode),
            kind => panic!("a record of kind {kind}"),
        }
    }

    fn change(&mut self, path: &str, change: impl FnOnce(String) -> Change) {
        // A file without a name.
        if path.is_empty() {
            return;
        }
        let (id, name) = self.place(path).unwrap_or_else(|| panic!("no directory for {path}"));
        let change = change(name);
        rename(&mut self.nodes[id].now, &change);
        self.nodes[id].pending.push(change);
    }

    fn pend(&mut self, inode: u64, change: Change) {
        if let Some(id) = self.inodes.get(&inode) {
            self.nodes[*id].pending.push(change);
        }
    }

    fn sync(&mut self, inode: u64) {
        let Some(id) = self.inodes.get(&inode) else { return };
        let node = &mut self.nodes[*id];
        for change in std::mem::take(&mut node.pending) {
            if node.is_dir { rename(&mut node.names, &change) } else { write(&mut node.data, &change) }
        }
    }

    /// Writes what a power loss may leave into the root, whose former content goes.
    pub fn rebuild(&self, fate: Fate, random: &mut Random) {
        let _ = std::fs::remove_dir_all(&self.root);
        self.build(0, &self.root, fate, random);
    }

    fn build(&self, id: Id, path: &Path, fate: Fate, random: &mut Random) {
        let node = &self.nodes[id];
        let made = if node.is_dir {
            let count = match fate {
                Fate::Nothing => 0,
                Fate::All => node.pending.len(),
                Fate::Some => random.below(node.pending.len() as u64 + 1) as usize,
            };
            let mut names = node.names.clone();
            node.pending.iter().take(count).for_each(|change| rename(&mut names, change));
            let made = std::fs::create_dir(path);
            for (name, child) in names {
                self.build(child, &path.join(name), fate, random);
            }
            made
        } else {
            std::fs::write(path, after(node, fate, random))
        };
        made.unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }
}

fn is_in_a_sector(change: &Change, length: usize) -> bool {
    let Change::Write(at, bytes) = change else { return false };
    let (first, end) = (*at as usize, *at as usize + bytes.len());
    end <= length && first / 512 == end.saturating_sub(1) / 512
}

/// What may be in a file.
fn after(node: &Node, fate: Fate, random: &mut Random) -> Vec<u8> {
    let mut data = node.data.clone();
    for change in &node.pending {
        let kind = random.below(4);
        // What lies in one sector that is there already is written whole or not at all.
        let kind = if is_in_a_sector(change, data.len()) { kind % 2 } else { kind };
        match (fate, kind) {
            (Fate::Nothing, _) | (Fate::Some, 0) => {}
            (Fate::All, _) | (Fate::Some, 1) => write(&mut data, change),
            // The first part of it; or the length without the bytes.
            (Fate::Some, kind) => match change {
                Change::Write(at, bytes) if kind == 2 => {
                    let part = random.below(bytes.len() as u64 + 1) as usize;
                    write(&mut data, &Change::Write(*at, bytes[..part].to_vec()));
                }
                Change::Write(at, bytes) => data.resize(data.len().max(*at as usize + bytes.len()), 0),
                cut => write(&mut data, cut),
            },
        }
    }
    data
}

fn rename(names: &mut BTreeMap<String, Id>, change: &Change) {
    match change {
        Change::Put(name, id) => drop(names.insert(name.clone(), *id)),
        Change::Remove(name) => drop(names.remove(name)),
        Change::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        Change::Write(..) | Change::Cut(_) => {}
    }
}

fn write(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, bytes) => {
            let at = *at as usize;
            data.resize(data.len().max(at + bytes.len()), 0);
            data[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Cut(length) => data.resize(*length as usize, 0),
        _ => {}
    }
}

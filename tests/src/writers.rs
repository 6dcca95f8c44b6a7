//! Foreign writers at both ends of a job, and the history of what they did: which version of which object lived
//! when. What a job may have seen of its source is decided by that history alone.
//!
//! Every version has bytes of its own, so that a mixture of two is none of them. Each operation runs under one
//! lock and is a moment of the history; a version lives from one moment to another.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::crash::{BUCKET, End, Objects};
use crate::family::Object;

mod history;

use history::LARGE;
pub use history::{History, Life, Moment, Touched};

/// The object of [`Writers::create_large`].
pub const LARGE_KEY: &str = "large.bin";

/// Two ends, and who writes to them.
#[derive(Debug)]
pub struct Writers {
    /// Where a job reads.
    pub source: End,
    /// Where it writes.
    pub destination: End,
    /// Files are made here before they are moved into a tree.
    aside: TempDir,
    /// What the destination's writer writes may have the size of what is there.
    pub same_size: bool,
    /// Large objects come up as well.
    pub large: bool,
    history: Mutex<History>,
}

impl Writers {
    /// Between these ends; the source has some objects.
    pub fn new(source: End, destination: End, seed: u64, count: u64) -> Writers {
        let history = History::new(seed);
        let aside = TempDir::new().unwrap_or_else(|error| panic!("no directory: {error}"));
        let writers = Writers {
            source,
            destination,
            aside,
            same_size: true,
            large: false,
            history: Mutex::new(history),
        };
        for number in 0..count {
            writers.create(&mut writers.history());
            writers.age_last(count - number);
        }
        writers
    }

    /// Files that are made at once would have one time, and could take each other's place unseen.
    fn age_last(&self, seconds: u64) {
        let End::Tree(dir) = &self.source else { return };
        let history = self.history();
        let last = |(_, lives): &(&String, &Vec<Life>)| lives.last().map(|life| life.from);
        let Some((key, _)) = history.lives.iter().max_by_key(last) else { return };
        set_time(&dir.path().join(key), SystemTime::now() - Duration::from_secs(seconds));
    }

    /// What was done so far. Nothing is done while it is held.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that there is an object in parts.
    pub fn create_large(&self) {
        let history = &mut self.history();
        let data = history.bytes(LARGE);
        self.put(history, LARGE_KEY, &data, "create");
    }

    /// Somebody does something to the source.
    pub fn at_source(&self) {
        let history = &mut self.history();
        let living = history.living();
        let chosen = history.random.below(11);
        let Some(key) = history.pick(&living).filter(|_| chosen > 0) else { return self.create(history) };
        let old = history.current(&key).unwrap_or_default();
        match chosen {
            1 | 2 => {
                let data = history.bytes(old.len() as u64);
                self.put(history, &key, &data, "overwrite, same size,");
            }
            3 => {
                let size = history.size(self.large);
                let data = history.bytes(size);
                self.put(history, &key, &data, "overwrite");
            }
            4 => self.delete(history, &key),
            5 => self.rename(history, &key, &living),
            6 => self.make_directory_of(history, &key),
            7 => self.make_file_of(history, &key),
            8 => self.touch(history, &key, &old),
            9 => self.restore(history, &key, &old),
            _ => self.grow(history, &key, &old),
        }
    }

    /// Somebody overwrites this object of the source, with as many bytes.
    pub fn overwrite_at_source(&self, key: &str) {
        let history = &mut self.history();
        let Some(old) = history.current(key) else { return };
        let data = history.bytes(old.len() as u64);
        self.put(history, key, &data, "overwrite, same size,");
    }

    /// Somebody does something to the destination.
    pub fn at_destination(&self) {
        let history = &mut self.history();
        let living = history.living();
        let chosen = history.random.below(6);
        let Some(key) = history.pick(&living).filter(|_| chosen < 4) else {
            return self.leave_something(history, chosen == 4);
        };
        let Some(there) = self.destination.object(&key) else { return };
        match chosen {
            0 => {
                let at = history.tell(format!("delete {key} at the destination"));
                self.destination.remove(&key);
                history.touched.entry(key).or_default().push(Touched { at, data: None });
            }
            1 if self.same_size => self.overwrite(history, &key, there.len() as u64),
            _ => {
                let size = 100_000 + history.random.below(1000);
                self.overwrite(history, &key, size);
            }
        }
    }

    fn overwrite(&self, history: &mut History, key: &str, size: u64) {
        let data = history.bytes(size);
        let at = history.tell(format!("overwrite {key} at the destination with {size} bytes"));
        match &self.destination {
            End::Server(server) => server.insert(BUCKET, key.as_bytes(), Object::new(data.clone())),
            End::Tree(dir) => self.place(&data, &dir.path().join(key)),
        }
        history.touched.entry(key.to_owned()).or_default().push(Touched { at, data: Some(data) });
    }

    /// A foreign object, an upload under way, a file that looks temporary.
    fn leave_something(&self, history: &mut History, object: bool) {
        let number = history.now();
        let name = match &self.destination {
            End::Tree(_) if !object => [".brigade-00000000", ".x-", "~"][number as usize % 3],
            _ => "foreign-",
        };
        let key = format!("{name}{number:08x}{}", if object { "" } else { ".tmp" });
        match &self.destination {
            End::Server(server) if !object => {
                let living = history.living();
                let key = history.pick(&living).unwrap_or(key);
                history.tell(format!("begin an upload of {key} at the destination"));
                let id = server.begin_upload(BUCKET, key.as_bytes(), 0);
                history.foreign.push(format!("upload {id} of {key}"));
            }
            to => {
                let data = history.bytes(30);
                let at = history.tell(format!("put {key} at the destination"));
                to.fill(&Objects::from([(key.clone(), data.clone())]));
                if !object {
                    history.foreign.extend(to.leavings().into_iter().filter(|left| left.ends_with(&key)));
                }
                history.touched.entry(key).or_default().push(Touched { at, data: Some(data) });
            }
        }
    }

    fn create(&self, history: &mut History) {
        let folder = history.random.below(5);
        let number = history.random.below(12);
        let key = if folder == 4 { format!("k{number}") } else { format!("d{folder}/k{number}") };
        let size = history.size(self.large);
        let data = history.bytes(size);
        self.put(history, &key, &data, "create");
    }

    /// Writes it in one of the ways in which programs write. Where something else has the place, nothing.
    fn put(&self, history: &mut History, key: &str, data: &Bytes, what: &str) {
        let dir = match &self.source {
            End::Server(server) => {
                let at = history.tell(format!("{what} {key} with {} bytes", data.len()));
                let last = server.object(BUCKET, key.as_bytes()).map(|object| object.modified);
                let mut object = Object::new(data.clone());
                object.modified = later(last);
                if history.random.below(3) == 0 {
                    // As of an object that was written in parts.
                    object.etag.push_str("-2");
                }
                server.insert(BUCKET, key.as_bytes(), object);
                return history.begins(key, data, at);
            }
            End::Tree(dir) => dir.path(),
        };
        let path = dir.join(key);
        let has_place = path.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok());
        if !has_place || path.is_dir() {
            return;
        }
        let same = history.current(key).is_some_and(|old| old.len() == data.len());
        match history.random.below(3) {
            0 => {
                let at = history.tell(format!("{what} {key} with {} bytes, by its name", data.len()));
                self.place(data, &path);
                history.begins(key, data, at);
            }
            1 if same => {
                let at = history.tell(format!("{what} {key} with {} bytes, in its place", data.len()));
                done(
                    &path,
                    OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(data)),
                );
                history.begins(key, data, at);
            }
            _ => {
                let at = history.tell(format!("{what} {key} with {} bytes, from nothing", data.len()));
                let mut file = File::create(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                history.begins(key, &Bytes::new(), at);
                done(&path, file.write_all(data));
                let at = history.tell(format!("{key} is written"));
                history.begins(key, data, at);
            }
        }
    }

    /// Made elsewhere, and moved into its place in one step.
    fn place(&self, data: &Bytes, path: &Path) {
        let beside = self.aside.path().join("new");
        done(&beside, std::fs::write(&beside, data));
        done(path, std::fs::rename(&beside, path));
    }

    fn delete(&self, history: &mut History, key: &str) {
        let at = history.tell(format!("delete {key}"));
        self.source.remove(key);
        history.ends(key, at);
    }

    /// To a new name, or over another object. A file keeps its time of modification.
    fn rename(&self, history: &mut History, key: &str, living: &[String]) {
        let data = history.current(key).unwrap_or_default();
        let alike = |other: &&String| history.current(other).is_some_and(|old| old.len() == data.len());
        let alike: Vec<String> = living.iter().filter(alike).cloned().collect();
        let new = match history.random.below(4) {
            0 => history.pick(living),
            1 | 2 => history.pick(&alike),
            _ => Some(format!("renamed-{}", history.now())),
        };
        let Some(new) = new.filter(|new| new != key) else { return };
        match &self.source {
            End::Tree(dir) => {
                let (from, to) = (dir.path().join(key), dir.path().join(&new));
                let time = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
                if time(&from) == time(&to) {
                    return;
                }
                let at = history.tell(format!("rename {key} to {new}"));
                done(&from, std::fs::rename(&from, &to));
                history.begins(&new, &data, at);
                history.ends(key, at);
                remove_empty(dir.path(), key);
            }
            End::Server(_) => {
                self.put(history, &new, &data, "copy to");
                self.delete(history, key);
            }
        }
    }

    /// Something of the same size comes back from elsewhere, with the time that it had there.
    fn restore(&self, history: &mut History, key: &str, old: &Bytes) {
        let data = history.bytes(old.len() as u64);
        let End::Tree(dir) = &self.source else { return self.put(history, key, &data, "restore") };
        let age = Duration::from_millis(1 + history.random.below(1_800_000));
        let at = history.tell(format!("restore {key} with {} bytes, {age:?} old", data.len()));
        let beside = self.aside.path().join("restored");
        done(&beside, std::fs::write(&beside, &data));
        set_time(&beside, SystemTime::now() - age);
        done(&beside, std::fs::rename(&beside, dir.path().join(key)));
        history.begins(key, &data, at);
    }

    fn make_directory_of(&self, history: &mut History, key: &str) {
        self.delete(history, key);
        if let End::Tree(dir) = &self.source {
            let _ = std::fs::create_dir_all(dir.path().join(key));
        }
        let size = history.size(self.large);
        let data = history.bytes(size);
        self.put(history, &format!("{key}/inner"), &data, "in a directory, create");
    }

    fn make_file_of(&self, history: &mut History, key: &str) {
        let Some((folder, _)) = key.rsplit_once('/') else { return };
        let below = format!("{folder}/");
        for inner in history.living().into_iter().filter(|key| key.starts_with(&below)) {
            self.delete(history, &inner);
        }
        if let End::Tree(dir) = &self.source {
            let _ = std::fs::remove_dir_all(dir.path().join(folder));
        }
        let size = history.size(self.large);
        let data = history.bytes(size);
        self.put(history, folder, &data, "instead of a directory, create");
    }

    fn touch(&self, history: &mut History, key: &str, old: &Bytes) {
        let at = match &self.source {
            End::Tree(dir) => {
                let at = history.tell(format!("touch {key}"));
                set_time(&dir.path().join(key), SystemTime::now());
                at
            }
            End::Server(_) => return self.put(history, key, old, "write anew"),
        };
        history.begins(key, old, at);
    }

    fn grow(&self, history: &mut History, key: &str, old: &Bytes) {
        let size = 1 + history.random.below(2000);
        let more = history.bytes(size);
        let data = Bytes::from([old.clone(), more.clone()].concat());
        let End::Tree(dir) = &self.source else { return self.put(history, key, &data, "grow") };
        let path = dir.path().join(key);
        let at = history.tell(format!("append to {key} {} bytes", more.len()));
        done(&path, OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(&more)));
        history.begins(key, &data, at);
    }

    /// Must the destination refuse this key, because a file stands where a directory is needed, or the reverse?
    pub fn is_blocked(&self, key: &str) -> bool {
        let End::Tree(dir) = &self.destination else { return false };
        let path: PathBuf = dir.path().join(key);
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(dir.path()));
        path.is_dir() || above.into_iter().any(Path::is_file)
    }
}

impl End {
    /// Takes an object away without a request, and directories that are empty then.
    pub fn remove(&self, key: &str) {
        match self {
            End::Server(server) => server.remove(BUCKET, key.as_bytes()),
            End::Tree(dir) => {
                let path = dir.path().join(key);
                done(&path, std::fs::remove_file(&path));
                remove_empty(dir.path(), key);
            }
        }
    }
}

/// An empty directory is an object, too; these are none.
fn remove_empty(root: &Path, key: &str) {
    let path = root.join(key);
    for above in path.ancestors().skip(1).take_while(|above| above.starts_with(root) && *above != root) {
        let _ = std::fs::remove_dir(above);
    }
}

/// Services tell whole seconds: two versions of an object never have the same one.
fn later(last: Option<Timestamp>) -> Timestamp {
    let now = Timestamp::now();
    let next = last.and_then(|last| last.checked_add(jiff::SignedDuration::from_secs(1)).ok());
    next.map_or(now, |next| now.max(next))
}

#[track_caller]
fn set_time(path: &Path, time: SystemTime) {
    let file = OpenOptions::new().write(true).open(path);
    done(path, file.and_then(|file| file.set_modified(time)));
}

#[track_caller]
fn done(path: &Path, result: std::io::Result<()>) {
    result.unwrap_or_else(|error| panic!("{path:?}: {error}"));
}

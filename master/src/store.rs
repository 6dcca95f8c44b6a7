//! The durable state: one sled tree of small records. The only place that names a sled type.
//!
//! One batch is one atomic step, and it is on disk when [`Store::commit`] returns. After a write that failed
//! nobody knows what is on disk: from then on every commit is refused, and the master ends ([`Store::broken`]).

pub(crate) mod keys;
mod mark;
mod original;
pub(crate) mod record;
pub(crate) mod seal;
pub(crate) mod tally;

use std::fs::File;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use conf::Home;
use prost::Message;
use proto::breakpoint::{self, breakpoint};
use tokio_util::sync::CancellationToken;

use crate::error::MasterError;
use crate::files;
use keys::{Key, Prefix};
use mark::Mark;
use original::Original;
use record::{BadRecord, JobRecord, Meta, Steps};

const FORMAT: &str = "brigade master state, form 1\n";

/// The open state.
#[derive(Debug)]
pub(crate) struct Store {
    db: sled::Db,
    /// sled's log: sled itself leaves syncing it to the kernel.
    log: File,
    path: PathBuf,
    mark: Mark,
    /// The number of the last commit, or why the last one failed.
    steps: Mutex<Result<u64, String>>,
    /// A commit failed.
    broken: CancellationToken,
}

/// Changes that become durable together.
#[derive(Debug, Default)]
pub(crate) struct Batch(sled::Batch);

impl Store {
    /// Opens the state of this home, or makes it, and lets `check` look at it. Refuses one that is used,
    /// damaged, or not all there; it is then as it was before.
    pub(crate) fn open<T>(
        home: &Home,
        check: impl FnOnce(Store, Meta) -> Result<T, MasterError>,
    ) -> Result<T, MasterError> {
        let (path, marker) = (home.state(), home.master().join("FORMAT"));
        files::make_dir(&home.master())?;
        if !read_marker(&marker)? {
            // The key is made after it: where the key is, it was there.
            if home.secret_key().exists() {
                let what = "it is missing, though the state beside it was in use".into();
                return Err(MasterError::Damaged { path: marker, what });
            }
            forget_first_start(home)?;
            return Store::open_checked(home, false, check);
        }
        if !path.is_dir() && !Original::left(&path) {
            let what = "the directory is missing, though master/FORMAT says that it was in use".into();
            return Err(MasterError::Damaged { path, what });
        }
        let original = Original::keep(&path)?;
        match Store::open_checked(home, true, check) {
            Ok(checked) => original.discard().map(|()| checked),
            Err(error @ MasterError::InUse { .. }) => original.discard().and(Err(error)),
            Err(error) => original.put_back().and(Err(error)),
        }
    }

    fn open_checked<T>(
        home: &Home,
        marked: bool,
        check: impl FnOnce(Store, Meta) -> Result<T, MasterError>,
    ) -> Result<T, MasterError> {
        let path = home.state();
        let damaged = |what: String| MasterError::Damaged { path: path.clone(), what };
        let store = Store::open_files(home, marked)?;
        let steps = store.get::<Steps>(&keys::steps())?.unwrap_or_default().number;
        let written = store.mark.read()?;
        if written > steps {
            return Err(damaged(format!("the last {} steps that were committed are gone", written - steps)));
        }
        *store.steps() = Ok(steps);
        let meta = match store.get::<Meta>(&keys::meta())? {
            Some(meta) => meta,
            None if marked => return Err(damaged("its records are gone".into())),
            None if !store.db.is_empty() => return Err(damaged("its first record is missing".into())),
            None => store.create(home)?,
        };
        if !marked {
            files::write_durable(&home.master().join("FORMAT"), FORMAT.as_bytes())?;
        }
        store.check_jobs(home, &meta)?;
        check(store, meta)
    }

    fn open_files(home: &Home, marked: bool) -> Result<Self, MasterError> {
        let path = home.state();
        let db = open_sled(&path)?;
        let log = path.join("db");
        let log = File::open(&log).map_err(MasterError::file("open", &log))?;
        // sled never syncs its `conf`, and a killed master may have written to the log what it did not sync: both
        // count from now on, and must not go with the power.
        for entry in std::fs::read_dir(&path).map_err(MasterError::file("read", &path))? {
            let file = entry.map_err(MasterError::file("read", &path))?.path();
            let synced = File::open(&file).and_then(|file| file.sync_all());
            synced.map_err(MasterError::file("sync", &file))?;
        }
        let mark = Mark::open(&home.master().join("STEPS"), marked)?;
        files::sync_dir(&path)?;
        files::sync_dir(&home.master())?;
        let (steps, broken) = (Mutex::new(Ok(0)), CancellationToken::new());
        Ok(Store { db, log, path, mark, steps, broken })
    }

    fn steps(&self) -> MutexGuard<'_, Result<u64, String>> {
        self.steps.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn create(&self, home: &Home) -> Result<Meta, MasterError> {
        if let Some(job) = job_folders(home)?.into_iter().next() {
            let what = format!("it is empty, but {} holds the files of a job", home.job(&job).display());
            return Err(MasterError::Damaged { path: self.path.clone(), what });
        }
        let meta = Meta { next_number: 1, created_ms: crate::now_ms(), ..Meta::default() };
        let mut batch = Batch::default();
        batch.put(&keys::meta(), &meta);
        self.commit(batch)?;
        Ok(meta)
    }

    /// As many job records as were written, and no files without a record.
    fn check_jobs(&self, home: &Home, meta: &Meta) -> Result<(), MasterError> {
        let damaged = |what| MasterError::Damaged { path: self.path.clone(), what };
        let mut names = std::collections::BTreeSet::new();
        for found in self.scan::<JobRecord>(&keys::jobs()) {
            names.insert(found?.1.name);
        }
        if names.len() as u64 != meta.jobs {
            return Err(damaged(format!("{} jobs were written, {} are there", meta.jobs, names.len())));
        }
        match job_folders(home)?.into_iter().find(|folder| !names.contains(folder)) {
            Some(folder) => {
                let folder = home.job(&folder);
                Err(damaged(format!("{} holds the files of a job that it does not know", folder.display())))
            }
            None => Ok(()),
        }
    }

    /// One record.
    pub(crate) fn get<R: Message + Default>(&self, key: &Key) -> Result<Option<R>, MasterError> {
        let found = self.db.get(&key.0).map_err(|error| self.failed(error))?;
        found.map(|bytes| self.read(key, &bytes)).transpose()
    }

    /// Is there a record?
    pub(crate) fn has(&self, key: &Key) -> Result<bool, MasterError> {
        self.db.contains_key(&key.0).map_err(|error| self.failed(error))
    }

    /// Records in the order of their keys.
    pub(crate) fn scan<R: Message + Default>(
        &self,
        prefix: &Prefix,
    ) -> impl Iterator<Item = Result<(Key, R), MasterError>> {
        self.db.scan_prefix(&prefix.0).map(|found| {
            let (key, bytes) = found.map_err(|error| self.failed(error))?;
            let key = Key(key.to_vec());
            let record = self.read(&key, &bytes)?;
            Ok((key, record))
        })
    }

    /// The first record of a prefix after a key.
    pub(crate) fn after<R: Message + Default>(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
    ) -> Result<Option<(Key, R)>, MasterError> {
        let from = match after {
            Some(key) => Bound::Excluded(key.0.clone()),
            None => Bound::Included(prefix.0.clone()),
        };
        let Some(found) = self.db.range((from, Bound::Unbounded)).next() else { return Ok(None) };
        let (key, bytes) = found.map_err(|error| self.failed(error))?;
        if !key.starts_with(&prefix.0) {
            return Ok(None);
        }
        let key = Key(key.to_vec());
        let record = self.read(&key, &bytes)?;
        Ok(Some((key, record)))
    }

    /// The keys of a prefix, at most `most`.
    pub(crate) fn keys_of(&self, prefix: &Prefix, most: usize) -> Result<Vec<Key>, MasterError> {
        let keys = self.db.scan_prefix(&prefix.0).keys().take(most);
        keys.map(|key| key.map(|key| Key(key.to_vec())).map_err(|error| self.failed(error))).collect()
    }

    /// All of the batch or nothing; on disk when it returns.
    pub(crate) fn commit(&self, mut batch: Batch) -> Result<(), MasterError> {
        let mut steps = self.steps();
        let step = match &*steps {
            Ok(steps) => steps + 1,
            Err(why) => return Err(self.refused(why)),
        };
        // What stands there when something panics.
        *steps = Err("a write broke off".into());
        let broken = self.broken.clone().drop_guard();
        batch.put(&keys::steps(), &Steps { number: step });
        let applied = self.db.apply_batch(batch.0);
        breakpoint(breakpoint::COMMIT_APPLIED);
        let written = applied.and_then(|()| self.db.flush()).map_err(|error| error.to_string());
        breakpoint(breakpoint::COMMIT_FLUSHED);
        // sled only asks the kernel to write; this asks the disk.
        let synced = written.and_then(|_| self.log.sync_data().map_err(|error| error.to_string()));
        if let Err(why) = synced {
            tracing::error!(path = %self.path.display(), why, "the state cannot be written");
            *steps = Err(why.clone());
            return Err(self.refused(&why));
        }
        self.mark.write(step);
        *steps = Ok(step);
        drop(broken.disarm());
        Ok(())
    }

    /// Ends when a commit has failed.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Every commit so far is on disk.
    pub(crate) fn sound(&self) -> Result<(), MasterError> {
        self.steps().as_ref().map_or_else(|why| Err(self.refused(why)), |_| Ok(()))
    }

    fn read<R: Message + Default>(&self, key: &Key, bytes: &[u8]) -> Result<R, MasterError> {
        record::read(key, bytes).map_err(|bad| match bad {
            BadRecord::Damaged => MasterError::Damaged {
                path: self.path.clone(),
                what: format!("the record {:?} is damaged", key.to_text()),
            },
            BadRecord::Later(version) => {
                MasterError::Later { path: self.path.clone(), found: format!("a record of form {version}") }
            }
        })
    }

    fn failed(&self, error: sled::Error) -> MasterError {
        self.refused(&error.to_string())
    }

    fn refused(&self, what: &str) -> MasterError {
        MasterError::Store { path: self.path.clone(), what: what.to_owned() }
    }
}

// === impl Batch ===

impl Batch {
    /// Writes or replaces a record.
    pub(crate) fn put(&mut self, key: &Key, record: &impl Message) {
        self.0.insert(key.0.clone(), record::write(key, record));
    }

    /// Deletes a record, if it is there.
    pub(crate) fn delete(&mut self, key: &Key) {
        self.0.remove(key.0.clone());
    }
}

/// A first start that died while sled made its files left nothing that was ever answered. Where anything says
/// otherwise, it stays.
fn forget_first_start(home: &Home) -> Result<(), MasterError> {
    let path = home.state();
    let answered = mark::last(&home.master().join("STEPS"))? > 1 || !job_folders(home)?.is_empty();
    if !path.is_dir() || answered {
        return Ok(());
    }
    match open_sled(&path).map(drop) {
        Err(MasterError::Damaged { what, .. }) => {
            tracing::warn!(path = %path.display(), what, "a first start did not come to its end: it begins again");
            files::remove_dir(&path)
        }
        opened => opened,
    }
}

/// Snapshots that sled did not come to finish: it would take them for damage.
fn remove_unfinished(path: &Path) -> Result<(), MasterError> {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(MasterError::file("remove", &path))?;
        }
    }
    Ok(())
}

fn read_marker(path: &Path) -> Result<bool, MasterError> {
    match files::read(path)? {
        None => Ok(false),
        Some(text) if text == FORMAT.as_bytes() => Ok(true),
        Some(text) if !text.starts_with(b"brigade master state, form ") || !text.ends_with(b"\n") => {
            Err(MasterError::Damaged { path: path.into(), what: "it is torn".into() })
        }
        Some(text) => {
            let found = String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).take(80).collect();
            Err(MasterError::Later { path: path.into(), found })
        }
    }
}

/// sled reports most damage as an error and some by a panic; either way it is one clear message.
fn open_sled(path: &Path) -> Result<sled::Db, MasterError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(64 << 20)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let damaged = |what: String| MasterError::Damaged { path: path.into(), what };
    remove_unfinished(path)?;
    // A process that was just killed may hold the lock for another moment.
    for attempt in 0.. {
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
        let error = match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => error,
            Err(_) => return Err(damaged("sled cannot recover it".into())),
        };
        let text = error.to_string();
        let in_use = text.contains("could not acquire lock") || text.contains("WouldBlock");
        match error {
            _ if in_use && attempt < 10 => std::thread::sleep(Duration::from_millis(50)),
            _ if in_use => return Err(MasterError::InUse { path: path.into() }),
            sled::Error::Io(error) => return Err(MasterError::file("open", path)(error)),
            _ => return Err(damaged(text)),
        }
    }
    Err(MasterError::InUse { path: path.into() })
}

/// Job directories with anything in them.
fn job_folders(home: &Home) -> Result<Vec<String>, MasterError> {
    let jobs = home.master().join("jobs");
    let entries = match std::fs::read_dir(&jobs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MasterError::file("read", jobs)(error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(MasterError::file("read", &jobs))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let filled = std::fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_some());
        if filled && name.parse::<proto::JobName>().is_ok() {
            folders.push(name);
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests;

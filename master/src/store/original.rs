//! sled repairs what it opens: it cuts a damaged log off where the damage begins, and everything after it is
//! gone. So a copy is kept until the state is known to be sound, and put back when it is not.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::MasterError;
use crate::files;

/// The state as it was before it was opened.
#[derive(Debug)]
pub(super) struct Original {
    state: PathBuf,
    copy: PathBuf,
}

impl Original {
    /// Copies a state that is not in use. One that an earlier start left behind is the original.
    pub(super) fn keep(state: &Path) -> Result<Self, MasterError> {
        let original = Original { state: state.to_path_buf(), copy: beside(state, "original") };
        let _lock = free(state)?;
        if original.copy.is_dir() {
            original.put_back()?;
        }
        let growing = beside(state, "copying");
        files::remove_dir(&growing)?;
        if let Err(error) = copy(state, &growing) {
            // On a full disk half a copy is in the way of whoever makes room.
            let _ = files::remove_dir(&growing);
            return Err(no_room(error, state));
        }
        std::fs::rename(&growing, &original.copy).map_err(MasterError::file("rename to", &original.copy))?;
        state.parent().map_or(Ok(()), files::sync_dir)?;
        Ok(original)
    }

    /// The state is sound. The copy loses its name in one step: what a death leaves of it must never be put back.
    pub(super) fn discard(self) -> Result<(), MasterError> {
        let growing = beside(&self.state, "copying");
        std::fs::rename(&self.copy, &growing).map_err(MasterError::file("rename to", &growing))?;
        // The new name first, then the removal: after a power loss, too.
        self.state.parent().map_or(Ok(()), files::sync_dir)?;
        files::remove_dir(&growing)
    }

    /// The state is as it was before.
    pub(super) fn put_back(&self) -> Result<(), MasterError> {
        empty(&self.state)?;
        // A directory takes the place of an empty one, unless that is another file system's.
        if std::fs::rename(&self.copy, &self.state).is_err() {
            copy(&self.copy, &self.state)?;
            return files::remove_dir(&self.copy);
        }
        self.state.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Is there one that an earlier start left?
    pub(super) fn left(state: &Path) -> bool {
        beside(state, "original").is_dir()
    }
}

/// The lock that sled takes as well; held while the state is copied.
fn free(state: &Path) -> Result<Option<File>, MasterError> {
    let db = state.join("db");
    let Ok(file) = File::open(&db) else { return Ok(None) };
    // A process that was just killed may hold it for another moment.
    for _ in 0..10 {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(MasterError::file("lock", db)(error)),
        }
    }
    Err(MasterError::InUse { path: state.into() })
}

/// Takes away what is in a directory, if it is there. The directory may be a mount point.
fn empty(path: &Path) -> Result<(), MasterError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(MasterError::file("read", path)(error)),
    };
    for entry in entries {
        let path = entry.map_err(MasterError::file("read", path))?.path();
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(MasterError::file("remove", path))?;
    }
    files::sync_dir(path)
}

fn copy(from: &Path, to: &Path) -> Result<(), MasterError> {
    files::make_dir(to)?;
    for entry in std::fs::read_dir(from).map_err(MasterError::file("read", from))? {
        let path = entry.map_err(MasterError::file("read", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target)?;
            continue;
        }
        std::fs::copy(&path, &target).map_err(MasterError::file("copy", &path))?;
        let written = File::open(&target).and_then(|file| file.sync_all());
        written.map_err(MasterError::file("sync", &target))?;
    }
    files::sync_dir(to)
}

/// Says what the room was wanted for.
fn no_room(error: MasterError, state: &Path) -> MasterError {
    match error {
        MasterError::File { error, .. }
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            MasterError::NoRoom { path: state.to_path_buf(), bytes: size(state) }
        }
        error => error,
    }
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn beside(state: &Path, word: &str) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    PathBuf::from(name)
}

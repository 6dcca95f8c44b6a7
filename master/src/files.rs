//! Files that survive power loss: written under another name, fsynced, renamed, the directory fsynced.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::MasterError;

/// Makes a directory and those above it, only for this user. Durable.
pub(crate) fn make_dir(path: &Path) -> Result<(), MasterError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut missing = vec![path];
    while let Some(parent) = missing.last().and_then(|path| path.parent()) {
        if parent.as_os_str().is_empty() || parent.is_dir() {
            break;
        }
        missing.push(parent);
    }
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(MasterError::file("create the directory", dir)(error));
            }
            _ => sync_parent(dir)?,
        }
    }
    Ok(())
}

/// Writes the file whole or not at all. Its name is durable only after [`sync_dir`].
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), MasterError> {
    let temporary = temporary(path);
    let written = write_as(&temporary, path, bytes);
    if written.is_err() {
        // On a full disk half a file is in the way of whoever makes room.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write_as(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), MasterError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)
        .map_err(MasterError::file("create", temporary))?;
    file.write_all(bytes).map_err(MasterError::file("write", temporary))?;
    file.sync_all().map_err(MasterError::file("sync", temporary))?;
    std::fs::rename(temporary, path).map_err(MasterError::file("rename to", path))
}

/// [`write`], and the name is durable as well.
pub(crate) fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), MasterError> {
    write(path, bytes)?;
    sync_parent(path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), MasterError> {
    let dir = File::open(path).map_err(MasterError::file("open", path))?;
    dir.sync_all().map_err(MasterError::file("sync", path))
}

fn sync_parent(path: &Path) -> Result<(), MasterError> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_dir(parent),
        None => sync_dir(Path::new(".")),
    }
}

/// The file's bytes; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, MasterError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MasterError::file("read", path)(error)),
    }
}

/// Removes a tree, if it is there. Durable.
pub(crate) fn remove_dir(path: &Path) -> Result<(), MasterError> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(MasterError::file("remove", path)(error)),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

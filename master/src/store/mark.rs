//! How many steps were committed, in a file beside the state: a state that knows fewer has lost some.
//!
//! Two places of 16 bytes (number, CRC-32C of it, zeros) are written in turn, after the step is durable: the
//! larger sound number counts, and it is never more than what was committed. Only when it is made is it synced:
//! after a power loss it may be behind, which only makes it miss something, never cry wolf. But it is there, and
//! one of its places is sound.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};

use crate::error::MasterError;

const PLACE: usize = 16;

/// The open file.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: File,
}

impl Mark {
    /// Opens it; where it has to be there, one that is missing or makes no sense is damage.
    pub(super) fn open(path: &Path, must_be: bool) -> Result<Self, MasterError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(!must_be).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound if must_be => damaged(path, "it is missing"),
            _ => MasterError::file("open", path)(error),
        })?;
        let mark = Mark { path: path.to_path_buf(), file };
        match mark.number()? {
            None if must_be => return Err(damaged(path, "it is torn")),
            None => {
                mark.write(0);
                mark.file.sync_all().map_err(MasterError::file("sync", path))?;
            }
            Some(_) => {}
        }
        Ok(mark)
    }

    /// At least so many steps were committed.
    pub(super) fn read(&self) -> Result<u64, MasterError> {
        Ok(self.number()?.unwrap_or(0))
    }

    fn number(&self) -> Result<Option<u64>, MasterError> {
        number(&self.path)
    }

    /// This step is durable. A failure only weakens the check.
    pub(super) fn write(&self, step: u64) {
        let number = step.to_le_bytes();
        let mut place = [0; PLACE];
        for (to, from) in place.iter_mut().zip(number.iter().chain(&sum(&number))) {
            *to = *from;
        }
        if let Err(error) = self.file.write_all_at(&place, (step % 2) * PLACE as u64) {
            tracing::warn!(path = %self.path.display(), %error, "the number of steps cannot be noted");
        }
    }
}

/// What the file at this path says; 0 where it says nothing.
pub(super) fn last(path: &Path) -> Result<u64, MasterError> {
    Ok(number(path)?.unwrap_or(0))
}

fn number(path: &Path) -> Result<Option<u64>, MasterError> {
    let bytes = crate::files::read(path)?.unwrap_or_default();
    let number = |place: &[u8]| {
        let (number, rest) = place.split_first_chunk::<8>()?;
        let sound = rest.starts_with(&sum(number));
        sound.then(|| u64::from_le_bytes(*number))
    };
    Ok(bytes.chunks_exact(PLACE).filter_map(number).max())
}

fn damaged(path: &Path, what: &str) -> MasterError {
    let what = format!("{what}, so that nobody can tell whether the state is all there");
    MasterError::Damaged { path: path.to_path_buf(), what }
}

fn sum(number: &[u8]) -> [u8; 4] {
    (checksum(CrcAlgorithm::Crc32Iscsi, number) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_place_leaves_the_number_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("STEPS");
        assert!(Mark::open(&path, true).is_err());
        let mark = Mark::open(&path, false).unwrap();
        assert_eq!(mark.read().unwrap(), 0);
        mark.write(41);
        mark.write(42);
        assert_eq!(Mark::open(&path, true).unwrap().read().unwrap(), 42);
        mark.file.write_all_at(&[7], 0).unwrap();
        assert_eq!(mark.read().unwrap(), 41);
    }
}

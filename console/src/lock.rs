//! One master a home: `run/master.lock` is held as long as one runs, in whatever process.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conf::Home;
use conf::home::Role;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::sleep;

use crate::exit::Failure;
use crate::roles;

/// Held until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Takes a role's lock; `None` when somebody else holds it.
pub(crate) fn try_take(home: &Home, role: Role) -> Result<Option<Lock>, Failure> {
    let run = home.run();
    make_private(&run)?;
    let path: PathBuf = home.lock(role);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Failure::file("open", &path, &error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(Some(Lock { _file: file })),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(Failure::new(format!("cannot lock {}: {errno}", path.display()))),
    }
}

/// [`try_take`], with some patience where nobody alive is known to hold it: a process that was killed is gone
/// a moment later, and a dormant master answers one question.
pub(crate) async fn take_soon(home: &Home, role: Role) -> Result<Option<Lock>, Failure> {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let lock = try_take(home, role)?;
        let alive = |role| roles::running(home, role).is_some_and(|pid| !roles::is_ending(pid));
        if lock.is_some() || alive(role) || alive(Role::Import) || Instant::now() >= end {
            return Ok(lock);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Makes a directory that only its owner may enter.
pub(crate) fn make_private(path: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::file("make the directory", path, &error))
}

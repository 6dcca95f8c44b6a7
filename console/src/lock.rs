//! One master a home: `run/master.lock` is held as long as one runs, in whatever process. And one command at a
//! time that begins or ends roles: `run/control.lock`.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conf::Home;
use conf::home::Role;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::sleep;

use crate::exit::Failure;
use crate::roles;

/// How long another command may take to begin or end roles.
const CONTROL: Duration = Duration::from_secs(300);

/// Held until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Takes a role's lock; `None` when somebody else holds it.
pub(crate) fn try_take(home: &Home, role: Role) -> Result<Option<Lock>, Failure> {
    make_private(&home.run())?;
    try_lock(home.lock(role))
}

fn try_lock(path: PathBuf) -> Result<Option<Lock>, Failure> {
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

/// Held while roles begin or end, and while a dormant master answers: whoever else wants that waits until it is
/// done, and looks again. What `run/` says of the installation changes only under it, or by the role itself.
pub(crate) async fn control(home: &Home) -> Result<Lock, Failure> {
    make_private(&home.run())?;
    let end = Instant::now() + CONTROL;
    while Instant::now() < end {
        if let Some(lock) = try_lock(home.run().join("control.lock"))? {
            return Ok(lock);
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(Failure::new(format!(
        "another command begins or ends roles on {} and has not come to its end for {} s: look at that one first",
        home.root().display(),
        CONTROL.as_secs()
    )))
}

/// Nobody else has a master here that this process cannot see: in another container, or on another host.
pub(crate) async fn nobody_unseen(home: &Home) -> Result<(), Failure> {
    let seen = [Role::Master, Role::Import].iter().any(|role| roles::running(home, *role).is_some());
    if seen || take_soon(home, Role::Master).await?.is_some() {
        return Ok(());
    }
    Err(unseen(home))
}

/// A holder of the lock that no pid file names.
pub(crate) fn unseen(home: &Home) -> Failure {
    Failure::new(format!(
        "{} is in use by a process that cannot be seen from here (in another container, or on another host): end it there",
        home.root().display()
    ))
}

/// Makes a directory that only its owner may enter.
pub(crate) fn make_private(path: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::file("make the directory", path, &error))
}

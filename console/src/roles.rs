//! The processes and files in `run/`: tokens, addresses, pids.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use conf::Home;
use conf::home::Role;
use proto::channel::Token;

use crate::exit::Failure;
use crate::lock::make_private;

/// Makes a fresh token in `run/token`, readable by the owner alone.
pub(crate) fn make_token(home: &Home) -> Result<Token, Failure> {
    make_private(&home.run())?;
    sweep(&home.run());
    let token = Token::generate();
    write_private(&home.token(), token.expose())?;
    Ok(token)
}

/// Takes away files that processes which are gone did not come to rename.
fn sweep(run: &Path) {
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let path = entry.path();
        let pid = path.extension().and_then(|end| end.to_str()?.strip_prefix("tmp")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| pid != std::process::id() && started(pid).is_none()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The token that is there.
pub(crate) fn read_token(home: &Home) -> Option<Token> {
    Token::parse(&std::fs::read_to_string(home.token()).ok()?).ok()
}

/// The address in `run/<role>.address`.
pub(crate) fn read_address(home: &Home, role: Role) -> Option<SocketAddr> {
    std::fs::read_to_string(home.address(role)).ok()?.trim().parse().ok()
}

/// Says where a role listens.
pub(crate) fn write_address(home: &Home, role: Role, address: SocketAddr) -> Result<(), Failure> {
    write_private(&home.address(role), &address.to_string())
}

/// Says which process a role is: its pid and when it started, so that a later process of the same pid is not
/// taken for it.
pub(crate) fn write_pid(home: &Home, role: Role) -> Result<(), Failure> {
    let pid = std::process::id();
    write_private(&home.pid(role), &format!("{pid} {}", started(pid).unwrap_or_default()))
}

/// The living process of a role.
pub(crate) fn running(home: &Home, role: Role) -> Option<u32> {
    let text = std::fs::read_to_string(home.pid(role)).ok()?;
    let (pid, when) = text.trim().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    (started(pid)?.to_string() == when).then_some(pid)
}

/// Does this process end already? One that was killed is still there for a moment (proc(5), stat and status).
pub(crate) fn is_ending(pid: u32) -> bool {
    const EXITING: u64 = 0x4;
    const KILL: u64 = 1 << 8;
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (stat, status) = (read("stat"), read("status"));
    let flags =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    let pending =
        status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    let mut pending = pending.filter_map(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    flags.is_some_and(|flags| flags & EXITING != 0) || pending.any(|bits| bits & KILL != 0)
}

/// Takes away what says that a role runs.
pub(crate) fn remove(home: &Home, role: Role) {
    let _ = std::fs::remove_file(home.pid(role));
    let _ = std::fs::remove_file(home.address(role));
}

/// Start time in ticks since boot, of a process that is neither gone nor a zombie (proc(5), stat).
fn started(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Whole or not at all: a temporary name, then a rename.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| Failure::file("write", path, &error))
}

//! What every process does first: where its log lines go, and what the signals mean.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::home::{Home, Role};

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTo {
    /// `logs/<role>.log` of this home; the directory is made, for its owner alone. Lines are appended.
    File(Home, Role),
    /// The terminal's error output. Never the standard output: that is for results.
    Stderr,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The file cannot be written.
    #[error("cannot write the log {path}: {source}; check the directory's owner and the disk's space")]
    Log {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something set up a log before.
    #[error("the log is set up already")]
    Twice,
}

/// Starts logging for the whole process. `level` is `SysConf::log_level`; each `-v` on the command line
/// (`verbose`) raises it, to debug and then to trace of our own modules.
///
/// # Errors
/// The file cannot be written, or logging had been started.
pub fn logging(to: &LogTo, level: &str, verbose: u8) -> Result<(), BootError> {
    // What the subscriber says of its own trouble it prints, and a print that fails panics.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_env_filter(filter(level, verbose)).with_ansi(false);
    let started = match to {
        LogTo::Stderr => builder.with_writer(io::stderr).try_init(),
        LogTo::File(home, role) => {
            let path = home.log(*role);
            let file = DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(home.logs())
                .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
                .map_err(|source| BootError::Log { path, source })?;
            builder.with_writer(Mutex::new(Lines { to: file, lost: 0 })).try_init()
        }
    };
    started.map_err(|_| BootError::Twice)
}

/// A log whose disk is full loses lines, says how many when there is room again, and stops nothing.
struct Lines<W> {
    to: W,
    lost: u64,
}

impl<W: Write> Write for Lines<W> {
    /// One call a line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lost > 0 {
            // The last line that was lost may stand there in part.
            let said = writeln!(self.to, "\n{} log lines were lost: they could not be written", self.lost);
            self.lost = if said.is_ok() { 0 } else { self.lost };
        }
        if self.lost > 0 || self.to.write_all(line).is_err() {
            self.lost += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.to.flush();
        Ok(())
    }
}

/// Libraries stay at their own level when ours is raised: their debug lines carry headers.
fn filter(level: &str, verbose: u8) -> EnvFilter {
    const OURS: [&str; 8] = ["brigade", "conf", "console", "master", "proto", "storage", "tracker", "worker"];
    let level = match verbose {
        0 => level,
        1 => "debug",
        _ => "trace",
    };
    if !matches!(level, "debug" | "trace") {
        return EnvFilter::new(level);
    }
    let ours = OURS.map(|module| format!("{module}={level}")).join(",");
    EnvFilter::new(format!("info,{ours}"))
}

/// Waits for SIGINT and SIGTERM. The first cancels `shutdown`, after which everything drains; a second one
/// ends the process at once (status 130 or 143), which loses nothing that was answered. Returns when
/// `shutdown` is cancelled from elsewhere and `drained` as well: give it a task of its own and cancel
/// `drained` when all is done.
///
/// # Errors
/// The system refuses to tell us of signals.
pub async fn signals(shutdown: CancellationToken, drained: CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let status = tokio::select! {
            () = drained.cancelled() => return Ok(()),
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        if shutdown.is_cancelled() {
            std::process::exit(status);
        }
        tracing::info!("asked to stop: no new work is taken, what is under way is finished or given back");
        shutdown.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::{Lines, filter, signals};
    use tokio_util::sync::CancellationToken;

    /// Has room for so many bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.1 - self.0.len());
            self.0.extend_from_slice(bytes.split_at(fits).0);
            if fits == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_log_lines_that_are_counted_and_nothing_else() {
        let mut lines = Lines { to: Disk(Vec::new(), 8), lost: 0 };
        for line in ["one\n", "two two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(lines.to.0, b"one\ntwo ");
        lines.to.1 = 1000;
        lines.write_all(b"four\n").unwrap();
        assert_eq!(
            String::from_utf8(lines.to.0).unwrap(),
            "one\ntwo \n2 log lines were lost: they could not be written\nfour\n"
        );
    }

    #[test]
    fn a_raised_level_is_ours_alone() {
        assert_eq!(filter("warn", 0).to_string(), "warn");
        let raised = filter("info", 1).to_string();
        assert!(raised.contains("storage=debug") && raised.contains("info"), "{raised}");
        assert!(filter("trace", 0).to_string().contains("worker=trace"));
        assert!(filter("warn,storage=debug", 0).to_string().contains("storage=debug"));
    }

    #[tokio::test]
    async fn the_first_signal_asks_everything_to_stop() {
        let (shutdown, drained) = (CancellationToken::new(), CancellationToken::new());
        // The handler is in place before the signal is sent: polling once registers it.
        let mut waiting = std::pin::pin!(signals(shutdown.clone(), drained.clone()));
        assert!(futures_poll_once(waiting.as_mut()).await.is_none());
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
        tokio::select! {
            ended = &mut waiting => panic!("it ended: {ended:?}"),
            () = shutdown.cancelled() => {}
        }
        drained.cancel();
        waiting.await.unwrap();
    }

    async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = &mut future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}

//! Where log lines go: to the role's file, never to standard output.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// Appends log lines to `file`. Once a process; later calls change nothing.
pub(crate) fn to_file(file: &Path, level: &str, verbose: u8) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        crate::lock::make_private(folder)?;
    }
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let opened = opened.map_err(|error| Failure::file("write the log", file, &error))?;
    let level = match verbose {
        0 => level,
        1 => "debug",
        _ => "trace",
    };
    // Libraries below us say more than anybody wants at the finer levels.
    let filter = format!("{level},h2=warn,hyper=warn,hyper_util=warn,tower=warn,sled=warn,rustls=warn");
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let made =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(opened));
    let _ = made.try_init();
    Ok(())
}

//! The `brigade` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    console::run(std::env::args_os())
}

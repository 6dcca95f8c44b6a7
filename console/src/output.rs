//! The only place that prints: text for people, one JSON document for programs. Log lines never come here.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the one place")]

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use proto::text::is_hostile;
use serde::Serialize;
use serde_json::json;

use crate::cli::Format;
use crate::exit::{Exit, Failure};

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Output { format }
    }

    /// Programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The result, for people. Nothing in JSON mode.
    pub(crate) fn text(&self, text: &str) {
        if !self.is_json() {
            let _ = writeln!(std::io::stdout(), "{}", printable(text));
        }
    }

    /// The result, for programs. Nothing in text mode. Once a command.
    pub(crate) fn json(&self, value: &impl Serialize) {
        if self.is_json() {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// One line of raw output, in either mode.
    pub(crate) fn raw(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// What a person should know on the way: to standard error.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", printable(text));
    }

    /// May a live display be drawn?
    pub(crate) fn is_live(&self) -> bool {
        !self.is_json() && std::io::stderr().is_terminal()
    }

    /// Asks; the end of the input is `None`. The answer is read in a thread of its own, so that a signal is
    /// heard at the question too.
    pub(crate) async fn ask(&self, question: &str) -> Option<String> {
        let mut err = std::io::stderr();
        let _ = write!(err, "{question} ");
        let _ = err.flush();
        let read = || {
            let mut line = String::new();
            let n = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
            (n > 0).then(|| line.trim().to_lowercase())
        };
        let answer = tokio::task::spawn_blocking(read).await.ok().flatten();
        if answer.is_none() {
            let _ = writeln!(err);
        }
        answer
    }

    /// Asks for a yes; anything else, and the end of the input, is no.
    pub(crate) async fn agrees(&self, question: &str) -> bool {
        matches!(self.ask(&format!("{question} [y/N]")).await.as_deref(), Some("y" | "yes"))
    }

    /// The failure, and its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.note(&format!("brigade: {failure}"));
        self.json(&json!({ "error": failure.message, "exit": failure.exit as u8 }));
        failure.exit.into()
    }
}

/// What a bucket or a service says must not command a terminal: control characters are shown as `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if is_hostile(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Help and version are answers; anything else is a usage error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_that_a_service_says_commands_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\rb\u{9b}c\u{7f}"), "a\\u{1b}[31m\\u{d}b\\u{9b}c\\u{7f}");
        assert_eq!(printable("größe\n  数据 😀"), "größe\n  数据 😀");
    }
}

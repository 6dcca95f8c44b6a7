//! Typed values out of the raw form: what is not one is a problem, what was not given is `None`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keys;
use crate::problem::Problems;
use crate::raw::{Given, Raw, Value};
use crate::secret::Secret;
use crate::units::{ByteRate, ByteSize, parse_duration, show_duration};

/// Reads values of one file.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    /// Relative paths are taken from here.
    pub(super) base: &'a Path,
    pub(super) problems: &'a mut Problems,
}

impl Given {
    /// Given and empty.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Text(text) if text.is_empty())
    }

    /// Given as text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.value, Value::Text(_))
    }

    /// For messages; never called for secrets.
    fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{text:?}"),
            Value::Number(number) => number.to_string(),
            Value::Switch(switch) => switch.to_string(),
            Value::File(file) => format!("{{ file = {file:?} }}"),
            Value::Pairs(_) => "a table".to_owned(),
            Value::Other(kind) => format!("an {kind}").replace("an t", "a t").replace("an f", "a f"),
        }
    }
}

impl Reader<'_> {
    /// An error about a key that was given.
    pub(super) fn bad(&mut self, section: &str, name: &str, what: &str) {
        let (line, said) = self.place(section, name);
        self.problems.error(line, format!("`{said}` {what}"));
    }

    /// A warning about a key that was given.
    pub(super) fn odd(&mut self, section: &str, name: &str, what: &str) {
        let (line, said) = self.place(section, name);
        self.problems.warn(line, format!("`{said}` {what}"));
    }

    /// An error about a key that was not given (or given empty).
    pub(super) fn missing(&mut self, section: &str, name: &str, message: &str) {
        let (line, said) = self.place(section, name);
        if let Some((field, line)) = self.raw.aliased(&keys::dotted(section, name)) {
            let what = message.split(':').next().unwrap_or_default();
            return self
                .problems
                .error(line, format!("`{field}` is missing or empty ({what}): add a line {field}=..."));
        }
        let given = line.map(|_| format!("`{said}` is empty: ")).unwrap_or_default();
        self.problems.error(line, format!("{given}{message}"));
    }

    fn place(&self, section: &str, name: &str) -> (Option<usize>, String) {
        match self.raw.get(section, name) {
            Some(given) => (given.line, given.said.clone()),
            None => (None, keys::dotted(section, name)),
        }
    }

    fn parsed<T>(
        &mut self,
        section: &str,
        name: &str,
        wanted: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let given = self.raw.get(section, name)?;
        let parsed = parse(&given.value);
        if parsed.is_none() {
            self.bad(section, name, &format!("is {}: write {wanted}", given.shown()));
        }
        parsed
    }

    pub(super) fn text(&mut self, section: &str, name: &str) -> Option<String> {
        self.parsed(section, name, "a text in double quotes", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A table of texts, or the same as one text: `"A=B, C=D"`.
    pub(super) fn pairs(&mut self, section: &str, name: &str) -> Option<Vec<(String, String)>> {
        let wanted = "a table of texts such as { STANDARD_IA = \"IA\", GLACIER = \"Archive\" }";
        self.parsed(section, name, wanted, |value| match value {
            Value::Pairs(pairs) => Some(pairs.clone()),
            Value::Text(text) if text.trim().is_empty() => Some(Vec::new()),
            Value::Text(text) => {
                let pair = |pair: &str| {
                    let (from, to) = pair.split_once('=')?;
                    Some((from.trim().to_owned(), to.trim().to_owned()))
                };
                text.split(',').map(pair).collect()
            }
            _ => None,
        })
    }

    pub(super) fn switch(&mut self, section: &str, name: &str) -> Option<bool> {
        self.parsed(section, name, "true or false", |value| match value {
            Value::Switch(switch) => Some(*switch),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }

    pub(super) fn number(&mut self, section: &str, name: &str, least: i64, most: i64) -> Option<i64> {
        let wanted = match most {
            i64::MAX => format!("a whole number from {least} on"),
            most => format!("a whole number from {least} to {most}"),
        };
        self.parsed(section, name, &wanted, |value| {
            match value {
                Value::Number(number) => Some(*number),
                Value::Text(text) => text.parse().ok(),
                _ => None,
            }
            .filter(|number| (least..=most).contains(number))
        })
    }

    /// A number that fits the field.
    pub(super) fn small(&mut self, section: &str, name: &str, least: u32, most: u32, default: u32) -> u32 {
        let number = self.number(section, name, least.into(), most.into());
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    }

    /// Any number from 0 on.
    pub(super) fn count(&mut self, section: &str, name: &str) -> Option<u64> {
        self.number(section, name, 0, i64::MAX).and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn size(&mut self, section: &str, name: &str, (least, most): (u64, u64)) -> Option<u64> {
        let wanted = format!("a size from {} to {}, such as \"64MiB\"", ByteSize(least), ByteSize(most));
        self.parsed(section, name, &wanted, |value| {
            match value {
                Value::Number(number) => u64::try_from(*number).ok(),
                Value::Text(text) => text.parse::<ByteSize>().ok().map(|size| size.0),
                _ => None,
            }
            .filter(|size| (least..=most).contains(size))
        })
    }

    pub(super) fn rate(&mut self, section: &str, name: &str) -> Option<u64> {
        self.parsed(section, name, "a rate such as \"50MiB/s\", or 0 for no limit", |value| match value {
            Value::Number(number) => u64::try_from(*number).ok(),
            Value::Text(text) => text.parse::<ByteRate>().ok().map(|rate| rate.0),
            _ => None,
        })
    }

    pub(super) fn duration(
        &mut self,
        section: &str,
        name: &str,
        (least, most): (Duration, Duration),
    ) -> Option<Duration> {
        let (from, to) = (show_duration(least), show_duration(most));
        let wanted = format!("a duration from {from} to {to}, such as \"30s\" or \"1h\"");
        self.parsed(section, name, &wanted, |value| {
            match value {
                Value::Number(number) => u64::try_from(*number).ok().map(Duration::from_secs),
                Value::Text(text) => parse_duration(text).ok(),
                _ => None,
            }
            .filter(|duration| (least..=most).contains(duration))
        })
    }

    /// Unix seconds.
    pub(super) fn time(&mut self, section: &str, name: &str) -> Option<i64> {
        let wanted = "Unix seconds or a time such as \"2026-01-31T00:00:00Z\"";
        self.parsed(section, name, wanted, |value| {
            match value {
                Value::Number(number) => Some(*number),
                Value::Text(text) => seconds(text),
                _ => None,
            }
            .filter(|seconds| *seconds >= 0)
        })
    }

    pub(super) fn choice<T: Copy>(&mut self, section: &str, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let Value::Text(text) = &self.raw.get(section, name)?.value else {
            self.text(section, name);
            return None;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| word == text) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let near = keys::nearest(text, words.iter().copied());
        let advice = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let what = format!("is {text:?}{advice}: write one of {}", words.join(", "));
        self.bad(section, name, &what);
        None
    }

    /// A path, made absolute; `None` also when it is empty.
    pub(super) fn path(&mut self, section: &str, name: &str) -> Option<PathBuf> {
        let text = self.text(section, name).filter(|text| !text.is_empty())?;
        if text.contains('\0') {
            self.bad(section, name, "has a NUL character in it: no path has");
            return None;
        }
        let drive =
            text.as_bytes().get(1) == Some(&b':') && text.starts_with(|c: char| c.is_ascii_alphabetic());
        // `\\\\server\\share`, or a path with backslashes alone: here it would be one long name below the file.
        let backward = text.starts_with('\\') || text.contains('\\') && !text.contains('/');
        if (drive || backward) && !cfg!(windows) {
            let what = format!(
                "is the Windows path {text:?}: give the path that the directory has on this machine, such as /mnt/data/"
            );
            self.bad(section, name, &what);
            return None;
        }
        if let Some(name_of_variable) = text.strip_prefix("~").map(|_| "HOME") {
            let what = format!(
                "begins with ~, which only a shell resolves: write the whole path ({name_of_variable} and what follows)"
            );
            self.bad(section, name, &what);
            return None;
        }
        Some(self.base.join(text))
    }

    /// A secret; its value never gets into a message.
    pub(super) fn secret(&mut self, section: &str, name: &str) -> Secret {
        let none = Secret::Literal(String::new());
        let Some(given) = self.raw.get(section, name) else { return none };
        match &given.value {
            Value::Text(text) => {
                let secret = Secret::parse(text);
                self.look_up(section, name, &secret);
                secret
            }
            Value::File(file) if !file.is_empty() => Secret::File(self.base.join(file)),
            _ => {
                self.bad(section, name, "is not a secret: write \"${NAME}\" for an environment variable, { file = \"...\" }, or the value in double quotes");
                none
            }
        }
    }

    fn look_up(&mut self, section: &str, name: &str, secret: &Secret) {
        let Secret::Env(variable) = secret else { return };
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if variable.is_empty() || !variable.chars().all(good) {
            self.bad(
                section,
                name,
                "names no environment variable: write \"${NAME}\" with letters, digits and _",
            );
        } else if std::env::var_os(variable).is_none() {
            let what = format!(
                "takes its value from the environment variable {variable}, which is not set here: set it before the job is started"
            );
            self.odd(section, name, &what);
        }
    }

    /// An address to listen on; loopback only, because nothing encrypts these calls.
    pub(super) fn address(&mut self, section: &str, name: &str) -> Option<SocketAddr> {
        let wanted = "an IP address and a port, such as \"127.0.0.1:7701\"";
        let address = self.parsed(section, name, wanted, |value| match value {
            Value::Text(text) => text.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>().ok(),
            _ => None,
        })?;
        if address.ip().is_loopback() {
            return Some(address);
        }
        let what = format!(
            "is {address}, which other machines can reach, and these calls are not encrypted: use 127.0.0.1 or [::1]"
        );
        self.bad(section, name, &what);
        None
    }
}

fn seconds(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

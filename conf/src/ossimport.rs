//! The predecessor's files, read into the same raw form as TOML, so that one set of checks serves both.

pub mod fields;
mod job;
pub(crate) mod properties;
mod sys;

use std::collections::BTreeMap;
use std::path::Path;

use crate::keys;
use crate::problem::Problems;
use crate::raw::{Given, Raw, Value};
use fields::Field;
pub(crate) use job::job;
use properties::Property;
pub(crate) use sys::sys;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// TOML.
    Toml,
    /// `job.cfg`, `local_job.cfg`.
    Job,
    /// `sys.properties`.
    Sys,
}

/// By content; where that says nothing, by the name.
pub(crate) fn detect(path: &Path, bytes: &[u8]) -> Format {
    let found = properties::parse(bytes);
    let count = |fields: &[Field]| {
        found.iter().filter(|property| fields.iter().any(|field| field.name == property.key)).count()
    };
    let (job, sys) = (count(fields::JOB), count(fields::SYS));
    let is_section = |schema: keys::Schema, line: &str| {
        schema.iter().any(|(section, _)| !section.is_empty() && line == format!("[{section}]"))
    };
    let sections = found
        .iter()
        .any(|property| is_section(keys::JOB, &property.key) || is_section(keys::SYS, &property.key));
    let old_name = path.extension().is_some_and(|extension| extension == "cfg" || extension == "properties");
    let toml_key = |name: &str| {
        [keys::JOB, keys::SYS]
            .iter()
            .flat_map(|schema| schema.iter())
            .any(|(_, keys)| keys.iter().any(|key| key.name == name))
    };
    let toml = sections || found.iter().any(|property| toml_key(&property.key));
    match (job, sys) {
        _ if sections => Format::Toml,
        (0, 0) if toml || !old_name => Format::Toml,
        (0, 0) if path.extension().is_some_and(|extension| extension == "properties") => Format::Sys,
        (job, sys) if sys > job => Format::Sys,
        _ => Format::Job,
    }
}

/// A file under translation.
struct Old<'a> {
    given: BTreeMap<&'static str, Property>,
    raw: Raw,
    problems: &'a mut Problems,
}

impl<'a> Old<'a> {
    /// Unknown keys are ignored with a warning, as in the original.
    fn new(bytes: &[u8], known: &'static [Field], problems: &'a mut Problems) -> Self {
        let mut given: BTreeMap<&'static str, Property> = BTreeMap::new();
        for property in properties::parse(bytes) {
            let (line, key) = (Some(property.line), property.key.clone());
            // Some people leave the unit out of the key.
            let name = if key == "workerMaxThroughput" { "workerMaxThroughput(KB/s)" } else { &key };
            let Some(field) = known.iter().find(|field| field.name == name) else {
                let near = keys::nearest(&key, known.iter().map(|field| field.name));
                let advice = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                problems.warn(line, format!("unknown key `{key}` is ignored{advice}"));
                continue;
            };
            if let Some(before) = given.insert(field.name, property) {
                problems.warn(
                    line,
                    format!("`{key}` was given in line {} already: this one counts", before.line),
                );
            }
        }
        let mut raw = Raw::default();
        for field in known.iter().filter(|field| !field.becomes.is_empty()) {
            let line = given.get(field.name).map(|property| property.line);
            raw.alias(field.becomes, field.name, line);
        }
        Old { given, raw, problems }
    }

    /// The value, when one is given and not empty.
    fn value(&self, name: &str) -> Option<String> {
        self.given.get(name).map(|property| property.value.clone()).filter(|value| !value.is_empty())
    }

    fn line(&self, name: &str) -> Option<usize> {
        self.given.get(name).map(|property| property.line)
    }

    fn error(&mut self, name: &str, what: &str) {
        self.problems.error(self.line(name), format!("`{name}` {what}"));
    }

    fn warn(&mut self, name: &str, what: &str) {
        self.problems.warn(self.line(name), format!("`{name}` {what}"));
    }

    /// The key of the raw form gets this value, said by that field.
    fn put(&mut self, section: &'static str, key: &'static str, name: &str, value: impl Into<String>) {
        let given = Given { value: Value::Text(value.into()), line: self.line(name), said: name.to_owned() };
        self.raw.set(section, key, given);
    }

    /// A field whose value means the same in both files.
    fn carry(&mut self, name: &str, section: &'static str, key: &'static str) {
        if let Some(value) = self.value(name) {
            self.put(section, key, name, value);
        }
    }

    /// The same, with the predecessor's default when it is not given.
    fn carry_or(&mut self, name: &str, section: &'static str, key: &'static str, default: &str) {
        let value = self.value(name).unwrap_or_else(|| default.to_owned());
        self.put(section, key, name, value);
    }

    fn switch(&mut self, name: &str, default: bool) -> bool {
        match self.value(name) {
            None => default,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => {
                self.error(name, &format!("is {value:?}: write true or false"));
                default
            }
        }
    }

    /// A whole number; more than `most` becomes `most` with a warning.
    fn at_most(&mut self, name: &str, section: &'static str, key: &'static str, most: u64) {
        let Some(value) = self.value(name) else { return };
        match value.parse::<u64>() {
            Ok(number) if number > most => {
                self.warn(name, &format!("is {number}, more than this may be: {most} is used"));
                self.put(section, key, name, most.to_string());
            }
            _ => self.put(section, key, name, value),
        }
    }
}

#[cfg(test)]
mod tests;

//! The shape of a file: which keys were given, with which values, on which lines. No rules yet, except that
//! every key is a known one. TOML and the predecessor's properties both end in this form.

mod rules;

use std::collections::BTreeMap;

use toml_edit::{Document, Item, TableLike};

use crate::keys::{self, Schema};
use crate::ossimport::fields;
use crate::problem::Problems;
pub(crate) use rules::{RawRule, Spot};

/// The values of a file by section and key.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    given: BTreeMap<(&'static str, &'static str), Given>,
    /// Dotted key to the field of the predecessor's file that would set it.
    aliases: BTreeMap<&'static str, (&'static str, Option<usize>)>,
    /// `[[rename]]`.
    pub(crate) renames: Vec<RawRule>,
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) line: Option<usize>,
    /// The key as the user wrote it, for messages.
    pub(crate) said: String,
}

/// A value as the file has it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Switch(bool),
    /// `{ file = "…" }`.
    File(String),
    /// A table whose values are texts.
    Pairs(Vec<(String, String)>),
    /// Nothing that any key takes: an array, a float.
    Other(&'static str),
}

impl Raw {
    pub(crate) fn get(&self, section: &str, name: &str) -> Option<&Given> {
        self.given.iter().find(|((s, n), _)| *s == section && *n == name).map(|(_, given)| given)
    }

    pub(crate) fn set(&mut self, section: &'static str, name: &'static str, given: Given) {
        self.given.insert((section, name), given);
    }

    /// In this file the dotted key is said by that field, which stands (perhaps empty) on that line.
    pub(crate) fn alias(&mut self, dotted: &'static str, field: &'static str, line: Option<usize>) {
        self.aliases.insert(dotted, (field, line));
    }

    /// The field that would set the dotted key, in a file of the predecessor.
    pub(crate) fn aliased(&self, dotted: &str) -> Option<(&'static str, Option<usize>)> {
        self.aliases.get(dotted).copied()
    }

    /// Every key that was given.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&'static str, &'static str, &Given)> {
        self.given.iter().map(|((section, name), given)| (*section, *name, given))
    }
}

/// Reads TOML. Unknown keys and sections are errors; so is each line that is not TOML at all.
/// `None` when the shape is broken, so that later checks would only say nonsense.
pub(crate) fn read(text: &str, schema: Schema, problems: &mut Problems) -> Option<Raw> {
    let (document, text) = parse(text, problems)?;
    let mut reader = Reader { text: &text, schema, problems, raw: Raw::default() };
    reader.table("", document.as_table());
    Some(reader.raw)
}

/// Parses; a line that is no TOML is reported and left out, so that all such lines are found.
fn parse(text: &str, problems: &mut Problems) -> Option<(Document<String>, String)> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let mut broken = false;
    for _ in 0..50 {
        let text = lines.join("\n");
        let error = match Document::parse(text.clone()) {
            Ok(document) => return (!broken).then_some((document, text)),
            Err(error) => error,
        };
        broken = true;
        let line = error.span().map(|span| line_of(&text, span.start));
        let what = error.message().trim_end().replace('\n', "; ");
        problems
            .error(line, format!("this is not TOML: {what}. Text stands in double quotes: key = \"value\""));
        match line.and_then(|line| lines.get_mut(line - 1)) {
            // Without its header a section's keys would be taken for another's.
            Some(line) if !line.is_empty() && !line.trim_start().starts_with('[') => *line = "",
            _ => return None,
        }
    }
    None
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

struct Reader<'a> {
    text: &'a str,
    schema: Schema,
    problems: &'a mut Problems,
    raw: Raw,
}

impl Reader<'_> {
    fn table(&mut self, section: &'static str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let span = table.get_key_value(name).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let line = span.map(|span| line_of(self.text, span.start));
            self.entry(section, name, item, line);
        }
    }

    fn entry(&mut self, section: &'static str, name: &str, item: &Item, line: Option<usize>) {
        if section.is_empty() && name == "rename" && keys::section(self.schema, name).is_some() {
            self.raw.renames = rules::read(self.text, item, line, self.problems);
            return;
        }
        if section.is_empty()
            && let Some((inner, _)) = keys::section(self.schema, name)
        {
            match item.as_table_like() {
                Some(table) => return self.table(inner, table),
                None => {
                    return self
                        .problems
                        .error(line, format!("`{name}` is a section: write [{name}] above its keys"));
                }
            }
        }
        let known = keys::section(self.schema, section).map_or(&[][..], |(_, keys)| keys);
        match known.iter().find(|key| key.name == name) {
            Some(key) => {
                let said = keys::dotted(section, name);
                self.raw.set(section, key.name, Given { value: value(item), line, said });
            }
            None => {
                let message = self.unknown(section, name, item);
                self.problems.error(line, message);
            }
        }
    }

    /// Says what was probably meant: a key of the same section, a section, or a key of another section.
    fn unknown(&self, section: &'static str, name: &str, item: &Item) -> String {
        let is_section = item.as_table_like().is_some();
        let what = if is_section { "section" } else { "key" };
        let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
        let own = keys::section(self.schema, section).map_or(&[][..], |(_, keys)| keys);
        let sections = self.schema.iter().map(|(section, _)| *section).filter(|name| !name.is_empty());
        if is_section && section.is_empty() {
            let near = keys::nearest(name, sections);
            let advice = near.map(|near| format!("; did you mean [{near}]?"));
            return format!("unknown section [{name}]{}", advice.unwrap_or_else(|| self.all_sections()));
        }
        if let Some(field) = fields::find(name).filter(|field| !field.becomes.is_empty()) {
            return format!(
                "unknown {what} `{name}`{place}: that is the predecessor's name; in TOML it is `{}`",
                field.becomes
            );
        }
        let elsewhere = self.schema.iter().find(|(_, keys)| keys.iter().any(|key| key.name == name));
        if let Some((other, _)) = elsewhere {
            let place_of =
                if other.is_empty() { "above the first section".to_owned() } else { format!("in [{other}]") };
            return format!("unknown {what} `{name}`{place}; it belongs {place_of}");
        }
        match keys::nearest(name, own.iter().map(|key| key.name)) {
            Some(near) => format!("unknown {what} `{name}`{place}; did you mean `{near}`?"),
            None => {
                let all = self
                    .schema
                    .iter()
                    .flat_map(|(section, keys)| keys.iter().map(move |key| (*section, key.name)));
                let near = keys::nearest(name, all.clone().map(|(_, name)| name));
                let near = near.and_then(|near| all.clone().find(|(_, name)| *name == near));
                let advice =
                    near.map(|(section, name)| format!("; did you mean `{}`?", keys::dotted(section, name)));
                format!(
                    "unknown {what} `{name}`{place}{}",
                    advice.unwrap_or_else(|| "; remove it".to_owned())
                )
            }
        }
    }

    fn all_sections(&self) -> String {
        let names: Vec<_> = self
            .schema
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, _)| format!("[{name}]"))
            .collect();
        format!("; there are {}", names.join(" "))
    }
}

fn value(item: &Item) -> Value {
    if let Some(text) = item.as_str() {
        return Value::Text(text.to_owned());
    }
    if let Some(number) = item.as_integer() {
        return Value::Number(number);
    }
    if let Some(switch) = item.as_bool() {
        return Value::Switch(switch);
    }
    if let Some(time) = item.as_datetime() {
        return Value::Text(time.to_string());
    }
    if let Some(table) = item.as_table_like().filter(|table| !table.contains_key("file")) {
        let pair = |(name, item): (&str, &Item)| Some((name.to_owned(), item.as_str()?.to_owned()));
        if let Some(pairs) = table.iter().map(pair).collect() {
            return Value::Pairs(pairs);
        }
    }
    let file = item.as_table_like().filter(|table| table.len() == 1).and_then(|table| table.get("file"));
    match file.and_then(Item::as_str) {
        Some(file) => Value::File(file.to_owned()),
        None => Value::Other(item.type_name()),
    }
}

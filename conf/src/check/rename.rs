//! The rules of `[[rename]]`: patterns that are none and references to no group are told by line and column.

use super::reader::Reader;
use crate::raw::{RawRule, Spot};
use crate::rename::{BadRule, Rename};

/// Rules of a job. More would be a table, not rules.
const MOST: usize = 1000;

/// All rules; what is wrong with any of them is reported.
pub(super) fn check(read: &mut Reader<'_>) -> Vec<Rename> {
    let raw = read.raw;
    if raw.renames.len() > MOST {
        let line = raw.renames.get(MOST).and_then(|rule| rule.line);
        read.problems
            .error(line, format!("there are more than {MOST} [[rename]] rules: put what is alike into one"));
    }
    raw.renames.iter().filter_map(|rule| rule_of(read, rule)).collect()
}

fn rule_of(read: &mut Reader<'_>, rule: &RawRule) -> Option<Rename> {
    for (name, given) in [("match", &rule.pattern), ("to", &rule.to)] {
        if given.is_none() {
            let message = format!("this [[rename]] has no `{name}`: a rule has both, `match` and `to`");
            read.problems.error(rule.line, message);
        }
    }
    let (pattern, to) = (rule.pattern.as_ref()?, rule.to.as_ref()?);
    if pattern.text.is_empty() {
        let (line, _) = pattern.place(None);
        let message = "`rename.match` is empty, which matches before every character: write '^' to add something in front";
        read.problems.error(Some(line), message);
        return None;
    }
    let rename = Rename { pattern: pattern.text.clone(), to: to.text.clone() };
    let (spot, name, at, what): (&Spot, _, _, _) = match rename.compile() {
        Ok(_) => return Some(rename),
        Err(BadRule::Pattern { at, what }) => {
            (pattern, "match", at, format!("is no regular expression: {what}"))
        }
        Err(BadRule::Replacement { at, what }) => (to, "to", Some(at), what),
    };
    let (line, column) = spot.place(at);
    read.problems.error(Some(line), format!("`rename.{name}` {what} (column {column})"));
    None
}

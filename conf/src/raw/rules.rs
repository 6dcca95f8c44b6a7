//! `[[rename]]`: a list of tables, which no other section is. Keeps where each text stands in the file, so that a
//! place inside of it can be told by line and column.

use toml_edit::{Item, TableLike};

use super::line_of;
use crate::keys;
use crate::problem::Problems;

/// One `[[rename]]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawRule {
    /// Where it begins.
    pub(crate) line: Option<usize>,
    pub(crate) pattern: Option<Spot>,
    pub(crate) to: Option<Spot>,
}

/// A text, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) text: String,
    /// The value as the file has it.
    raw: String,
    line: usize,
    /// Of the value's begin, from 1.
    column: usize,
}

impl Spot {
    fn new(file: &str, text: &str, start: usize, end: usize) -> Self {
        let before = file.get(..start).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let raw = file.get(start..end).unwrap_or_default().to_owned();
        Spot { text: text.to_owned(), raw, line: line_of(file, start), column }
    }

    /// Line and column of the value, or of a byte of its text.
    pub(crate) fn place(&self, at: Option<usize>) -> (usize, usize) {
        let Some(at) = at else { return (self.line, self.column) };
        let before = self.raw.get(..self.offset(at)).unwrap_or(&self.raw);
        match before.rsplit_once('\n') {
            None => (self.line, self.column + before.chars().count()),
            Some((above, own)) => (self.line + above.matches('\n').count() + 1, own.chars().count() + 1),
        }
    }

    /// Bytes of the value before this byte of its text: the quotes, and escapes as they are written.
    fn offset(&self, at: usize) -> usize {
        let quote = self.raw.chars().next().unwrap_or('"');
        let triple = quote.to_string().repeat(3);
        let mut from = if self.raw.starts_with(&triple) && self.raw.len() >= 6 { 3 } else { 1 };
        if from == 3 && self.raw.get(from..).is_some_and(|rest| rest.starts_with('\n')) {
            from += 1;
        }
        if quote == '\'' {
            return from + at;
        }
        let (mut text, mut raw) = (0, self.raw.get(from..).unwrap_or_default().chars());
        while text < at {
            let Some(c) = raw.next() else { break };
            if c != '\\' {
                text += c.len_utf8();
                continue;
            }
            let digits = match raw.next() {
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                _ => 0,
            };
            let code: String = raw.by_ref().take(digits).collect();
            let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
            text += code.map_or(1, char::len_utf8);
        }
        self.raw.len() - raw.as_str().len()
    }
}

/// The rules of `[[rename]]`, in their order.
pub(super) fn read(file: &str, item: &Item, line: Option<usize>, problems: &mut Problems) -> Vec<RawRule> {
    let tables: Vec<&dyn TableLike> = match item {
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table as &dyn TableLike).collect(),
        Item::Value(toml_edit::Value::Array(list)) if list.iter().all(toml_edit::Value::is_inline_table) => {
            list.iter()
                .filter_map(|value| value.as_inline_table().map(|table| table as &dyn TableLike))
                .collect()
        }
        _ => {
            problems.error(
                line,
                "`rename` is a list of rules: write [[rename]], with two brackets, above each of them",
            );
            return Vec::new();
        }
    };
    tables.into_iter().map(|table| rule(file, table, line, problems)).collect()
}

fn rule(file: &str, table: &dyn TableLike, line: Option<usize>, problems: &mut Problems) -> RawRule {
    let mut rule = RawRule { line, ..RawRule::default() };
    for (at, (name, item)) in table.iter().enumerate() {
        let key = table.get_key_value(name).and_then(|(key, _)| key.span());
        let own = key.map(|span| line_of(file, span.start)).or(line);
        if at == 0 {
            rule.line = own;
        }
        let place = match name {
            "match" => &mut rule.pattern,
            "to" => &mut rule.to,
            other => {
                let near = keys::nearest(other, ["match", "to"].into_iter());
                let advice = near.map_or("; a rule has `match` and `to`".to_owned(), |near| {
                    format!("; did you mean `{near}`?")
                });
                problems.error(own, format!("unknown key `{other}` in [[rename]]{advice}"));
                continue;
            }
        };
        match (item.as_str(), item.span()) {
            (Some(text), Some(span)) => *place = Some(Spot::new(file, text, span.start, span.end)),
            _ => {
                problems.error(
                    own,
                    format!("`rename.{name}` is no text: write it in quotes, best in single ones: '^a/(.*)'"),
                );
                // Something was given: that nothing was would be a second complaint.
                *place = Some(Spot::new(file, "", 0, 0));
            }
        }
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(value: &str) -> (Spot, String) {
        let file = format!("a = 1\nb = {value}\n");
        let document = toml_edit::Document::parse(file.clone()).unwrap();
        let item = document.as_table().get("b").unwrap();
        let (text, span) = (item.as_str().unwrap().to_owned(), item.span().unwrap());
        (Spot::new(&file, &text, span.start, span.end), text)
    }

    #[test]
    fn a_byte_of_a_text_has_its_place_in_the_file() {
        for (value, needle, place) in [
            ("'ab(c'", "(", (2, 8)),
            (r#""ab(c""#, "(", (2, 8)),
            (r#""\\d\u00e9(c""#, "(", (2, 15)),
            (r#""\td(c""#, "(", (2, 9)),
            ("'''ab(c'''", "(", (2, 10)),
            ("'''\nab(c'''", "(", (3, 3)),
            ("'é('", "(", (2, 7)),
        ] {
            let (spot, text) = spot(value);
            assert_eq!(spot.place(text.find(needle)), place, "{value}");
            assert_eq!(spot.place(None), (2, 5));
        }
    }
}

//! The mapping of keys: what a key below the source's prefix is called below the destination's. The one home of it.
//!
//! A job has rules (`[[rename]]`), each a regular expression and what takes its place. They are applied in their
//! order, each to what the one before it made, and each to every match in the key. Without a rule the key stays as
//! it is. The mapping is total: a key, or a refusal that says why. Whether two keys became the same one is a
//! question to all keys together; the scan answers it.

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Bytes that a rule may make of a key. No service takes as many.
const LONGEST: usize = 4096;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// A regular expression in the syntax of the `regex` crate: no look-around, no back-references, linear time.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Takes the place of each match: `$1`, `${name}`, and `$$` for a dollar sign.
    pub to: String,
}

/// All rules of a job, compiled.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    rules: Vec<(Regex, String)>,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// It keeps its name.
    Same,
    /// It gets this one.
    To(String),
    /// It cannot be written; a full sentence for the record.
    Refused(String),
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The pattern is no regular expression.
    #[error("`match` is no regular expression: {what}")]
    Pattern {
        /// The byte of the pattern where it goes wrong, where that is known.
        at: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// The replacement names what the pattern does not have.
    #[error("`to` {what}")]
    Replacement {
        /// The byte of the replacement where it goes wrong.
        at: usize,
        /// What is wrong, and what to write.
        what: String,
    },
}

// === impl Rename ===

impl Rename {
    /// The rule, compiled and checked.
    pub(crate) fn compile(&self) -> Result<Regex, BadRule> {
        // It says where the pattern goes wrong; the matcher only says that.
        if let Err(error) = regex_syntax::Parser::new().parse(&self.pattern) {
            return Err(pattern_error(&error));
        }
        let regex = Regex::new(&self.pattern)
            .map_err(|error| BadRule::Pattern { at: None, what: error.to_string() })?;
        check_groups(&regex, &self.to)?;
        Ok(regex)
    }
}

fn pattern_error(error: &regex_syntax::Error) -> BadRule {
    let (at, what) = match error {
        regex_syntax::Error::Parse(error) => (Some(error.span().start.offset), error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (Some(error.span().start.offset), error.kind().to_string()),
        error => (None, error.to_string()),
    };
    BadRule::Pattern { at, what }
}

/// Each reference has its group. What the `regex` crate would take for an empty text is refused.
fn check_groups(regex: &Regex, to: &str) -> Result<(), BadRule> {
    let bad = |at, what: String| Err(BadRule::Replacement { at, what });
    let mut rest = to;
    while let Some(dollar) = rest.find('$') {
        let at = to.len() - rest.len() + dollar;
        let after = &rest[dollar + 1..];
        if let Some(more) = after.strip_prefix('$') {
            rest = more;
            continue;
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, more) = match after.strip_prefix('{') {
            Some(inner) => match inner.split_once('}') {
                Some(named) => named,
                None => return bad(at, "has a ${ without its }".to_owned()),
            },
            None => after.split_at(after.find(|c| !word(c)).unwrap_or(after.len())),
        };
        if name.is_empty() {
            return bad(at, "has a $ that names no group: write $1, ${name}, or $$ for a dollar sign".into());
        }
        let known = match name.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            return bad(at, unknown_group(regex, name));
        }
        rest = more;
    }
    Ok(())
}

fn unknown_group(regex: &Regex, name: &str) -> String {
    let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    let (number, tail) = name.split_at(digits);
    if !number.is_empty() && !tail.is_empty() {
        return format!("names a group {name:?}, which `match` does not have: write ${{{number}}}{tail}");
    }
    let groups: Vec<String> = regex
        .capture_names()
        .enumerate()
        .skip(1)
        .map(|(at, name)| name.map_or_else(|| format!("${at}"), |name| format!("${{{name}}}")))
        .collect();
    let there = if groups.is_empty() {
        "it has no group".to_owned()
    } else {
        format!("it has {}", groups.join(", "))
    };
    format!("names a group {name:?}, which `match` does not have ({there})")
}

// === impl Mapping ===

impl Mapping {
    /// Compiles the rules.
    ///
    /// # Errors
    /// The first rule that cannot be used, which a checked job does not have.
    pub fn new(rules: &[Rename]) -> Result<Self, BadRule> {
        let compiled = |rule: &Rename| Ok((rule.compile()?, rule.to.clone()));
        Ok(Mapping { rules: rules.iter().map(compiled).collect::<Result<_, _>>()? })
    }

    /// Every key keeps its name.
    pub fn is_identity(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of a key below the source's prefix.
    pub fn map(&self, key: &str) -> Mapped {
        let mut now = key.to_owned();
        for (regex, to) in &self.rules {
            let next = regex.replace_all(&now, to.as_str()).into_owned();
            if next.len() > LONGEST {
                return Mapped::Refused(format!(
                    "the rename rules make a key of {} bytes of it, and no service takes as many. Change the rules \
                     in a new job.",
                    next.len()
                ));
            }
            now = next;
        }
        if now == key {
            return Mapped::Same;
        }
        if now.is_empty() {
            let why = "the rename rules leave nothing of its key. Change the rules in a new job.";
            return Mapped::Refused(why.to_owned());
        }
        Mapped::To(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(pattern: &str, to: &str) -> Rename {
        Rename { pattern: pattern.into(), to: to.into() }
    }

    fn mapped(rules: &[(&str, &str)], key: &str) -> Mapped {
        let rules: Vec<Rename> = rules.iter().map(|(pattern, to)| rule(pattern, to)).collect();
        Mapping::new(&rules).unwrap().map(key)
    }

    #[test]
    fn rules_are_applied_one_after_the_other_to_every_match() {
        let to = |key: &str| Mapped::To(key.to_owned());
        assert_eq!(mapped(&[(r"(\d+)-(\d+)", "$2/$1")], "a/2025-11.jpg"), to("a/11/2025.jpg"));
        assert_eq!(mapped(&[("^old/", "new/"), (" ", "_")], "old/a b c"), to("new/a_b_c"));
        assert_eq!(mapped(&[("^a$", "b"), ("^b$", "c")], "a"), to("c"));
        assert_eq!(mapped(&[("^(?P<year>[0-9]{4})", "y${year}$$")], "2025/x"), to("y2025$/x"));
        assert_eq!(mapped(&[("^x/", "")], "a/x/"), Mapped::Same);
        assert_eq!(mapped(&[("^", "pre/")], "a"), to("pre/a"));
    }

    #[test]
    fn a_key_of_which_nothing_or_too_much_is_left_is_refused() {
        assert!(matches!(mapped(&[("^.*$", "")], "abc"), Mapped::Refused(why) if why.contains("nothing")));
        let long = "x".repeat(100);
        let twice = [(".", "$0$0$0$0$0$0$0$0"), (".", "$0$0$0$0$0$0$0$0")];
        assert!(matches!(mapped(&twice, &long), Mapped::Refused(why) if why.contains("6400 bytes")));
        // The directory marker of the prefix itself: its key is empty before any rule.
        assert_eq!(mapped(&[("^x/", "")], ""), Mapped::Same);
    }

    #[test]
    fn a_bad_pattern_says_where() {
        let bad = |pattern: &str| Mapping::new(&[rule(pattern, "")]).unwrap_err();
        assert!(matches!(bad("abc(def"), BadRule::Pattern { at: Some(3), .. }), "{}", bad("abc(def"));
        assert!(matches!(bad("a(?=b)"), BadRule::Pattern { at: Some(1), .. }), "{}", bad("a(?=b)"));
        assert!(matches!(bad(r"\p{Nonsense}"), BadRule::Pattern { at: Some(0), .. }));
        assert!(matches!(bad("(?:a{1000}){1000}"), BadRule::Pattern { .. }));
    }

    #[test]
    fn a_reference_to_no_group_is_refused() {
        let bad = |pattern: &str, to: &str| match Mapping::new(&[rule(pattern, to)]) {
            Err(BadRule::Replacement { at, what }) => (at, what),
            other => panic!("{other:?}"),
        };
        assert_eq!(bad("a(b)", "x$2").0, 1);
        assert!(bad("a(b)", "$1a").1.contains("${1}a"), "{:?}", bad("a(b)", "$1a"));
        assert!(bad("a(?P<year>b)", "${yaer}").1.contains("${year}"));
        assert_eq!(bad("a", "xy${1").0, 2);
        assert_eq!(bad("a", "$/").0, 0);
        assert!(Mapping::new(&[rule("a(b)", "$$1${1}$0")]).is_ok());
    }

    proptest! {
        #[test]
        fn without_rules_every_key_keeps_its_name(key in "\\PC{0,40}") {
            prop_assert_eq!(Mapping::default().map(&key), Mapped::Same);
        }

        #[test]
        fn the_mapping_is_total_and_always_the_same(
            key in "[a-c/ ]{0,30}|\\PC{0,40}", pattern in "[a-c/.*+?^$()|\\[\\] ]{0,8}", to in "[x$0-1/]{0,6}",
        ) {
            // Whatever is accepted as a rule gives a key or a refusal for every key.
            if let Ok(mapping) = Mapping::new(&[rule(&pattern, &to)]) {
                let mapped = mapping.map(&key);
                prop_assert_eq!(&mapped, &mapping.map(&key));
                match mapped {
                    Mapped::To(to) => prop_assert!(!to.is_empty() && to.len() <= LONGEST && to != key),
                    Mapped::Refused(why) => prop_assert!(!why.is_empty()),
                    Mapped::Same => {}
                }
            }
        }
    }
}

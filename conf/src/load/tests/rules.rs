//! `[[rename]]` as users write it, good and bad.

use super::{JobConf, Problem, job};

const ENDS: &str = "name = \"local_test\"\n[source]\ntype = \"local\"\npath = \"/a/\"\n[destination]\ntype = \"local\"\npath = \"/b/\"\n";

fn ruled(rules: &str) -> Result<JobConf, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.toml");
    std::fs::write(&path, format!("{ENDS}{rules}")).unwrap();
    let said = |problems: Vec<Problem>| {
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.line.unwrap_or(0), problem.message))
            .collect()
    };
    job(&path).map(|checked| checked.value).map_err(said)
}

#[test]
fn rules_are_read_in_their_order() {
    let rules = "[[rename]]\nmatch = '^(\\d+)/'\nto = \"${1}-\"\n[[rename]]\nmatch = \" \"\nto = \"\"\n";
    let read: Vec<(String, String)> =
        ruled(rules).unwrap().rename.into_iter().map(|rule| (rule.pattern, rule.to)).collect();
    assert_eq!(read, [(r"^(\d+)/".to_owned(), "${1}-".to_owned()), (" ".to_owned(), String::new())]);
}

#[test]
fn a_bad_rule_is_told_by_line_and_column() {
    let said = |rules: &str| ruled(rules).unwrap_err().join("\n");
    let pattern = said("[[rename]]\nmatch = 'ab(c'\nto = ''\n");
    assert!(pattern.starts_with("9: `rename.match` is no regular expression: unclosed group"), "{pattern}");
    assert!(pattern.ends_with("(column 12)"), "{pattern}");
    let group = said("[[rename]]\nmatch = 'a(b)'\nto = \"\\t$1x\"\n");
    assert!(
        group.starts_with("10: `rename.to` names a group \"1x\"") && group.ends_with("(column 9)"),
        "{group}"
    );
    assert!(
        said("[[rename]]\nmatch = 'a'\n").contains("9: ")
            && said("[[rename]]\nmatch = 'a'\n").contains("no `to`")
    );
    assert!(said("[[rename]]\nmatch = ''\nto = 'x'\n").contains("is empty"));
    assert!(said("[rename]\nmatch = 'a'\nto = 'x'\n").contains("[[rename]]"));
    assert!(said("[[rename]]\nmatch = 3\nto = 'x'\n").contains("is no text"));
    assert!(said("[[rename]]\nmatch = 'a'\nto = 'x'\nwith = 'y'\n").contains("unknown key `with`"));
    let both = said("[[rename]]\nmatch = '('\nto = 'x'\n[[rename]]\nmatch = 'a'\nto = '$2'\n");
    assert!(both.contains("9: ") && both.contains("13: "), "{both}");
}

//! The tables of `docs/fidelity.md`, written from the table of the code. With `BRIGADE_WRITE_DOCS=1` the test
//! puts them into the page instead of comparing.

use std::fmt::Write as _;
use std::path::Path;

use super::table::SERVICES;
use super::{Names, Property, Service, Values, Way};

const BEGIN: &str = "<!-- from the table of the code: storage/src/fidelity -->\n";
const END: &str = "<!-- end of the tables -->\n";

/// What becomes of a property between two types.
fn fate(from: &Service, to: &Service, property: Property) -> &'static str {
    let (read, write) = (from.reads(property), to.writes(property));
    let on_request =
        matches!(property, Property::StorageClass | Property::Tags | Property::Acl | Property::Symlink);
    match (read, write) {
        (Way::No, _) => " ",
        (_, Way::No) if on_request => "x",
        (_, Way::No) => "!",
        _ if on_request && !is_carried(read, write, property) => "x",
        _ if on_request => "?",
        (_, Way::As(_)) if property == Property::Metadata && holds_all(from, to) => "=",
        (_, Way::As(_)) => "~",
        _ => "=",
    }
}

/// There is a key that carries it: an access list that can only be set anew is not, nor is a link of a directory.
fn is_carried(read: Way, write: Way, property: Property) -> bool {
    let key = match property {
        Property::Acl => "carry_acl",
        Property::Symlink => "symlinks",
        _ => return true,
    };
    let names = |way: Way| matches!(way, Way::Asked(keys) if keys.split(", ").any(|name| name == key));
    names(read) && names(write)
}

#[test]
fn what_is_carried_on_request_is_what_the_check_of_a_job_accepts() {
    use conf::job::EndpointType;
    type Has = fn(EndpointType) -> bool;
    let rules: [(Property, Has); 3] = [
        (Property::Tags, EndpointType::has_tags),
        (Property::Acl, EndpointType::tells_acls),
        (Property::Symlink, |kind| kind == EndpointType::Oss),
    ];
    for (property, has) in rules {
        for (from, to) in SERVICES.into_iter().flat_map(|from| SERVICES.map(|to| (from, to))) {
            let accepted = has(from.kind) && has(to.kind);
            let names = (from.name, to.name);
            assert_eq!(fate(from, to, property) == "?", accepted, "{property} of {names:?}");
        }
    }
}

/// Every name and value that the one gives is held by the other as it is.
fn holds_all(from: &Service, to: &Service) -> bool {
    let (Some(from), Some(to)) = (&from.metadata, &to.metadata) else { return false };
    let names = to.names == Names::Token || from.names == to.names;
    names && to.values == Values::Rfc2047
}

fn matrix(property: Property) -> String {
    let to: Vec<&Service> = SERVICES.into_iter().filter(|service| !service.write.is_empty()).collect();
    let mut text = format!("### {property}\n\n| from \\ to |");
    to.iter().for_each(|to| write!(text, " {} |", to.name).unwrap());
    text.push_str("\n|---|");
    to.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for from in SERVICES.into_iter().filter(|from| from.reads(property) != Way::No) {
        write!(text, "| {} |", from.name).unwrap();
        to.iter().for_each(|to| write!(text, " {} |", fate(from, to, property)).unwrap());
        text.push('\n');
    }
    text
}

fn way(way: Way) -> String {
    match way {
        Way::No => String::new(),
        Way::Yes => "yes".to_owned(),
        Way::As(form) => form.to_owned(),
        Way::Asked(keys) => format!("with `{}`", keys.replace(", ", "`, `")),
    }
}

fn ends(title: &str, ways: fn(&Service, Property) -> Way, empty: fn(&Service) -> bool) -> String {
    let mut text = format!("### {title}\n\n| type |");
    Property::ALL.iter().for_each(|property| write!(text, " {property} |").unwrap());
    text.push_str("\n|---|");
    Property::ALL.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for service in SERVICES.into_iter().filter(|service| !empty(service)) {
        write!(text, "| {} |", service.name).unwrap();
        Property::ALL
            .iter()
            .for_each(|property| write!(text, " {} |", way(ways(service, *property))).unwrap());
        text.push('\n');
    }
    text
}

fn limits() -> String {
    let mut text = "### Limits\n\n| type | metadata in all | one entry | names | values that are not plain ASCII | tags | acl |\n|---|---|---|---|---|---|---|\n".to_owned();
    for service in SERVICES.into_iter().filter(|service| !service.write.is_empty()) {
        let (all, one, names, values) = match &service.metadata {
            None => (String::new(), String::new(), "none", "none"),
            Some(rule) => (
                rule.most.to_string(),
                rule.each.to_string(),
                match rule.names {
                    Names::Token => "any that HTTP takes",
                    Names::Hyphens => "letters, digits, `-`; `_` becomes `-`",
                    Names::Identifier => "letters, digits, `_`, no digit in front; `-` becomes `_`",
                    Names::Any => "any",
                },
                match rule.values {
                    Values::Rfc2047 => "RFC 2047, decoded by the service: the value stays what it was",
                    Values::Percent => "percent-encoded, and reported",
                    Values::Bytes => "as they are",
                },
            ),
        };
        let tags = service.tags.map_or(String::new(), |tags| {
            format!(
                "{}; {} and {} characters: letters, digits, spaces, `{}`",
                tags.most, tags.name, tags.value, tags.signs
            )
        });
        let acls = service.kind.canned_acls().join(", ");
        writeln!(text, "| {} | {all} | {one} | {names} | {values} | {tags} | {acls} |", service.name)
            .unwrap();
    }
    text
}

fn page() -> String {
    let mut parts = vec![
        ends("Read at a source", Service::reads, |service| service.read.is_empty()),
        ends("Written at a destination", Service::writes, |service| service.write.is_empty()),
        limits(),
    ];
    parts.extend(Property::ALL.into_iter().map(matrix));
    parts.join("\n")
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fidelity.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the tables begin");
    let (inner, after) = rest.split_once(END).expect("the mark where they end");
    let wanted = format!("\n{}\n", page());
    if std::env::var_os("BRIGADE_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert!(
        inner == wanted,
        "docs/fidelity.md is not what the table says: run this test with BRIGADE_WRITE_DOCS=1"
    );
}

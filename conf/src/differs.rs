//! Which keys of two job files differ, and which of them may change while a job lives.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::job::JobConf;

/// What differs between two descriptions of a job, by the names that job files use (`source.secret_key`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// How the ends are reached, and how hard they are worked: may change while the job lives.
    pub renewable: Vec<String>,
    /// What is moved, to where, and what counts as moved: another job.
    pub fixed: Vec<String>,
}

/// Keys that change neither which objects are moved, nor where to, nor what they become there.
const RENEWABLE: [&str; 38] = [
    "priority",
    "interval",
    "source.provider",
    "destination.provider",
    "source.access_key",
    "source.secret_key",
    "source.session_token",
    "source.sas_token",
    "source.connection_string",
    "source.anonymous",
    "source.addressing",
    "source.signature_version",
    "source.ca_file",
    "source.proxy",
    "source.list_page",
    "source.cdn_domain",
    "source.on_archived",
    "source.restore_tier",
    "source.restore_days",
    "source.domain_requests_per_s",
    "destination.access_key",
    "destination.secret_key",
    "destination.session_token",
    "destination.sas_token",
    "destination.connection_string",
    "destination.addressing",
    "destination.signature_version",
    "destination.ca_file",
    "destination.proxy",
    "destination.list_page",
    "transfer.parts_in_flight",
    "transfer.retries",
    "transfer.abort_on_unknown_error",
    "transfer.timeout",
    "transfer.patience",
    "transfer.bytes_per_s",
    "transfer.requests_per_s",
    "task.scan_threads",
];

impl JobConf {
    /// Compares two descriptions key by key. Values are not told: they may be secrets.
    pub fn differences(&self, other: &JobConf) -> Differences {
        let (ours, theirs) = (flat(self), flat(other));
        let names: BTreeSet<String> =
            ours.symmetric_difference(&theirs).map(|(name, _)| name.clone()).collect();
        let (renewable, fixed) = names.into_iter().partition(|name| RENEWABLE.contains(&name.as_str()));
        Differences { renewable, fixed }
    }
}

/// Every key with its value as text.
fn flat(conf: &JobConf) -> BTreeSet<(String, String)> {
    let table = Table::try_from(conf).unwrap_or_default();
    let mut keys = BTreeSet::new();
    for (name, value) in table {
        match value {
            Value::Table(section) if is_section(&name) => {
                keys.extend(
                    section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value.to_string())),
                );
            }
            value => {
                let name = if name == "kind" { "type".to_owned() } else { name };
                keys.insert((name, value.to_string()));
            }
        }
    }
    keys
}

fn is_section(name: &str) -> bool {
    matches!(name, "source" | "destination" | "task" | "transfer")
}

#[cfg(test)]
mod tests {
    use crate::Secret;
    use crate::job::{JobConf, Verify};

    fn conf() -> JobConf {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "name = \"local_test\"\n[source]\ntype = \"local\"\npath = \"/a/\"\n[destination]\n\
                    type = \"local\"\npath = \"/b/\"\n";
        std::fs::write(file.path(), text).unwrap();
        crate::load::job(file.path()).unwrap().value
    }

    #[test]
    fn the_same_job_differs_in_nothing() {
        let there_and_back = JobConf::from_wire(&conf().to_wire()).unwrap();
        assert_eq!(conf().differences(&there_and_back), Default::default());
    }

    #[test]
    fn keys_of_access_may_change_and_the_ends_may_not() {
        let mut other = conf();
        other.source.secret_key = Secret::Literal("hunter2".into());
        other.source.ca_file = Some("/ca.pem".into());
        other.transfer.timeout *= 2;
        other.transfer.verify = Verify::Size;
        other.destination.path = "/c/".into();
        let differences = conf().differences(&other);
        assert_eq!(differences.renewable, ["source.ca_file", "source.secret_key", "transfer.timeout"]);
        assert_eq!(differences.fixed, ["destination.path", "transfer.verify"]);
        assert!(!format!("{differences:?}").contains("hunter2"));
    }

    #[test]
    fn every_renewable_key_is_a_key_of_a_job() {
        let mut all = conf();
        for end in [&mut all.source, &mut all.destination] {
            end.ca_file = Some("/ca.pem".into());
        }
        let known = super::flat(&all);
        for name in super::RENEWABLE {
            assert!(known.iter().any(|(key, _)| key == name), "{name}");
        }
    }
}

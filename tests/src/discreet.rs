//! Secrets that may be nowhere but where the user put them: looked for in everything that a home of the tests
//! printed, wrote and started, in every form in which they could be told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::servers::{ACCESS_KEY, SECRET_KEY};

/// A secret as it is, and as it would look in a URL, a header, a dump.
pub fn forms(secret: &str) -> Vec<String> {
    let encoded = |lower: bool| -> String {
        let each = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ if lower => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        };
        secret.bytes().map(each).collect()
    };
    let basic = format!("{ACCESS_KEY}:{secret}");
    vec![
        secret.to_owned(),
        encoded(false),
        encoded(true),
        STANDARD.encode(secret),
        URL_SAFE.encode(secret),
        STANDARD.encode(basic),
        hex::encode(secret),
        hex::encode_upper(secret),
        // serde_json may write a slash so.
        secret.replace('/', "\\/"),
    ]
}

/// The installation's own token, if there is one.
fn token(home: &Path) -> Option<String> {
    let token = std::fs::read_to_string(home.join("run/token")).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn secrets(home: &Path) -> Vec<String> {
    forms(SECRET_KEY).into_iter().chain(token(home).iter().flat_map(|token| forms(token))).collect()
}

/// What a command said holds no secret.
#[track_caller]
pub fn must_be_discreet(home: &Path, what: &str, text: &str) {
    for secret in secrets(home) {
        assert!(!text.contains(&secret), "{what} tells a secret, as {secret:?}:\n{text}");
    }
}

/// No file below the home holds one, but those that the test wrote itself and the token's own.
pub fn files_must_be_discreet(home: &Path, written: &BTreeSet<PathBuf>) {
    let secrets = secrets(home);
    let mut folders = vec![home.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type();
            if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
                folders.push(path);
            } else if kind.is_ok_and(|kind| kind.is_file())
                && !written.contains(&path)
                && path != home.join("run/token")
            {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let told = secrets.iter().find(|secret| text.contains(*secret));
                assert_eq!(told, None, "{path:?} holds a secret");
            }
        }
    }
}

/// The arguments of the processes that run for this home are for everybody to read.
pub fn processes_must_be_discreet(home: &Path) {
    for entry in std::fs::read_dir(home.join("run")).into_iter().flatten().flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let pid = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        must_be_discreet(home, "the process list", &String::from_utf8_lossy(&line));
    }
}

/// Shown to people: no character of it commands a terminal, or turns the order of reading around. The list is
/// the tests' own.
#[track_caller]
pub fn must_be_harmless(what: &str, text: &str, spared: &[char]) {
    let harmful = |c: &char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let found = text.chars().filter(harmful).find(|c| !spared.contains(c));
    assert_eq!(found, None, "{what}: {text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_wherever_it_is_told() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("logs")).unwrap();
        for form in forms(SECRET_KEY) {
            let log = home.path().join("logs/master.log");
            std::fs::write(&log, format!("before{form}after")).unwrap();
            let found = std::panic::catch_unwind(|| files_must_be_discreet(home.path(), &BTreeSet::new()));
            assert!(found.is_err(), "{form}");
            files_must_be_discreet(home.path(), &BTreeSet::from([log]));
            let said = std::panic::catch_unwind(|| must_be_discreet(home.path(), "it", &form));
            assert!(said.is_err(), "{form}");
        }
    }

    #[test]
    fn the_token_may_be_in_its_own_file_alone() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("run")).unwrap();
        std::fs::write(home.path().join("run/token"), "0123456789abcdef\n").unwrap();
        files_must_be_discreet(home.path(), &BTreeSet::new());
        std::fs::write(home.path().join("run/master.address"), "x 0123456789abcdef").unwrap();
        let found = std::panic::catch_unwind(|| files_must_be_discreet(home.path(), &BTreeSet::new()));
        assert!(found.is_err());
    }
}

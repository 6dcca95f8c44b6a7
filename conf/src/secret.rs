//! Secrets: given literally, as `${ENV}`, or as `{ file = "…" }`; never printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a secret's value comes from. `Debug` and `Display` show `***`, never the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The value itself: written in the file, or filled in from the environment.
    Literal(String),
    /// The name of an environment variable, not looked up yet.
    Env(String),
    /// A file that holds the value (white space around it does not count); read again when it changed.
    File(PathBuf),
}

/// A secret that is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The file cannot be read.
    #[error("cannot read the secret file {path}: {reason}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Secret {
    /// `${NAME}` is the environment variable of that name; anything else is the value.
    pub fn parse(text: &str) -> Self {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) => Secret::Env(name.trim().to_owned()),
            None => Secret::Literal(text.to_owned()),
        }
    }

    /// The value as it is now.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Secret::Literal(value) => Ok(value.clone()),
            Secret::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone())),
            Secret::File(path) => match std::fs::read_to_string(path) {
                Ok(value) => Ok(value.trim().to_owned()),
                Err(error) => Err(SecretError::File { path: path.clone(), reason: error.to_string() }),
            },
        }
    }

    /// The same secret with the environment looked up: other hosts do not have our variables.
    pub fn fill_in(&self) -> Result<Self, SecretError> {
        match self {
            Secret::Env(_) => self.reveal().map(Secret::Literal),
            other => Ok(other.clone()),
        }
    }

    /// Written in the configuration itself.
    pub fn is_literal(&self) -> bool {
        matches!(self, Secret::Literal(value) if !value.is_empty())
    }

    /// Given and empty counts as not given.
    pub fn is_empty(&self) -> bool {
        matches!(self, Secret::Literal(value) if value.is_empty())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("***"),
            Secret::Env(name) => write!(f, "${{{name}}}"),
            Secret::File(path) => write!(f, "{{ file = {path:?} }}"),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_printed() {
        let secret = Secret::parse("hunter2");
        assert!(!format!("{secret:?}{secret}").contains("hunter2"));
        assert_eq!(secret.reveal().unwrap(), "hunter2");
    }

    #[test]
    fn an_unset_variable_is_named() {
        let secret = Secret::parse("${BRIGADE_NO_SUCH_VARIABLE}");
        assert_eq!(secret.reveal(), Err(SecretError::Env("BRIGADE_NO_SUCH_VARIABLE".into())));
    }

    #[test]
    fn a_file_is_trimmed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "value\n").unwrap();
        assert_eq!(Secret::File(file.path().into()).reveal().unwrap(), "value");
    }
}

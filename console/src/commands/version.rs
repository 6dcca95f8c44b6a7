//! `brigade version`.

use serde_json::json;

use crate::exit::{Exit, Outcome};
use crate::output::Output;

pub(crate) fn run(output: &Output) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    output.text(&format!("brigade {version}"));
    output.json(&json!({ "name": "brigade", "version": version }));
    Ok(Exit::Done)
}

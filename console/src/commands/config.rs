//! `brigade config check` and `convert`.

use std::path::Path;

use conf::load::Problem;
use proto::text::counted;
use serde_json::{Value, json};

use crate::cli::Config;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;

pub(crate) fn run(action: &Config, output: &Output) -> Outcome {
    match action {
        Config::Check { file } => check(file, output),
        Config::Convert { file } => convert(file, output),
    }
}

/// Loads the file as what it is, a job or the system's parameters, and lists what is wrong.
fn check(file: &Path, output: &Output) -> Outcome {
    must_exist(file)?;
    let (warnings, problems) = match conf::load::convert(file) {
        Ok(checked) => (checked.warnings, Vec::new()),
        Err(problems) => problems.into_iter().partition(|problem| problem.odd),
    };
    for warning in &warnings {
        output.note(&format!("warning: {warning}"));
    }
    for problem in &problems {
        output.text(&problem.to_string());
    }
    let list = |problems: &[Problem]| problems.iter().map(document).collect::<Vec<_>>();
    output.json(&json!({ "file": file, "problems": list(&problems), "warnings": list(&warnings) }));
    if problems.is_empty() {
        output.text(&format!("{}: good", file.display()));
        return Ok(Exit::Done);
    }
    output.note(&format!("{} in {}", counted(problems.len() as u64, "problem"), file.display()));
    Ok(Exit::Usage)
}

fn document(problem: &Problem) -> Value {
    json!({ "line": problem.line, "message": problem.message })
}

fn convert(file: &Path, output: &Output) -> Outcome {
    must_exist(file)?;
    match conf::load::convert(file) {
        Ok(checked) => {
            for warning in &checked.warnings {
                output.note(&format!("warning: {warning}"));
            }
            output.raw(&checked.value);
            Ok(Exit::Done)
        }
        Err(problems) => {
            let wrong = problems.iter().filter(|problem| !problem.odd);
            let lines: Vec<String> = wrong.map(ToString::to_string).collect();
            Err(Failure::usage(lines.join("\n")))
        }
    }
}

fn must_exist(file: &Path) -> Result<(), Failure> {
    if file.is_file() { Ok(()) } else { Err(Failure::usage(format!("there is no file {}", file.display()))) }
}

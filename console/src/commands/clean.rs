//! `brigade clean [JOB]`: asks first; `--no-input` counts as yes.

use conf::Home;
use proto::text::counted;
use serde_json::json;

use crate::cli::Cli;
use crate::exit::{Exit, Failure, Outcome};
use crate::offline::Answering;
use crate::output::Output;

pub(crate) async fn run(cli: &Cli, job: &str, force: bool, home: &Home, output: &Output) -> Outcome {
    if !cli.no_input {
        let question = format!(
            "Forget the job {job}: its records, reports and unfinished uploads? What was moved stays."
        );
        if !output.agrees(&question).await {
            return Err(Failure::new("nothing was cleaned"));
        }
    }
    let answering = Answering::connect(home).await?;
    let reply = answering.service().clean(job, force).await;
    answering.leave().await;
    let reply = reply?;
    let uploads = counted(reply.uploads_aborted, "unfinished upload");
    output.text(&format!("forgot {job}; {uploads} aborted"));
    for problem in &reply.problems {
        output.note(&format!("warning: {problem}"));
    }
    output.json(&json!({
        "job": job, "uploads_aborted": reply.uploads_aborted, "uploads_left": reply.uploads_left,
        "problems": reply.problems,
    }));
    Ok(Exit::Done)
}

//! `brigade retry [JOB]`.

use conf::Home;
use serde_json::json;

use crate::exit::{Exit, Outcome};
use crate::job_stat::{self, count};
use crate::output::Output;
use crate::service::Service;

pub(crate) async fn run(job: &str, home: &Home, output: &Output) -> Outcome {
    let reply = Service::connect(home).await?.retry(job).await?;
    output.text(&match reply.tasks {
        0 => format!("nothing of {job} has failed"),
        tasks => format!("{} objects in {tasks} tasks of {job} are tried again", count(reply.objects)),
    });
    let stat = reply.stat.as_ref().map(job_stat::document);
    output.json(&json!({ "job": job, "tasks": reply.tasks, "objects": reply.objects, "stat": stat }));
    Ok(Exit::Done)
}

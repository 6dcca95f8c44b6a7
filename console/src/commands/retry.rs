//! `brigade retry [JOB]`.

use conf::Home;
use proto::text::counted;
use serde_json::json;

use crate::exit::{Exit, Outcome};
use crate::job_stat;
use crate::output::Output;
use crate::service::Service;

pub(crate) async fn run(job: &str, home: &Home, output: &Output) -> Outcome {
    let reply = Service::connect(home).await?.retry(job).await?;
    output.text(&match reply.tasks {
        0 => format!("nothing of {job} has failed"),
        tasks => {
            let (objects, tasks) = (counted(reply.objects, "object"), counted(tasks, "task"));
            format!("tries again {objects} in {tasks} of {job}")
        }
    });
    let stat = reply.stat.as_ref().map(job_stat::document);
    output.json(&json!({ "job": job, "tasks": reply.tasks, "objects": reply.objects, "stat": stat }));
    Ok(Exit::Done)
}

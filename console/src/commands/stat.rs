//! `brigade stat [JOB]`.

use std::time::Duration;

use conf::Home;
use proto::text::counted;
use serde_json::json;
use tokio::time::sleep;

use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat;
use crate::offline::Answering;
use crate::output::Output;
use crate::progress::Progress;
use crate::service::Service;

pub(crate) async fn run(job: Option<&str>, watch: bool, home: &Home, output: &Output) -> Outcome {
    match job {
        Some(job) if watch => self::watch(job, home, output).await,
        Some(job) => one(job, home, output).await,
        None => all(home, output).await,
    }
}

/// Also where nothing runs: from the state.
async fn one(job: &str, home: &Home, output: &Output) -> Outcome {
    let answering = Answering::connect(home).await?;
    let found = answering.service().find(job).await;
    let offline = matches!(answering, Answering::Dormant(_));
    answering.leave().await;
    let stat = found?.ok_or_else(|| {
        Failure::new(format!("there is no job {job}; `brigade stat` lists those that there are"))
    })?;
    output.text(&job_stat::table(&stat));
    if offline {
        output.note("(no service runs: this is what the state says)");
    }
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

async fn all(home: &Home, output: &Output) -> Outcome {
    let reply = Service::connect(home).await?.stat("").await?;
    if reply.jobs.is_empty() {
        output.text("no jobs; hand one in with `brigade submit`");
    }
    for job in &reply.jobs {
        output.text(&job_stat::table(job));
    }
    for worker in &reply.workers {
        let memory = job_stat::size(worker.memory_bytes);
        output.text(&format!(
            "worker {} ({}): {}, {memory}, {:.0} % of a core",
            worker.host,
            worker.version,
            counted(worker.leases.into(), "task"),
            worker.cpu_share * 100.0
        ));
    }
    let jobs: Vec<_> = reply.jobs.iter().map(job_stat::document).collect();
    let workers: Vec<_> = reply.workers.iter().map(job_stat::worker_document).collect();
    output.json(&json!({ "jobs": jobs, "workers": workers, "tracker": reply.tracker }));
    Ok(Exit::Done)
}

async fn watch(job: &str, home: &Home, output: &Output) -> Outcome {
    let service = Service::connect(home).await?;
    let mut progress = Progress::new(*output);
    loop {
        let stat = service.find(job).await?.ok_or_else(|| Failure::new(format!("there is no job {job}")))?;
        let rests = matches!(stat.state.as_str(), "succeeded" | "failed" | "paused" | "cancelled");
        if rests {
            progress.clear();
            output.text(&job_stat::table(&stat));
            output.json(&job_stat::document(&stat));
            return Ok(if stat.objects_failed > 0 { Exit::ObjectsFailed } else { Exit::Done });
        }
        progress.show(&stat);
        sleep(Duration::from_secs(1)).await;
    }
}

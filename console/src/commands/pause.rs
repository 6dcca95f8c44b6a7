//! `brigade pause JOB` and `brigade resume JOB`.

use conf::Home;

use crate::exit::{Exit, Outcome};
use crate::job_stat;
use crate::output::Output;
use crate::service::Service;

pub(crate) async fn pause(job: &str, home: &Home, output: &Output) -> Outcome {
    let stat = Service::connect(home).await?.pause(job).await?;
    output
        .text(&format!("{job} is {}; what is in flight ends; go on with `brigade resume {job}`", stat.state));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

pub(crate) async fn resume(job: &str, home: &Home, output: &Output) -> Outcome {
    let stat = Service::connect(home).await?.resume(job).await?;
    output.text(&format!("{job} is {}", stat.state));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

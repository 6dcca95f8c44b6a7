//! `brigade pause JOB` and `brigade resume JOB`.

use std::path::Path;

use conf::Home;

use crate::check;
use crate::exit::{Exit, Failure, Outcome};
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

pub(crate) async fn resume(job: &str, file: Option<&Path>, home: &Home, output: &Output) -> Outcome {
    let service = Service::connect(home).await?;
    if let Some(file) = file {
        refresh(&service, job, file, output).await?;
    }
    let stat = service.resume(job).await?;
    output.text(&format!("{job} is {}", stat.state));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

/// Fresh keys of access and limits, for instance after the old ones ran out.
async fn refresh(service: &Service, job: &str, file: &Path, output: &Output) -> Result<(), Failure> {
    let conf = check::job_conf(file, output)?;
    if conf.name != job {
        return Err(Failure::usage(format!("{} describes the job {}, not {job}", file.display(), conf.name)));
    }
    let conf = check::first_look(&conf).await?;
    let reply = service.refresh(conf.to_wire(), false).await?;
    if !reply.fixed.is_empty() {
        return Err(Failure::usage(format!(
            "{} says otherwise than the job {job} in {}, which cannot change while the job lives; nothing was taken over",
            file.display(),
            reply.fixed.join(", ")
        )));
    }
    if !reply.renewable.is_empty() {
        output.note(&format!("taken over: {}", reply.renewable.join(", ")));
    }
    Ok(())
}

//! `brigade submit [FILE]`.

use std::path::Path;

use conf::Home;

use crate::check;
use crate::exit::{Exit, Outcome};
use crate::job_stat;
use crate::output::Output;
use crate::service::Service;

pub(crate) async fn run(file: Option<&Path>, home: &Home, output: &Output) -> Outcome {
    let default = || check::first_existing(home, &["job.toml", "job.cfg", "local_job.toml", "local_job.cfg"]);
    let file = file.map_or_else(default, Path::to_path_buf);
    let job = check::job_conf(&file, output)?;
    let service = Service::connect(home).await?;
    let job = check::first_look(&job).await?;
    let stat = service.submit(job.to_wire()).await?;
    output.text(&format!("submitted {}; look at it with `brigade stat {}`", stat.job, stat.job));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

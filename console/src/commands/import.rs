//! `brigade import`: the one-click import. Everything in one process, until the job's end.

use conf::{Home, JobConf};
use proto::v1;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Import};
use crate::commands::{self, report};
use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat;
use crate::output::Output;
use crate::progress::Progress;
use crate::service::{self, Service};
use crate::standalone::Standalone;
use crate::{check, summary};

/// What to do about an earlier job of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    New,
    Resume,
    Restart,
    /// It is complete and the user wants nothing more.
    Leave,
}

pub(crate) async fn run(cli: &Cli, args: &Import, home: &Home, output: &Output) -> Outcome {
    let conf = check::sys_conf(home, output)?;
    let file = args.file.clone().unwrap_or_else(|| check::local_job(home));
    let job = check::job_conf(&file, output)?;
    let job = check::first_look(&job).await?;
    commands::log(cli, home, conf::home::Role::Import, &conf.log_level)?;
    let roles = Standalone::start(home, &conf).await?;
    let ended = tokio::select! {
        ended = Box::pin(carry_out(cli, args, home, &job, roles.service(), output)) => ended,
        () = asked_to_stop() => {
            output.note("stopping: what is in flight ends first; once more stops at once, and loses nothing either");
            Err(Failure::new(format!("stopped; go on with `brigade import --resume`{}", hint(args))))
        }
    };
    tokio::select! {
        () = roles.stop() => ended,
        () = asked_to_stop() => Err(Failure::new(format!("stopped at once; go on with `brigade import --resume`{}", hint(args)))),
    }
}

fn hint(args: &Import) -> String {
    args.file.as_ref().map_or(String::new(), |file| format!(" (and the job file {})", file.display()))
}

/// Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn carry_out(
    cli: &Cli,
    args: &Import,
    home: &Home,
    job: &JobConf,
    service: &Service,
    output: &Output,
) -> Outcome {
    let earlier = service.find(&job.name).await?;
    let way = choose(cli, args, earlier.as_ref(), job, output)?;
    match (way, &earlier) {
        (Way::Leave, _) => {}
        (Way::Resume, Some(stat)) => go_on(service, stat).await?,
        (Way::Restart, Some(_)) => {
            let cleaned = service.clean(&job.name, true).await?;
            for problem in &cleaned.problems {
                output.note(&format!("warning: {problem}"));
            }
            service.submit(job.to_wire()).await?;
        }
        _ => {
            service.submit(job.to_wire()).await?;
        }
    }
    let mut retries_left = args.retry.unwrap_or(0);
    loop {
        let stat = until_it_rests(service, &job.name, output).await?;
        let may_retry = stat.state == "failed" && stat.objects_failed > 0;
        let again = if may_retry && retries_left > 0 {
            retries_left -= 1;
            true
        } else {
            may_retry && args.retry.is_none() && !cli.no_input && {
                output.text(&summary::text(&stat, None));
                let question =
                    format!("{} objects failed. Retry them? [y/N]", job_stat::count(stat.objects_failed));
                output.ask(&question).as_deref() == Some("y")
            }
        };
        if !again {
            return finish(service, home, &stat, output).await;
        }
        service.retry(&job.name).await?;
    }
}

/// What the flags say, else what the user says, else what is safe.
fn choose(
    cli: &Cli,
    args: &Import,
    earlier: Option<&v1::JobStat>,
    job: &JobConf,
    output: &Output,
) -> Result<Way, Failure> {
    let Some(stat) = earlier else { return Ok(Way::New) };
    if args.restart {
        return Ok(Way::Restart);
    }
    let (source, destination) = (job.source.describe(), job.destination.describe());
    let other = stat.source != source || stat.destination != destination;
    if other && (args.resume || cli.no_input) {
        return Err(Failure::usage(format!(
            "the job {} that was begun goes from {} to {}, and the job file now says from {source} to {destination}: put it back, or start anew with --restart",
            stat.job, stat.source, stat.destination
        )));
    }
    if args.resume {
        return Ok(Way::Resume);
    }
    let complete = stat.state == "succeeded";
    if cli.no_input {
        return if complete {
            Err(Failure::usage(format!(
                "the job {} is complete: say --restart to start anew, or --resume to see its summary",
                stat.job
            )))
        } else {
            Ok(Way::Resume)
        };
    }
    if other || complete {
        let why = if complete { "is complete" } else { "was begun with other ends" };
        let question = format!("The job {} {why}. Forget it and start anew? [y/N]", stat.job);
        return Ok(if output.ask(&question).as_deref() == Some("y") { Way::Restart } else { Way::Leave });
    }
    let question =
        format!("The job {} was begun and is {}. Go on where it stopped? [Y/n]", stat.job, stat.state);
    match output.ask(&question).as_deref() {
        Some("n" | "no") => {
            let sure = output.ask("Forget it and start anew? What was moved stays. [y/N]");
            Ok(if sure.as_deref() == Some("y") { Way::Restart } else { Way::Leave })
        }
        _ => Ok(Way::Resume),
    }
}

/// A running job goes on by itself; a paused one is told to.
async fn go_on(service: &Service, stat: &v1::JobStat) -> Result<(), Failure> {
    let scan_failed = stat.state == "failed" && !stat.scan_done;
    if stat.state == "paused" || scan_failed {
        service.resume(&stat.job).await?;
    }
    Ok(())
}

/// Shows progress until nothing more will happen by itself. An incremental job that waits for its next round
/// goes on.
async fn until_it_rests(service: &Service, job: &str, output: &Output) -> Result<v1::JobStat, Failure> {
    let mut progress = Progress::new(*output);
    let mut changes = service.watch(job).await?;
    while let Some(stat) = changes.message().await.map_err(|status| service::failure(&status))? {
        if matches!(stat.state.as_str(), "succeeded" | "failed" | "paused" | "cancelled") {
            progress.clear();
            return Ok(stat);
        }
        progress.show(&stat);
    }
    Err(Failure::new(format!("the master ended before the job {job}")))
}

async fn finish(service: &Service, home: &Home, stat: &v1::JobStat, output: &Output) -> Outcome {
    let report = match report::into_folder(service, home, &stat.job).await {
        Ok(path) => Some(path),
        Err(failure) => {
            output.note(&format!("warning: {failure}"));
            None
        }
    };
    output.text(&summary::text(stat, report.as_deref()));
    let mut document = job_stat::document(stat);
    document["report"] = json!(report);
    if stat.state == "paused" {
        let reason =
            format!("{} is paused: {}\nGo on with `brigade import --resume`.", stat.job, stat.reason);
        output.note(&reason);
        output.json(&document);
        return Ok(Exit::Failure);
    }
    output.json(&document);
    match stat.state.as_str() {
        "succeeded" => Ok(Exit::Done),
        _ if stat.objects_failed > 0 => Ok(Exit::ObjectsFailed),
        _ => Ok(Exit::Failure),
    }
}

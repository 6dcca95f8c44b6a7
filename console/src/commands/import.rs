//! `brigade import`: the one-click import. Everything in one process, until the job's end.

use conf::{Home, JobConf, SysConf};
use proto::text::counted;
use proto::v1;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::cli::{Cli, Import};
use crate::commands::{self, report};
use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat;
use crate::output::Output;
use crate::progress::{self, Progress};
use crate::service::{self, Service};
use crate::standalone::Standalone;
use crate::{check, summary};

/// What to do about an earlier job of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    New,
    Resume,
    Restart,
    /// The user wants neither.
    Leave,
}

pub(crate) async fn run(cli: &Cli, args: &Import, home: &Home, output: &Output) -> Outcome {
    let conf = check::sys_conf(home, output)?;
    let file = args.file.clone().unwrap_or_else(|| check::local_job(home));
    let job = check::job_conf(&file, output)?;
    let job = check::first_look(&job).await?;
    commands::log(cli, home, conf::home::Role::Import, &conf.log_level)?;
    let mut roles = Standalone::master_only(home, &conf).await?;
    let import = One { cli, args, home, job: &job, output };
    let ended = tokio::select! {
        ended = Box::pin(import.carry_out(&conf, &mut roles)) => ended,
        () = asked_to_stop() => {
            output.note("stopping: what is in flight ends first; once more stops at once, and loses nothing either");
            Err(Failure::new(format!("stopped; go on with `brigade import --resume`{}", hint(args))))
        }
    };
    tokio::select! {
        stopped = roles.stop() => match (ended, stopped) {
            // Whatever failed here failed because of that.
            (Err(_), Err(why)) => Err(why),
            (ended, Err(why)) => {
                output.note(&format!("warning: {why}"));
                ended
            }
            (ended, Ok(())) => ended,
        },
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

/// One import: what was asked for.
struct One<'a> {
    cli: &'a Cli,
    args: &'a Import,
    home: &'a Home,
    job: &'a JobConf,
    output: &'a Output,
}

impl One<'_> {
    async fn carry_out(&self, conf: &SysConf, roles: &mut Standalone) -> Outcome {
        let service = roles.service().clone();
        let earlier = self.earlier(&service).await?;
        // Nothing moves before this is decided: there is no worker yet.
        match (self.choose(&service, earlier.as_ref()).await?, &earlier) {
            (Way::Leave, Some(stat)) => return self.leave(stat),
            (Way::Resume, Some(stat)) => self.go_on(&service, stat).await?,
            (Way::Restart, Some(_)) => self.start_anew(&service).await?,
            _ => drop(service.submit(self.job.to_wire()).await?),
        }
        roles.join(conf).await?;
        self.until_done(&service).await
    }

    /// The job of this name, where there is one. One that was being cleaned when its master died is cleaned first.
    async fn earlier(&self, service: &Service) -> Result<Option<v1::JobStat>, Failure> {
        let name = &self.job.name;
        let found = service.find(name).await?;
        if found.as_ref().is_none_or(|stat| stat.state != "cancelled") {
            return Ok(found);
        }
        // The master cleans what is left of it by itself, too: it may be gone before we ask.
        match service.clean(name, true).await {
            Err(failure) if service.find(name).await?.is_some() => Err(failure),
            _ => Ok(None),
        }
    }

    /// To the end, and again as often as failures are to be retried.
    async fn until_done(&self, service: &Service) -> Outcome {
        let name = &self.job.name;
        let mut retries_left = self.args.retry.unwrap_or(0);
        loop {
            let stat = until_it_rests(service, name, self.output).await?;
            let may_retry = stat.state == "failed" && stat.objects_failed > 0;
            let again = if may_retry && retries_left > 0 {
                retries_left -= 1;
                true
            } else {
                may_retry && self.args.retry.is_none() && !self.cli.no_input && {
                    self.output.text(&summary::text(&stat, None));
                    let failed = counted(stat.objects_failed, "object");
                    self.output.agrees(&format!("{failed} failed. Retry?")).await
                }
            };
            if !again {
                return finish(service, self.home, &stat, self.output).await;
            }
            service.retry(name).await?;
        }
    }

    /// What the flags say, else what the user says, else what is safe.
    async fn choose(&self, service: &Service, earlier: Option<&v1::JobStat>) -> Result<Way, Failure> {
        let Some(stat) = earlier else { return Ok(Way::New) };
        if self.args.restart {
            return Ok(Way::Restart);
        }
        let other = service.refresh(self.job.to_wire(), true).await?.fixed;
        let complete = stat.state == "succeeded";
        if self.cli.no_input || self.args.resume {
            return unasked(stat, &other, complete && !self.args.resume).map(|()| Way::Resume);
        }
        if complete || !other.is_empty() {
            let why = if other.is_empty() {
                "is complete".to_owned()
            } else {
                let stands = stands(&stat.state);
                format!("{stands}, and the job file now says otherwise in {}", other.join(", "))
            };
            let question =
                format!("The job {} {why}. Forget it and start anew? What was moved stays.", stat.job);
            return Ok(if self.output.agrees(&question).await { Way::Restart } else { Way::Leave });
        }
        let question = format!(
            "The job {} was begun and {}. Go on where it stopped? [Y/n]",
            stat.job,
            stands(&stat.state)
        );
        match self.output.ask(&question).await.as_deref() {
            Some("n" | "no") => {
                let sure = self.output.agrees("Forget it and start anew? What was moved stays.").await;
                Ok(if sure { Way::Restart } else { Way::Leave })
            }
            _ => Ok(Way::Resume),
        }
    }

    /// Takes over fresh keys of access and limits. A running job goes on by itself; a paused one is told to.
    async fn go_on(&self, service: &Service, stat: &v1::JobStat) -> Result<(), Failure> {
        let taken = service.refresh(self.job.to_wire(), false).await?.renewable;
        if !taken.is_empty() {
            self.output.note(&format!("from the job file as it is now: {}", taken.join(", ")));
        }
        let scan_failed = stat.state == "failed" && !stat.scan_done;
        if stat.state == "paused" || scan_failed {
            service.resume(&stat.job).await?;
        }
        Ok(())
    }

    async fn start_anew(&self, service: &Service) -> Result<(), Failure> {
        let cleaned = service.clean(&self.job.name, true).await?;
        for problem in &cleaned.problems {
            self.output.note(&format!("warning: {problem}"));
        }
        service.submit(self.job.to_wire()).await.map(drop)
    }

    /// Nothing was wanted: what stands is said again.
    fn leave(&self, stat: &v1::JobStat) -> Outcome {
        self.output.note(&format!("nothing was done; the job {} stands like this:", stat.job));
        self.output.text(&job_stat::table(stat));
        self.output.json(&job_stat::document(stat));
        Ok(exit(stat))
    }
}

/// How a job stands that nobody works on now.
fn stands(state: &str) -> &str {
    match state {
        "succeeded" => "is complete",
        "failed" => "has failures",
        "paused" => "is paused",
        _ => "is not complete",
    }
}

/// Without a question: may the earlier job go on?
fn unasked(stat: &v1::JobStat, other: &[String], complete: bool) -> Result<(), Failure> {
    let name = &stat.job;
    if !other.is_empty() {
        return Err(Failure::usage(format!(
            "the job file says otherwise than the job {name} that was begun, in {}: put that back, or start anew with --restart (what was moved stays)",
            other.join(", ")
        )));
    }
    if complete {
        return Err(Failure::usage(format!(
            "the job {name} is complete: say --restart to start anew, or --resume to see its summary"
        )));
    }
    Ok(())
}

/// Shows progress until nothing more will happen by itself. An incremental job that waits for its next round
/// goes on.
async fn until_it_rests(service: &Service, job: &str, output: &Output) -> Result<v1::JobStat, Failure> {
    let mut progress = Progress::new(*output);
    let mut changes = service.watch(job).await?;
    let mut last = None;
    loop {
        // Where nothing changes, that is said as well.
        let Ok(change) = timeout(progress::EVERY, changes.message()).await else {
            last.iter().for_each(|stat| progress.show(stat));
            continue;
        };
        let Some(stat) = change.map_err(|status| service::failure(&status))? else { break };
        if matches!(stat.state.as_str(), "succeeded" | "failed" | "paused" | "cancelled") {
            progress.clear();
            return Ok(stat);
        }
        progress.show(&stat);
        last = Some(stat);
    }
    Err(Failure::new(format!("the master ended before the job {job}")))
}

async fn finish(service: &Service, home: &Home, stat: &v1::JobStat, output: &Output) -> Outcome {
    if stat.state == "cancelled" {
        return Err(Failure::new(format!(
            "the job {0} was cleaned by another command: what was moved stays; `brigade import` begins it anew",
            stat.job
        )));
    }
    let report = match report::into_folder(service, home, &stat.job).await {
        Ok(path) => Some(path),
        Err(failure) => {
            let name = &stat.job;
            output.note(&format!(
                "warning: {failure}; `brigade report {name} --out FILE` writes the report anew"
            ));
            None
        }
    };
    output.text(&summary::text(stat, report.as_deref()));
    let mut document = job_stat::document(stat);
    document["report"] = json!(report);
    if stat.state == "paused" {
        output.note("mend that, then go on with `brigade import --resume`");
        output.json(&document);
        return Ok(Exit::Failure);
    }
    if stat.state == "failed" && stat.objects_failed > 0 {
        output.note("move what failed again with `brigade import --resume --retry 1`");
    }
    output.json(&document);
    Ok(exit(stat))
}

/// The exit code that a job at rest stands for.
fn exit(stat: &v1::JobStat) -> Exit {
    match stat.state.as_str() {
        "succeeded" => Exit::Done,
        "failed" if stat.objects_failed > 0 => Exit::ObjectsFailed,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(state: &str, failed: u64) -> v1::JobStat {
        v1::JobStat { state: state.into(), objects_failed: failed, ..v1::JobStat::default() }
    }

    #[test]
    fn the_exit_code_tells_failed_objects_from_a_failed_job() {
        assert_eq!(exit(&stat("succeeded", 0)), Exit::Done);
        assert_eq!(exit(&stat("failed", 2)), Exit::ObjectsFailed);
        assert_eq!(exit(&stat("failed", 0)), Exit::Failure);
        assert_eq!(exit(&stat("paused", 2)), Exit::Failure);
    }

    #[test]
    fn without_questions_a_changed_job_file_is_never_taken_for_the_old_one() {
        assert!(unasked(&stat("running", 0), &[], false).is_ok());
        let refused = unasked(&stat("running", 0), &["transfer.verify".into()], false).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.message.contains("transfer.verify") && refused.message.contains("--restart"));
        assert_eq!(unasked(&stat("succeeded", 0), &[], true).unwrap_err().exit, Exit::Usage);
    }
}

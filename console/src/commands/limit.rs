//! `brigade limit [JOB]`: limits and priority, while it runs.

use conf::Home;
use conf::units::ByteRate;
use proto::v1;

use crate::cli::Limit;
use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat::{self, size};
use crate::output::Output;
use crate::service::Service;

pub(crate) async fn run(args: &Limit, home: &Home, output: &Output) -> Outcome {
    let bytes = args.bytes.as_deref().map(str::parse::<ByteRate>).transpose();
    let bytes = bytes.map_err(|error| Failure::usage(format!("--bytes: {error}")))?;
    if bytes.is_none() && args.requests.is_none() && args.priority.is_none() {
        return Err(Failure::usage("say what to change: --bytes, --requests or --priority"));
    }
    let request = v1::LimitRequest {
        job: args.job.clone().unwrap_or_default(),
        bytes_per_s: bytes.map(|rate| rate.0),
        requests_per_s: args.requests,
        priority: args.priority,
    };
    let stat = Service::connect(home).await?.limit(request).await?;
    let limits = stat.limits.unwrap_or_default();
    let rate = |n: u64, text: String| if n == 0 { "no limit".to_owned() } else { text };
    output.text(&format!(
        "{}: bytes {}, requests {}, priority {}",
        args.job.as_deref().unwrap_or("the cluster"),
        rate(limits.bytes_per_s, format!("{}/s", size(limits.bytes_per_s))),
        rate(limits.requests_per_s, format!("{}/s", limits.requests_per_s)),
        stat.priority,
    ));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

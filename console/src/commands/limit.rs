//! `brigade limit [JOB]`: limits and priority, while it runs.

use conf::Home;
use conf::units::ByteRate;
use proto::v1;
use serde_json::json;

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
    let stat = Service::connect(home).await?.limit(request.clone()).await?;
    let Some(job) = &args.job else {
        // The answer knows no job: what was asked for is what holds now.
        output.text(&format!("the whole cluster: {}", words(request.bytes_per_s, request.requests_per_s)));
        output.json(&json!({
            "cluster": { "bytes_per_s": request.bytes_per_s, "requests_per_s": request.requests_per_s },
        }));
        return Ok(Exit::Done);
    };
    let limits = stat.limits.unwrap_or_default();
    let words = words(Some(limits.bytes_per_s), Some(limits.requests_per_s));
    output.text(&format!("{job}: {words}, priority {}", stat.priority));
    output.json(&job_stat::document(&stat));
    Ok(Exit::Done)
}

/// `bytes 50.0 MiB/s, requests no limit`; what is not given is left out.
fn words(bytes: Option<u64>, requests: Option<u64>) -> String {
    let rate = |what: &str, n: u64, text: String| {
        if n == 0 { format!("{what} no limit") } else { format!("{what} {text}/s") }
    };
    let bytes = bytes.map(|n| rate("bytes", n, size(n)));
    let requests = requests.map(|n| rate("requests", n, n.to_string()));
    bytes.into_iter().chain(requests).collect::<Vec<_>>().join(", ")
}

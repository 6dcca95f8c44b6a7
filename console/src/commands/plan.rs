//! `brigade plan [FILE]`: what a job would find at its source. Lists, counts, and writes nothing.

use std::path::Path;

use conf::{Home, JobConf};
use master::plan::{Count, Plan};
use proto::ObjectKey;
use proto::text::{counted, grouped};
use serde_json::{Value, json};
use storage::Meter;

use crate::check;
use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat::size;
use crate::output::Output;

/// Prefixes that a person is shown, the largest first; programs get all.
const SHOWN: usize = 20;

pub(crate) async fn run(file: Option<&Path>, home: &Home, output: &Output) -> Outcome {
    let default = || check::first_existing(home, &["job.toml", "job.cfg", "local_job.toml", "local_job.cfg"]);
    let file = file.map_or_else(default, Path::to_path_buf);
    let job = check::job_conf(&file, output)?;
    let meter = Meter::unlimited();
    let (job, source) = check::source(&job, &meter).await?;
    let plan = master::plan::plan(&job, source, &meter).await;
    let plan = plan.map_err(|error| {
        Failure::new(format!("the source {} cannot be listed to its end: {error}", job.source.describe()))
    })?;
    output.text(&(text(&job.source.describe(), &plan) + &mapping(&job.destination.prefix, &plan)));
    for warning in &plan.warnings {
        output.note(&format!("warning: {warning}"));
    }
    output.json(&document(&job, &plan));
    Ok(Exit::Done)
}

fn text(source: &str, plan: &Plan) -> String {
    let Count { objects, bytes } = plan.all;
    let bytes = if plan.unknown > 0 { "sizes known when they are read,".to_owned() } else { size(bytes) };
    // Exact, and first, for whoever takes it from here.
    let mut text = format!("{objects} object{}, {bytes} in {source}\n", if objects == 1 { "" } else { "s" });
    if plan.special > 0 {
        text.push_str(&format!("left out, for they are no objects: {}\n", grouped(plan.special)));
    }
    let mut line = |name: &str, count: &Count| {
        text.push_str(&format!("  {name:<32} {:>15} {:>12}\n", grouped(count.objects), size(count.bytes)));
    };
    let mut before = None;
    for (most, count) in plan.sizes.iter() {
        if count.objects > 0 {
            line(&class(before, *most), count);
        }
        before = *most;
    }
    let mut prefixes: Vec<_> = plan.prefixes.iter().collect();
    prefixes.sort_by_key(|(_, count)| std::cmp::Reverse((count.bytes, count.objects)));
    let (shown, more) = prefixes.split_at(prefixes.len().min(SHOWN));
    line("by first segment", &plan.all);
    for (prefix, count) in shown {
        let name = prefix.to_string();
        line(if name.is_empty() { "(no /)" } else { &name }, count);
    }
    let rest = more.iter().fold(plan.other_prefixes, |sum, (_, count)| Count {
        objects: sum.objects + count.objects,
        bytes: sum.bytes.saturating_add(count.bytes),
    });
    if rest.objects > 0 {
        line("(others)", &rest);
    }
    text.trim_end().to_owned()
}

/// What the rules make of the first keys.
fn mapping(prefix: &str, plan: &Plan) -> String {
    let mut text = String::new();
    for (at, (key, to)) in plan.mapping.iter().enumerate() {
        text.push_str(if at == 0 { "\nthe first keys, and what they become:\n" } else { "\n" });
        text.push_str(&format!("  {key}  ->  {}{to}", ObjectKey::from(prefix)));
    }
    if plan.refused > 0 {
        text.push_str(&format!("\n{} would fail with INVALID_NAME:", counted(plan.refused, "object")));
    }
    for (key, why) in &plan.refusals {
        text.push_str(&format!("\n  {key}: {why}"));
    }
    text
}

fn class(before: Option<u64>, most: Option<u64>) -> String {
    match (before, most) {
        (_, Some(0)) => "empty".to_owned(),
        (_, Some(most)) => format!("up to {}", size(most)),
        (before, None) => format!("more than {}", size(before.unwrap_or(0))),
    }
}

fn document(job: &JobConf, plan: &Plan) -> Value {
    let full = |to: &ObjectKey| format!("{}{to}", ObjectKey::from(&*job.destination.prefix));
    let mapping = plan.mapping.iter().map(|(key, to)| json!({ "key": key.to_string(), "to": full(to) }));
    let refusals = plan.refusals.iter().map(|(key, why)| json!({ "key": key.to_string(), "text": why }));
    let count = |count: &Count| json!({ "objects": count.objects, "bytes": count.bytes });
    let sizes = plan
        .sizes
        .iter()
        .map(|(most, all)| json!({ "up_to": most, "objects": all.objects, "bytes": all.bytes }));
    let prefixes = plan.prefixes.iter().map(
        |(prefix, all)| json!({ "prefix": prefix.to_string(), "objects": all.objects, "bytes": all.bytes }),
    );
    json!({
        "job": job.name,
        "objects": plan.all.objects,
        "bytes": if plan.unknown > 0 { Value::Null } else { json!(plan.all.bytes) },
        "sizes_unknown": plan.unknown,
        "special": plan.special,
        "sizes": sizes.collect::<Vec<_>>(),
        "prefixes": prefixes.collect::<Vec<_>>(),
        "other_prefixes": count(&plan.other_prefixes),
        "list_requests": plan.list_requests,
        "warnings": plan.warnings,
        "mapping": mapping.collect::<Vec<_>>(),
        "refused": plan.refused,
        "refusals": refusals.collect::<Vec<_>>(),
    })
}

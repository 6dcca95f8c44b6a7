//! `brigade report JOB`: the audit record with its certificate; `--check FILE` proves an archived one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use conf::Home;
use proto::text::counted;
use proto::v1::report_chunk::Part;

use crate::certificate::{self, Certificate, Summing};
use crate::cli::{Report, ReportFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::job_stat::{count, size};
use crate::offline::Answering;
use crate::output::Output;
use crate::service::{Service, failure};
use crate::{check, lock, record};

pub(crate) async fn run(args: &Report, home: &Home, output: &Output) -> Outcome {
    if let Some(file) = &args.check {
        return prove(file, output);
    }
    let job = match &args.job {
        Some(job) => job.clone(),
        None => check::job_conf(&check::local_job(home), output)?.name,
    };
    let answering = Answering::connect(home).await?;
    let written = write(answering.service(), home, &job, args).await;
    answering.leave().await;
    let (head, mut records) = written?;
    match &args.out {
        Some(path) => {
            put(path, |file| copy(&head, &mut records, args.format, file))?;
            output.text(&line(&head, &path.display().to_string()));
            output.json(&head);
        }
        None => {
            let mut out = std::io::stdout().lock();
            match copy(&head, &mut records, args.format, &mut out) {
                // Whoever reads has enough, as `head` has.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                printed => printed.map_err(|error| Failure::new(format!("cannot print: {error}")))?,
            }
        }
    }
    Ok(Exit::Done)
}

/// Writes `report.jsonl` into a job's folder; answers its path.
pub(crate) async fn into_folder(service: &Service, home: &Home, job: &str) -> Result<String, Failure> {
    let args = Report {
        job: None,
        format: ReportFormat::Jsonl,
        failed: false,
        not_carried: false,
        out: None,
        check: None,
    };
    let (head, mut records) = write(service, home, job, &args).await?;
    let path = home.job(job).join("report.jsonl");
    put(&path, |file| copy(&head, &mut records, ReportFormat::Jsonl, file))?;
    Ok(path.display().to_string())
}

/// A file, whole or not at all; what is there and is no file (a pipe, a device) is written to.
fn put(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), Failure> {
    let direct = path.exists() && !path.is_file();
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(if direct { "" } else { ".tmp" });
    let written = File::create(&temporary).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        if direct { Ok(()) } else { file.sync_all().and_then(|()| std::fs::rename(&temporary, path)) }
    });
    if written.is_err() && !direct {
        // On a full disk half a report is in the way of whoever makes room.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(|error| Failure::file("write", path, &error))
}

/// The records go to a file without a name, because the head needs them all.
async fn write(
    service: &Service,
    home: &Home,
    job: &str,
    args: &Report,
) -> Result<(Certificate, File), Failure> {
    let mut chunks = service.report(job, args.failed, args.not_carried).await?;
    let mut file = scratch(home)?;
    let mut out = BufWriter::new(&mut file);
    let mut summing = None;
    while let Some(chunk) = chunks.message().await.map_err(|status| failure(&status))? {
        match chunk.part {
            Some(Part::Head(head)) => {
                summing = Some(Summing::new(&head.stat.unwrap_or_default(), args.failed, args.not_carried));
            }
            Some(Part::Records(batch)) => {
                let Some(summing) = &mut summing else { continue };
                for one in &batch.records {
                    let line = record::json_line(batch.round, batch.task, one);
                    summing.add(one, &line);
                    let shown = match args.format {
                        ReportFormat::Jsonl => line,
                        ReportFormat::Csv => record::csv_line(batch.round, batch.task, one),
                    };
                    out.write_all(shown.as_bytes()).map_err(|error| unwritten(home, &error))?;
                }
            }
            Some(Part::Tail(_)) | None => {}
        }
    }
    out.flush().map_err(|error| unwritten(home, &error))?;
    drop(out);
    let summing = summing.ok_or_else(|| Failure::new("the service sent no report"))?;
    Ok((summing.finish(), file))
}

fn unwritten(home: &Home, error: &std::io::Error) -> Failure {
    Failure::file("write the report in", &home.run(), error)
}

/// A file in `run/` that vanishes with its handle.
fn scratch(home: &Home) -> Result<File, Failure> {
    lock::make_private(&home.run())?;
    let path = home.run().join(format!("report.tmp{}", std::process::id()));
    let open = File::options().create(true).truncate(true).read(true).write(true).open(&path);
    let file = open.map_err(|error| Failure::file("write", &path, &error))?;
    let _ = std::fs::remove_file(&path);
    Ok(file)
}

fn copy(
    head: &Certificate,
    records: &mut File,
    format: ReportFormat,
    out: &mut impl Write,
) -> std::io::Result<()> {
    match format {
        ReportFormat::Jsonl => writeln!(out, "{}", serde_json::to_string(head).unwrap_or_default())?,
        ReportFormat::Csv => {
            write!(out, "# {}\r\n", serde_json::to_string(head).unwrap_or_default())?;
            write!(out, "{}\r\n", record::COLUMNS.join(","))?;
        }
    }
    records.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = records.read(&mut buffer)?;
        if n == 0 {
            return out.flush();
        }
        out.write_all(&buffer[..n])?;
    }
}

fn prove(path: &Path, output: &Output) -> Outcome {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    let head = certificate::check(BufReader::new(file))?;
    output.text(&format!("{}: unchanged since it was written\n{}", path.display(), line(&head, "")));
    output.json(&head);
    Ok(Exit::Done)
}

fn line(head: &Certificate, path: &str) -> String {
    let to = if path.is_empty() { String::new() } else { format!(", written to {path}") };
    format!(
        "{}: found {} ({}); {} succeeded, {} skipped, {} failed; {}{}{to}, sha256 {}",
        head.job,
        counted(head.found.objects, "object"),
        size(head.found.bytes),
        count(head.succeeded.objects),
        count(head.skipped.objects),
        count(head.failed.objects),
        if head.incomplete > 0 { format!("{} not whole; ", count(head.incomplete)) } else { String::new() },
        counted(head.records, "record"),
        head.sha256,
    )
}

//! The live display on a terminal, or a plain line every ten seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use proto::v1;

use crate::job_stat::{count, named, rate, size};
use crate::output::{Output, printable};

/// Between two plain lines.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// Shows how a job goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last: Instant,
    output: Output,
}

impl Progress {
    pub(crate) fn new(output: Output) -> Self {
        let bar = output.is_live().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{spinner} {bar:20} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress { bar, last: Instant::now(), output }
    }

    /// The figures of this moment.
    pub(crate) fn show(&mut self, stat: &v1::JobStat) {
        let line = line(stat);
        if let Some(bar) = &self.bar {
            bar.set_length(stat.scan_bytes.max(1));
            bar.set_position(
                stat.bytes_succeeded + stat.bytes_skipped + stat.bytes_failed + stat.bytes_in_flight,
            );
            bar.set_message(printable(&line));
        } else if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.output.note(&line);
        }
    }

    /// Takes the display away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `1,200 of 5,000 objects, 3.2 of 10.0 GiB; 120 objects/s, 1.0 MiB/s, 5m left; 2 failed; limited by source`
fn line(stat: &v1::JobStat) -> String {
    let done = stat.objects_succeeded + stat.objects_skipped + stat.objects_failed;
    let scan = if stat.scan_done { "" } else { " (still scanning)" };
    let bytes = size(stat.bytes_succeeded + stat.bytes_in_flight);
    let mut line = format!(
        "{} of {} objects{scan}, {bytes} of {}; {}",
        count(done),
        count(stat.scan_objects),
        size(stat.scan_bytes),
        rate(stat)
    );
    if stat.objects_failed > 0 {
        line.push_str(&format!("; {} failed ({})", count(stat.objects_failed), named(&stat.failures)));
    }
    if stat.objects_waiting > 0 {
        line.push_str(&format!("; {} wait for a restore", count(stat.objects_waiting)));
    }
    if !stat.limited_by.is_empty() {
        line.push_str(&format!("; limited by {}", stat.limited_by));
    }
    line
}

//! How fast, and at what cost: Brigade beside rclone (where it is installed) in the same run, interleaved, between
//! servers that others wrote, with verification on.
//!
//!     bash tests/bench/run.sh                      all cells, three runs each
//!     bash tests/bench/run.sh small-s3-s3 plan     some cells
//!     bash tests/bench/run.sh --save               and keep the figures as those of this release
//!
//! It ends with what got worse since the figures that were kept (`tests/bench/kept.json`), by ratio to a loop of fixed
//! work that is timed beside each run: machines differ, and drift.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "its tables are what it is for")]

mod cells;
mod kept;
mod line;
mod measure;

use std::collections::BTreeMap;

use cells::{CELLS, Cell, Stage};
use measure::{Figures, Taken};

/// Runs of each cell: medians are compared.
const RUNS: usize = 3;

fn main() {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let wanted = |cell: &&Cell| names.is_empty() || names.iter().any(|name| name == cell.name);
    let cells: Vec<&Cell> = CELLS.iter().filter(wanted).collect();
    assert!(!cells.is_empty(), "the cells are {:?}", CELLS.map(|cell| cell.name));
    let rclone = measure::rclone();
    if rclone.is_none() {
        println!("rclone is not in PATH: Brigade is measured alone");
    }
    println!(
        "| cell | tool | wall s | CPU s | CPU s/GiB | CPU s/10,000 objects | peak MiB | of rclone: CPU, wall |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut found = BTreeMap::new();
    for cell in cells {
        let stage = Stage::set(cell);
        let (mut ours, mut theirs) = (Taken::default(), Taken::default());
        for run in 0..RUNS {
            // The order changes, so that neither is always the one after a pause.
            if run % 2 == 0 {
                ours.add(stage.brigade(cell));
            }
            if let Some(rclone) = &rclone {
                theirs.add(stage.rclone(cell, rclone));
            }
            if run % 2 == 1 {
                ours.add(stage.brigade(cell));
            }
        }
        let (ours, theirs) = (ours.median(), rclone.is_some().then(|| theirs.median()));
        print(cell, "brigade", ours, theirs);
        if let Some(theirs) = theirs {
            print(cell, "rclone", theirs, None);
        }
        found.insert(cell.name.to_owned(), ours);
    }
    kept::compare(&found);
    if flags.iter().any(|flag| flag == "--save") {
        kept::save(found);
    }
}

fn print(cell: &Cell, tool: &str, of: Figures, beside: Option<Figures>) {
    let gib = (cell.objects * cell.size) as f64 / f64::from(1 << 30);
    let per_gib = if gib > 0.1 { format!("{:.2}", of.cpu_s / gib) } else { "–".to_owned() };
    let per_objects = if cell.objects >= 500 {
        format!("{:.2}", of.cpu_s / cell.objects as f64 * 10_000.0)
    } else {
        "–".to_owned()
    };
    let ratio = beside.map_or_else(String::new, |them| {
        format!("{:.2}, {:.2}", of.cpu_s / them.cpu_s, of.wall_s / them.wall_s)
    });
    println!(
        "| {} | {tool} | {:.2} | {:.2} | {per_gib} | {per_objects} | {:.0} | {ratio} |",
        cell.name, of.wall_s, of.cpu_s, of.peak_mib
    );
}

//! The figures of the last release, and what got worse since.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::measure::Figures;

/// Runs differ by so much without a reason.
const NOISE: f64 = 1.25;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench/kept.json")
}

fn kept() -> BTreeMap<String, Figures> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Prints what is worse than it was. Times count in loops of fixed work.
pub(crate) fn compare(found: &BTreeMap<String, Figures>) {
    let kept = kept();
    let mut worse = false;
    for (cell, now) in found {
        let Some(then) = kept.get(cell) else { continue };
        let in_loops = |of: &Figures, seconds: f64| seconds / of.loop_s;
        let figures = [
            ("wall time", in_loops(now, now.wall_s) / in_loops(then, then.wall_s)),
            ("processor time", in_loops(now, now.cpu_s) / in_loops(then, then.cpu_s)),
            ("memory", now.peak_mib / then.peak_mib),
        ];
        for (what, ratio) in figures.into_iter().filter(|(_, ratio)| *ratio > NOISE) {
            worse = true;
            println!("worse: {cell}: {what} is {ratio:.2} times what it was");
        }
    }
    if !worse {
        println!("nothing is worse than it was by more than {:.0} %", (NOISE - 1.0) * 100.0);
    }
}

/// Keeps these figures; those of cells that were not measured stay.
pub(crate) fn save(found: BTreeMap<String, Figures>) {
    let mut kept = kept();
    kept.extend(found);
    std::fs::write(file(), serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
}

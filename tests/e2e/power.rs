//! Power loss: everything that an import does to its home and to a local destination is recorded; then both are
//! made as they may be when the power goes at any sync, and the import goes on.
//!
//!     BRIGADE_BOUNDARIES=all BRIGADE_SEEDS=0..4 cargo test -p tests --test e2e --all-features -- power
//!
//! takes all syncs, with four kinds of luck each; otherwise a seed chooses some.

use proto::breakpoint::{BEGUN, RECORDED};
use tests::crash::{End, Objects, must_be_true, must_be_whole, objects};
use tests::family::Dialect;
use tests::home::Home;
use tests::power::{Disk, Event, Fate, read, recorder};
use tests::random::Random;

const JOB: &str = "local_test";

struct Recorded {
    home: Home,
    _from: End,
    to: End,
    all: Objects,
    disk: Disk,
    events: Vec<Event>,
}

/// An import that dies at these places, one after the other, and then comes to its end.
fn record(places: &[&str]) -> Recorded {
    let (home, from) = (Home::new(), End::server(Dialect::Oss));
    let to = End::tree_in(home.path());
    let all = objects(35, 1, 5_300_000);
    from.fill(&all);
    home.job(
        &from.side(),
        &to.side(),
        "[task]\nobject_count_limit = 12\n[transfer]\nmultipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n",
    );
    let disk = Disk::at(home.path());
    let folder = tempfile::tempdir().unwrap();
    let (library, log) = (recorder(folder.path()), folder.path().join("record"));
    for place in places.iter().copied().chain([""]) {
        let mut command = home.command(&["--no-input", "import", "--resume"]);
        command.env("BRIGADE_BREAKPOINT", place).env("LD_PRELOAD", &library);
        command.env("RECORD_BELOW", home.path()).env("RECORD_TO", &log);
        let output = command.output().unwrap();
        let code = if place.is_empty() { Some(0) } else { None };
        assert_eq!(output.status.code(), code, "{place}: {}", String::from_utf8_lossy(&output.stderr));
    }
    must_be_whole(&home, JOB, &to, &all);
    Recorded { home, _from: from, to, all, disk, events: read(&log) }
}

impl Recorded {
    /// The power goes before the syncs at these places. How many went on, and what the others were told.
    fn lose_power(
        mut self,
        chosen: impl Fn(usize) -> bool,
        fate: Fate,
        random: &mut Random,
    ) -> (usize, Vec<String>) {
        let (mut boundary, mut known, mut refused, mut went_on) = (0, false, Vec::new(), 0);
        for (at, event) in std::mem::take(&mut self.events).into_iter().enumerate() {
            if event.is_sync() {
                if chosen(boundary) {
                    let told = format!("before sync {boundary} (event {at}), {fate:?}");
                    self.disk.rebuild(fate, random);
                    if let Some(to) = std::env::var_os("BRIGADE_KEEP") {
                        let _ = std::fs::remove_dir_all(&to);
                        let _ = std::process::Command::new("cp")
                            .arg("-a")
                            .arg(self.home.path())
                            .arg(&to)
                            .status();
                    }
                    // By luck the job may be there before it was answered: only without any it has to stay.
                    let mut lucky = false;
                    let known = if fate == Fate::Nothing { &mut known } else { &mut lucky };
                    match self.goes_on(known, &told) {
                        Ok(()) => went_on += 1,
                        Err(told) => refused.push(told),
                    }
                }
                boundary += 1;
            }
            self.disk.apply(&event);
        }
        assert!(went_on > 0, "nothing was tried");
        (went_on, refused)
    }

    fn goes_on(&self, known: &mut bool, told: &str) -> Result<(), String> {
        let stat = self.home.run(&["stat", JOB]);
        let named = |said: &str| {
            said.contains("master/") && (said.contains("Restore") || said.contains("Put the file back"))
        };
        if stat.code != 0 && named(&stat.err) {
            return Err(format!("{told}: {}", stat.err.trim()));
        }
        assert!(stat.code == 0 || !*known, "{told}: the job was there before: {}", stat.err);
        *known |= stat.code == 0;
        let true_so_far = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            must_be_true(&self.home, JOB, &self.to, &self.all)
        }));
        assert!(true_so_far.is_ok(), "{told}: something is recorded that is not true");
        let said = self.home.run(&["--no-input", "import", "--resume"]);
        if said.code != 0 && named(&(said.out.clone() + &said.err)) {
            return Err(format!("{told}: {}", said.err.trim()));
        }
        assert_eq!(said.code, 0, "{told}: {}{}", said.out, said.err);
        let whole = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            must_be_whole(&self.home, JOB, &self.to, &self.all)
        }));
        assert!(whole.is_ok(), "{told}: it went on, and is not whole");
        Ok(())
    }
}

#[test]
fn after_a_power_loss_at_any_sync_the_import_goes_on() {
    let all = std::env::var("BRIGADE_BOUNDARIES").is_ok_and(|which| which == "all");
    let mut all_refused = Vec::new();
    for seed in tests::random::seeds("0..1") {
        for fate in [Fate::Nothing, Fate::Some, Fate::All] {
            let mut random = Random::new(seed);
            let recorded = record(&[BEGUN, &format!("{RECORDED}#1")]);
            let syncs = recorded.events.iter().filter(|event| event.is_sync()).count();
            let share = if all { 1 } else { 1 + syncs as u64 / 12 };
            let mut choose = random.clone();
            let chosen: Vec<bool> = (0..syncs).map(|_| choose.below(share) == 0).collect();
            let (went_on, refused) = recorded.lose_power(|boundary| chosen[boundary], fate, &mut random);
            println!(
                "seed {seed}, {fate:?}: {syncs} syncs, {went_on} went on, {} were refused",
                refused.len()
            );
            all_refused.extend(refused);
        }
    }
    assert!(all_refused.is_empty(), "refused, where it could have gone on: {all_refused:#?}");
}

use super::{
    context::Context,
    failure::{Exit, Failure, Result},
    output::{Output, stderr_size},
    paint::Paint,
    wording::{count, cut, duration},
};
use crate::{
    model::Millis,
    os::{file_system, stderr},
    prove::{self, Drill, Invariant, Progress, Report},
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Torture windlass on this disk, and check that nothing is lost
///
/// Starts workers and clients of this program in a fresh directory, kills and stops them at random and inside each
/// critical moment, fills a small disk in memory under some of them (never yours), then finishes all work and checks
/// every promise from outside. Your own data is not touched.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after killing this many processes
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// The seed of all random decisions [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Workers that live at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// End after this many seconds, however many processes were killed
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// A directory that is empty or does not exist yet, on the disk to test; it is kept [default: a temporary one, on
    /// the disk of the home directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const CLIENTS: usize = 2;
/// The time limit for the remaining work after the last fault.
const PATIENCE: Duration = Duration::from_secs(120);

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        let kept = self.dir.is_some();
        let dir = match &self.dir {
            Some(dir) => cx.here()?.join(dir),
            None => temporary(&cx.home()?.path)?,
        };
        file_system::refuse_network_file_system(dir.parent().unwrap_or(&dir))?;
        let drill = Drill {
            dir,
            program: None,
            seed: self.seed.unwrap_or_else(seed),
            kills: self.kills as usize,
            workers: self.workers as usize,
            clients: CLIENTS,
            at_most: self.seconds.map(Duration::from_secs),
            patience: PATIENCE,
        };
        cx.output.note(format!("proving {} with seed {}", drill.dir.display(), drill.seed));
        let report = watch(&drill, &cx.output)?;
        show(&report, &cx.output)?;
        if !report.verdict.is_sound() {
            let message = format!(
                "{}; everything is kept in {}",
                count(report.verdict.violations.len() as u64, "violation"),
                drill.dir.display()
            );
            return Err(Failure::new(Exit::Error, message).hint(format!(
                "please report it with this directory; repeat with `windlass prove --seed {}`",
                report.seed
            )));
        }
        if !kept {
            std::fs::remove_dir_all(&drill.dir).map_err(|source| Failure::io("remove", &drill.dir, source))?;
        }
        Ok(())
    }
}

/// A new directory on the disk of the home, which may not exist yet.
fn temporary(home: &Path) -> Result<PathBuf> {
    let near = home.ancestors().find(|it| it.is_dir()).unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new().prefix("prove-").tempdir_in(near);
    Ok(made.map_err(|source| Failure::io("make a directory in", near, source))?.keep())
}

fn seed() -> u64 {
    // Six digits are easy to repeat.
    u64::from(getrandom::u32().unwrap_or(std::process::id())) % 1_000_000
}

fn watch(drill: &Drill, output: &Output) -> Result<Report> {
    let begun = Instant::now();
    let mut killed = 0;
    let draw = |what: &str, killed: usize| {
        if output.lively {
            let took = duration(Millis::seconds(begun.elapsed().as_secs()));
            let line = format!("{what}: {killed} of {} kills, {took}", drill.kills);
            stderr::draw(vec![cut(&line, stderr_size().1.saturating_sub(1))]);
        }
    };
    draw("torturing", killed);
    let report = prove::run(drill, &mut |progress| match progress {
        Progress::Killed { done, of } => {
            // Kills on the small disk come first.
            killed = drill.kills.saturating_sub(of) + done;
            draw("torturing", killed);
        }
        Progress::Filling => draw("filling a small disk", killed),
        Progress::Draining => draw("draining", killed),
        Progress::Checking => draw("checking", killed),
    });
    stderr::draw(Vec::new());
    Ok(report?)
}

fn show(report: &Report, output: &Output) -> Result<()> {
    if output.json {
        return output.document(report);
    }
    let windows: Vec<String> = report.windows.iter().map(|(name, count)| format!("{name} {count}")).collect();
    output.line(format!(
        "{} kills ({} workers, {} clients), {} stops ({} longer than silence), {} clock shifts in {:.0} s",
        report.kills,
        report.kills_of_workers,
        report.kills_of_clients,
        report.stops,
        report.long_stops,
        report.clock_shifts,
        report.tormented_s
    ))?;
    output.line(match &report.not_filled {
        None => format!(
            "a small disk filled {} times; {} submissions got that error",
            report.fills, report.disk_full_errors
        ),
        Some(why) => format!("the full disk was not tested: {why}"),
    })?;
    output.line(format!("kills in: {}; outside these {}", windows.join(", "), report.idle_kills))?;
    output.line(format!(
        "{} submissions ({} unknown), {} groups, {} steps, {} handlers ({} cut off), {} leases reaped, {} hooks, {} artifacts",
        report.submissions,
        report.unknown,
        report.groups,
        report.steps,
        report.attempts,
        report.cut_off,
        report.reaped,
        report.hooks,
        report.artifacts
    ))?;
    for invariant in Invariant::ALL {
        let found: Vec<_> = report.verdict.violations.iter().filter(|it| it.invariant == invariant).collect();
        let word = match found.is_empty() {
            true => output.paint(Paint::Good, "holds"),
            false => output.paint(Paint::Bad, "BROKEN"),
        };
        output.line(format!("{} {word:6} {}", invariant.letter(), invariant.sentence()))?;
        for violation in found.iter().take(MOST) {
            output.line(format!("    {}", violation.what))?;
        }
        if found.len() > MOST {
            output.line(format!("    and {} more", found.len() - MOST))?;
        }
    }
    if let Some(rate) = report.rate_below {
        output.line(format!(
            "no violation: fewer than {:.2} % of such crashes cause one (95 % confidence)",
            rate * 100.0
        ))?;
    }
    Ok(())
}

/// The most violations of one kind that are printed; `--json` has all.
const MOST: usize = 10;

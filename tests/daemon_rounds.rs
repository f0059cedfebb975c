//! Starts, stops, kills and autostarts at random, several at a time. There must never be two daemons, a signalled
//! foreign process, a leftover sentinel or a leftover child. `TEST_ROUNDS=1000` runs longer; `TEST_SEED` sets the seed.

mod support {
    pub mod binary;
    pub mod web;
}

use support::binary::{Running, Windlass};
use support::web;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use web::{until, wait};
use windlass::os::process_stat;

/// xorshift64*, so that a failed run can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Every process of windlass that works on this home, by pid. The home is in its command line or environment.
fn processes(home: &Path) -> Vec<(u32, String)> {
    let home = home.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let ours = pids.filter(|pid| *pid != std::process::id()).filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let named = line.contains(home) || String::from_utf8_lossy(&environment).contains(home);
        (named && !process_stat::is_zombie(pid)).then_some((pid, line))
    });
    ours.collect()
}

fn daemons(home: &Path) -> Vec<(u32, String)> {
    processes(home).into_iter().filter(|it| it.1.contains(" serve")).collect()
}

struct Rounds {
    home: tempfile::TempDir,
    chance: Chance,
    stranger: Child,
}

impl Rounds {
    fn holder(&self) -> Option<u32> {
        process_stat::who_holds_lock(&self.home.path().join("engine.db.lock"))
    }

    fn command(&self, arguments: &[&str]) -> Running {
        let mut command = Windlass::on(self.home.path());
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts one action. Foreground daemons are kept apart, because they end only when they are stopped.
    fn act(&mut self, short: &mut Vec<Running>, long: &mut Vec<Running>) {
        let home = self.home.path().to_path_buf();
        let flow = home.join("flow.yaml");
        match self.chance.below(9) {
            0 | 1 => short.push(self.command(&["serve", "--background"])),
            2 => long.push(self.command(&["serve"])),
            3 => short.push(self.command(&["stop"])),
            4 => short.push(self.command(&["submit", flow.to_str().unwrap()])),
            5 => short.push(self.command(&["ui", "--print"])),
            // What a crash, or someone's clean-up, leaves behind.
            6 => fs::write(home.join("serve.pid"), self.stale_info()).unwrap(),
            _ => {
                if let Some(pid) = self.holder() {
                    let signal = ["-9", "-15", "-15"][self.chance.below(3) as usize];
                    let _ = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
                }
            }
        }
    }

    /// A file that names a living foreign process.
    fn stale_info(&self) -> String {
        let own = process_stat::identity_of(self.stranger.id()).unwrap();
        serde_json::json!({
            "phase": "ready", "pid": own.pid, "start_time": own.start_time, "boot_id": own.boot_id,
            "pid_namespace": own.pid_namespace, "time_namespace": own.time_namespace, "version": "0", "nonce": "x",
            "http": "127.0.0.1:1", "socket": null, "since": 0,
        })
        .to_string()
    }

    fn round(&mut self, number: u64) {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.chance.below(5) {
            self.act(&mut short, &mut long);
        }
        for child in &mut short {
            wait(child);
        }
        // A foreground start succeeds: either it is the daemon, or it says that another one is.
        let home = self.home.path().to_path_buf();
        until(&format!("round {number}: at most one daemon is left"), || {
            long.retain_mut(|it| it.try_wait().unwrap().is_none());
            let left = daemons(&home);
            let settled = match (left.as_slice(), self.holder()) {
                ([], None) => true,
                ([(pid, _)], Some(holder)) => *pid == holder,
                _ => false,
            };
            settled.then_some(())
        });
        assert!(!home.join("serve.stopping").exists(), "round {number}: the sentinel stays");
        assert!(self.stranger.try_wait().unwrap().is_none(), "round {number}: the stranger was signalled");
        // Foreground daemons are our children, so the test must not leave them as zombies.
        for mut child in long {
            std::thread::spawn(move || child.wait());
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let _ = self.stranger.kill();
        let _ = self.stranger.wait();
        for (pid, _) in processes(self.home.path()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn in_whatever_order_it_is_started_stopped_and_killed_there_is_at_most_one_daemon() {
    let rounds = number("TEST_ROUNDS").unwrap_or(40);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("TEST_SEED").unwrap_or(clock) | 1;
    println!("TEST_SEED={seed}");
    let home = tempfile::tempdir().unwrap();
    let settings = "listen = \"127.0.0.1:0\"\nautostart = true\nstop_timeout = \"200ms\"\n";
    fs::write(home.path().join("windlass.toml"), settings).unwrap();
    fs::write(home.path().join("flow.yaml"), "id: f\nsteps: [{ name: nap, run: 'sleep 0.3' }]\n").unwrap();
    let stranger = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn().unwrap();
    let mut all = Rounds { home, chance: Chance(seed), stranger };
    for round in 0..rounds {
        all.round(round);
    }
    assert!(wait(&mut all.command(&["stop"])).success());
    until("nothing is left over", || processes(all.home.path()).is_empty().then_some(()));
    // The daemon that was killed last has left its entry.
    assert!(wait(&mut all.command(&["worker", "--until-idle"])).success());
    let doctor = Windlass::on(all.home.path()).arg("doctor").output().unwrap();
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}

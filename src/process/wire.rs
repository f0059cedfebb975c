//! The messages between the shim and the engine over their socket. Both ends are the same program.

use crate::{
    model::{Bytes, ExitStatus, Millis, ResourceLimit},
    os::spawn::ProcessLimits,
};
use std::ffi::{OsStr, OsString};

/// The hidden first argument that turns this program into a shim.
pub const WORD: &str = "__shim";

/// The engine sends messages of one byte. The end of the stream means that the engine is gone: kill everything.
pub const TERMINATE: u8 = b'T';
pub const KILL: u8 = b'K';
/// Sent with a descriptor of a lock under which the tree works. The shim holds it until it receives `LET_GO` or until
/// its whole tree is dead.
pub const HOLD: u8 = b'H';
pub const LET_GO: u8 = b'L';
/// Sent with the read ends of the command's output. The processes that the command left behind keep running without the
/// engine; the shim reads and discards their output. The shim sends `ShimEvent::Ended` and closes the socket.
pub const RELEASE: u8 = b'R';

/// The arguments of a shim, before `--` and the command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShimConfig {
    pub limits: ProcessLimits,
    /// Resident memory of the whole tree.
    pub memory: Option<Bytes>,
    /// How many of the received descriptors, from the first on, the shim closes once the child has them.
    pub passed: usize,
    /// How many further descriptors the shim keeps open, so that a lock lasts until the last process of the tree is
    /// dead.
    pub kept: usize,
    /// Whether the shim leaves memory, CPU time and descriptors unchecked. For a tree that mostly waits for work, and
    /// that the engine checks while it has some. Sampled limits are not enforced then.
    pub unwatched: bool,
}

impl ShimConfig {
    pub fn to_args(self) -> Vec<String> {
        let number = |it: Option<u64>| it.map_or("-".to_string(), |it| it.to_string());
        vec![
            number(self.limits.open_files),
            number(self.limits.cpu.map(|it| it.0)),
            number(self.limits.address_space.map(|it| it.0)),
            number(self.memory.map(|it| it.0)),
            self.passed.to_string(),
            self.kept.to_string(),
            u8::from(self.unwatched).to_string(),
            "--".to_string(),
        ]
    }

    /// Parses the output of `to_args`. The remaining words are the command.
    pub fn from_args(words: &mut impl Iterator<Item = OsString>) -> Option<ShimConfig> {
        let mut number = || -> Option<Option<u64>> {
            let word = words.next()?;
            if word == OsStr::new("-") { Some(None) } else { Some(Some(word.to_str()?.parse().ok()?)) }
        };
        let limits =
            ProcessLimits { open_files: number()?, cpu: number()?.map(Millis), address_space: number()?.map(Bytes) };
        let memory = number()?.map(Bytes);
        let (passed, kept, unwatched) = (number()?? as usize, number()?? as usize, number()?? == 1);
        (words.next()? == OsStr::new("--")).then_some(ShimConfig { limits, memory, passed, kept, unwatched })
    }
}

/// The shim's messages, in this order: a start or a failure, limits, the exit of the child, and the end of its whole
/// tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimEvent {
    /// The child is about to run its program. The child itself sends this, so it comes before anything that the program
    /// does.
    Begun,
    Started {
        pid: u32,
    },
    /// `errno` is 0 if the system returned none.
    NotStarted {
        errno: i32,
    },
    /// The tree has reached a limit and is being killed.
    Limit(ResourceLimit),
    Exited(ExitStatus),
    /// No process of the tree is left, or the remaining ones were released.
    Ended {
        peak_rss: Option<Bytes>,
        cpu: Millis,
        open_files_hit: bool,
    },
}

/// One event in bytes: a kind and three numbers, little-endian.
pub const RECORD: usize = 25;

impl ShimEvent {
    pub fn to_bytes(self) -> [u8; RECORD] {
        let (kind, numbers) = match self {
            ShimEvent::Begun => (b'B', [0, 0, 0]),
            ShimEvent::Started { pid } => (b'S', [u64::from(pid), 0, 0]),
            ShimEvent::NotStarted { errno } => (b'N', [errno as u64, 0, 0]),
            ShimEvent::Limit(ResourceLimit::Memory) => (b'L', [0, 0, 0]),
            ShimEvent::Limit(ResourceLimit::OpenFiles) => (b'L', [1, 0, 0]),
            ShimEvent::Limit(ResourceLimit::CpuTime) => (b'L', [2, 0, 0]),
            ShimEvent::Limit(ResourceLimit::WallTime) => (b'L', [3, 0, 0]),
            ShimEvent::Limit(ResourceLimit::OutputSize) => (b'L', [4, 0, 0]),
            ShimEvent::Exited(ExitStatus::Code(code)) => (b'X', [0, code as u64, 0]),
            ShimEvent::Exited(ExitStatus::Signal(signal)) => (b'X', [1, signal as u64, 0]),
            ShimEvent::Ended { peak_rss, cpu, open_files_hit } => {
                (b'E', [peak_rss.map_or(0, |it| it.0), cpu.0, u64::from(open_files_hit)])
            }
        };
        let mut bytes = [0; RECORD];
        bytes[0] = kind;
        for (place, number) in bytes[1..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8; RECORD]) -> Option<ShimEvent> {
        let number = |index: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[1 + 8 * index..9 + 8 * index]);
            u64::from_le_bytes(eight)
        };
        let limits = [
            ResourceLimit::Memory,
            ResourceLimit::OpenFiles,
            ResourceLimit::CpuTime,
            ResourceLimit::WallTime,
            ResourceLimit::OutputSize,
        ];
        Some(match (bytes[0], number(0)) {
            (b'B', _) => ShimEvent::Begun,
            (b'S', pid) => ShimEvent::Started { pid: pid as u32 },
            (b'N', errno) => ShimEvent::NotStarted { errno: errno as i32 },
            (b'L', index) => ShimEvent::Limit(*limits.get(index as usize)?),
            (b'X', 0) => ShimEvent::Exited(ExitStatus::Code(number(1) as i32)),
            (b'X', 1) => ShimEvent::Exited(ExitStatus::Signal(number(1) as i32)),
            (b'E', peak) => ShimEvent::Ended {
                peak_rss: (peak > 0).then_some(Bytes(peak)),
                cpu: Millis(number(1)),
                open_files_hit: number(2) == 1,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_arrives_as_it_was_sent() {
        let ended = |peak_rss, open_files_hit| ShimEvent::Ended { peak_rss, cpu: Millis(7), open_files_hit };
        let all = [
            ShimEvent::Begun,
            ShimEvent::Started { pid: 4_194_304 },
            ShimEvent::NotStarted { errno: 2 },
            ShimEvent::Limit(ResourceLimit::Memory),
            ShimEvent::Limit(ResourceLimit::OpenFiles),
            ShimEvent::Limit(ResourceLimit::CpuTime),
            ShimEvent::Limit(ResourceLimit::WallTime),
            ShimEvent::Limit(ResourceLimit::OutputSize),
            ShimEvent::Exited(ExitStatus::Code(255)),
            ShimEvent::Exited(ExitStatus::Signal(11)),
            ended(Some(Bytes::mib(3)), false),
            ended(None, true),
        ];
        for event in all {
            assert_eq!(ShimEvent::from_bytes(&event.to_bytes()), Some(event));
        }
        assert_eq!(ShimEvent::from_bytes(&[b'?'; RECORD]), None);
    }

    #[test]
    fn a_config_survives_the_command_line() {
        let limits = ProcessLimits { open_files: Some(64), cpu: None, address_space: Some(Bytes::mib(512)) };
        for config in
            [ShimConfig::default(), ShimConfig { limits, memory: Some(Bytes(5)), passed: 2, kept: 1, unwatched: true }]
        {
            let mut words = config.to_args().into_iter().map(OsString::from).chain(["true".into()]);
            assert_eq!(ShimConfig::from_args(&mut words), Some(config));
            assert_eq!(words.next(), Some("true".into()));
        }
        let mut cut = ["-", "-"].map(OsString::from).into_iter();
        assert_eq!(ShimConfig::from_args(&mut cut), None);
    }
}

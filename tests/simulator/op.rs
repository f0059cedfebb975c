//! What can happen, and how it is drawn.

use crate::model::Takes;
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub enum Op {
    Submit {
        shape: usize,
        keys: Vec<Option<usize>>,
        takes: Vec<Takes>,
        priority: i64,
        scoped: bool,
        items: usize,
        open: bool,
    },
    Claim {
        worker: i64,
        pool: usize,
        scope: Option<usize>,
        limit: usize,
    },
    Settle {
        lease: usize,
        how: Settling,
        then: bool,
    },
    /// The acknowledgement was lost: the newest settlement is sent once more.
    SettleAgain {
        lease: usize,
    },
    Reap {
        worker: i64,
        death: usize,
    },
    Sweep,
    /// The wall clock is set by so much; or the time passes on all clocks.
    Clock {
        by: i64,
        set: bool,
    },
    /// There are so many units of a resource from now on.
    Capacity {
        of: usize,
        units: i64,
    },
    /// A running step starts a group, or finds it, and waits for it. It dies after so many transactions.
    Start {
        lease: usize,
        group: Starting,
        transactions: usize,
    },
    /// A group takes over the pause of its parent, or the end of that.
    Inherit(usize),
    Pause(usize),
    Resume(usize),
    PauseType {
        name: usize,
        paused: bool,
    },
    OpenPool(usize),
    CancelGroup {
        group: usize,
        slices: usize,
    },
    CancelRun(usize),
    CancelStep(usize),
    /// Ends the wait of one of the steps that wait, in one of the two ways; one that does not wait does not care.
    Answer {
        step: usize,
        completes: bool,
    },
    RetryGroup {
        group: usize,
        slices: usize,
    },
    RetryRun(usize),
    Open(usize),
    TakeKey(usize),
    ForceKey(usize),
    Adopt(usize),
    Restart,
    /// A worker falls silent for long and its lock is swept; then it settles after all.
    Silence(usize),
}

#[derive(Debug, Clone)]
pub enum Settling {
    Complete,
    Fail,
    Skip,
    Retry(i64),
    Release,
    ReleaseLater(i64),
    Cancelled,
    /// Waits until this long from now, if at all, and completes then or fails.
    Wait {
        until: Option<i64>,
        completes: bool,
    },
}

/// The group that a step starts: the same with every attempt.
#[derive(Debug, Clone)]
pub struct Starting {
    pub shape: usize,
    pub items: usize,
    pub tolerate: usize,
    pub at_most: Option<usize>,
    pub takes: Vec<Takes>,
}

pub fn op() -> impl Strategy<Value = Op> {
    let pick = any::<usize>;
    let keys = || proptest::collection::vec(proptest::option::of(0..2usize), 4);
    let death = prop_oneof![3 => Just(usize::MAX), 2 => 0..9usize];
    prop_oneof![
        6 => (shape(), keys(), takes(), 0..3i64, any::<bool>(), 0..4usize, 0..8usize).prop_map(
            |(shape, keys, takes, priority, scoped, items, open)| {
                Op::Submit { shape, keys, takes, priority, scoped, items, open: open > 0 }
            }
        ),
        20 => (0..4i64, 0..5usize, proptest::option::weighted(0.25, pick()), 1..4usize)
            .prop_map(|(worker, pool, scope, limit)| Op::Claim { worker, pool, scope, limit }),
        24 => (pick(), settling(), any::<bool>()).prop_map(|(lease, how, then)| Op::Settle { lease, how, then }),
        8 => (pick(), starting(), death)
            .prop_map(|(lease, group, transactions)| Op::Start { lease, group, transactions }),
        3 => pick().prop_map(|lease| Op::SettleAgain { lease }),
        3 => (0..4i64, 0..3usize).prop_map(|(worker, death)| Op::Reap { worker, death }),
        1 => Just(Op::Sweep),
        2 => (-3000..6000i64).prop_map(|by| Op::Clock { by, set: true }),
        4 => prop_oneof![3 => 0..6000i64, 1 => 20_000..40_000i64].prop_map(|by| Op::Clock { by, set: false }),
        1 => (0..2usize, 1..4i64).prop_map(|(of, units)| Op::Capacity { of, units }),
        2 => pick().prop_map(Op::Pause),
        2 => pick().prop_map(Op::Resume),
        2 => pick().prop_map(Op::Inherit),
        1 => (0..3usize, any::<bool>()).prop_map(|(name, paused)| Op::PauseType { name, paused }),
        1 => (0..3usize).prop_map(Op::OpenPool),
        2 => (pick(), 0..3usize).prop_map(|(group, slices)| Op::CancelGroup { group, slices }),
        1 => pick().prop_map(Op::CancelRun),
        1 => pick().prop_map(Op::CancelStep),
        4 => (pick(), any::<bool>()).prop_map(|(step, completes)| Op::Answer { step, completes }),
        6 => (pick(), 0..3usize).prop_map(|(group, slices)| Op::RetryGroup { group, slices }),
        2 => pick().prop_map(Op::RetryRun),
        1 => pick().prop_map(Op::Open),
        1 => (0..2usize).prop_map(Op::TakeKey),
        1 => (0..2usize).prop_map(Op::ForceKey),
        1 => pick().prop_map(Op::Adopt),
        1 => Just(Op::Restart),
        1 => pick().prop_map(Op::Silence),
    ]
}

fn shape() -> impl Strategy<Value = usize> {
    prop_oneof![0..4usize, 4..usize::MAX]
}

/// Most steps take nothing.
fn takes() -> impl Strategy<Value = Vec<Takes>> {
    let some =
        (0..3i64, 0..3i64, proptest::bool::weighted(0.3)).prop_map(|(x, y, rated)| Takes { units: [x, y], rated });
    let one = prop_oneof![2 => Just(Takes::default()), 1 => some];
    prop_oneof![1 => Just(Vec::new()), 1 => proptest::collection::vec(one, 4)]
}

fn starting() -> impl Strategy<Value = Starting> {
    (shape(), 0..4usize, 0..2usize, proptest::option::of(1..3usize), takes())
        .prop_map(|(shape, items, tolerate, at_most, takes)| Starting { shape, items, tolerate, at_most, takes })
}

fn settling() -> impl Strategy<Value = Settling> {
    prop_oneof![
        8 => Just(Settling::Complete),
        5 => Just(Settling::Fail),
        2 => Just(Settling::Skip),
        3 => (0..3000i64).prop_map(Settling::Retry),
        1 => Just(Settling::Release),
        1 => (-1000..2000i64).prop_map(Settling::ReleaseLater),
        1 => Just(Settling::Cancelled),
        3 => (proptest::option::weighted(0.6, -500..3000i64), any::<bool>())
            .prop_map(|(until, completes)| Settling::Wait { until, completes }),
    ]
}

//! The store against a model of it, driven by chance: random histories of two processes' writers on one real file.
//!
//! `TEST_SEQUENCES` is the number of histories, `TEST_SEED` repeats them.

#[path = "../support"]
mod support {
    pub mod house;
}

use support::house;
mod model;
mod world;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use std::thread;
use world::{Op, Settling, World};

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<usize>;
    prop_oneof![
        6 => (prop_oneof![0..4usize, 4..usize::MAX], proptest::collection::vec(proptest::option::of(0..2usize), 4), 0..3i64, any::<bool>(), 0..4usize, 0..8usize)
            .prop_map(|(shape, keys, priority, scoped, items, open)| Op::Submit { shape, keys, priority, scoped, items, open: open > 0 }),
        20 => (0..4i64, 0..5usize, proptest::option::weighted(0.25, pick()), 1..4usize).prop_map(|(worker, pool, scope, limit)| Op::Claim { worker, pool, scope, limit }),
        24 => (pick(), settling(), any::<bool>()).prop_map(|(lease, how, then)| Op::Settle { lease, how, then }),
        3 => pick().prop_map(|lease| Op::SettleAgain { lease }),
        3 => (0..4i64, 0..3usize).prop_map(|(worker, death)| Op::Reap { worker, death }),
        1 => Just(Op::Sweep),
        4 => (-3000..6000i64).prop_map(Op::Clock),
        2 => pick().prop_map(Op::Pause),
        2 => pick().prop_map(Op::Resume),
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

fn settling() -> impl Strategy<Value = Settling> {
    prop_oneof![
        8 => Just(Settling::Complete),
        5 => Just(Settling::Fail),
        2 => Just(Settling::Skip),
        3 => (0..3000i64).prop_map(Settling::Retry),
        1 => Just(Settling::Release),
        1 => (-1000..2000i64).prop_map(Settling::ReleaseLater),
        1 => Just(Settling::Cancelled),
        3 => (proptest::option::weighted(0.6, -500..3000i64), any::<bool>()).prop_map(|(until, completes)| Settling::Wait { until, completes }),
    ]
}

/// The first history that ends otherwise than the model says, made as small as it can be; None when all agree.
fn refuted(cases: u32, seed: u64) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let histories = proptest::collection::vec((any::<bool>(), op()), 1..60);
    let outcome = runner.run(&histories, |history| {
        let mut world = World::new();
        for (at, (other_process, op)) in history.iter().enumerate() {
            world.step(*other_process, op);
            if at % 6 == 5 {
                world.compare();
            }
        }
        world.compare();
        world.heal_and_drain();
        Ok(())
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, history)) => {
            let steps: Vec<String> =
                history.iter().map(|(other, op)| format!("{}{op:?}", if *other { "other: " } else { "" })).collect();
            Some(format!("{reason}\nafter\n  {}", steps.join("\n  ")))
        }
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn any_history_leaves_the_store_where_the_model_is() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let cases = number("TEST_SEQUENCES").unwrap_or(1000);
    let seed = number("TEST_SEED").unwrap_or_else(house::chance);
    // Each history has three threads that wait for each other: more lanes than processors keep the processors busy.
    let lanes =
        number("TEST_LANES").unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, usize::from) as u64);
    println!("{cases} histories; TEST_SEED={seed} TEST_LANES={lanes} repeats them");
    // While a failure is made smaller, hundreds of histories panic: only the last word is for people.
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let refuted: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                let own = seed.wrapping_add(lane);
                scope.spawn(move || {
                    let found = refuted((cases / lanes).max(1) as u32, own);
                    found.map(|it| format!("TEST_SEED={own} TEST_LANES=1 {it}"))
                })
            })
            .collect();
        lanes.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    std::panic::set_hook(loud);
    assert!(refuted.is_empty(), "{}", refuted.join("\n\n"));
}

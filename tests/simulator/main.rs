//! The store against a model of it, driven by chance: random histories of two processes' writers on one real file.
//!
//! `TEST_SEQUENCES` is the number of histories, `TEST_SEED` repeats them, `TEST_SHRINKS` is how often one that fails is made smaller.

#[path = "../support"]
mod support {
    pub mod house;
}

use support::house;
mod model;
mod op;
mod world;

use op::op;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use std::thread;
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|it| it.parse().ok())
}

/// The first history that ends otherwise than the model says, made as small as it can be; None when all agree.
fn refuted(cases: u32, seed: u64) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: number("TEST_SHRINKS").unwrap_or(2000) as u32,
        ..Config::default()
    };
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
    let cases = number("TEST_SEQUENCES").unwrap_or(1000);
    let seed = number("TEST_SEED").unwrap_or_else(house::chance);
    // Each history has three threads that wait for each other: more histories than processors keep the processors busy.
    let threads =
        number("TEST_LANES").unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, usize::from) as u64);
    println!("{cases} histories; TEST_SEED={seed} TEST_LANES={threads} repeats them");
    // While a failure is made smaller, hundreds of histories panic: only the last word is for people.
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let refuted: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                let own = seed.wrapping_add(number);
                scope.spawn(move || {
                    let found = refuted((cases / threads).max(1) as u32, own);
                    found.map(|it| format!("TEST_SEED={own} TEST_LANES=1 {it}"))
                })
            })
            .collect();
        threads.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    std::panic::set_hook(loud);
    assert!(refuted.is_empty(), "{}", refuted.join("\n\n"));
}

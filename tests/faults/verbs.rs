//! The writing verbs, each with the state that it needs and the condition that must hold afterwards.

use crate::house::{self, Book, WORKER, chain, completion, diamond, record, request, with_hook};
use std::sync::Arc;
use windlass::{
    model::{
        ArtifactHash, ArtifactRef, GroupId, Holder, HolderKind, Millis, Monotonic, ResourceKey, RunId, Scope, StepId,
    },
    store::{
        Result, Settle, Settlement, Store, Take, cancel, claim, definition, document, group, kept_output,
        output::NewOutput, pause, prune, reap, resource_lock, retry, step_cache, step_type, worker,
    },
};

type Act = Box<dyn Fn(&Store) -> Result<()>>;

pub struct Verb {
    pub name: &'static str,
    pub prepare: fn(&Book) -> Act,
    pub after: fn(&Book),
}

const fn verb(name: &'static str, prepare: fn(&Book) -> Act, after: fn(&Book)) -> Verb {
    Verb { name, prepare, after }
}

fn nothing(_: &Book) {}

fn act(work: impl Fn(&Store) -> Result<()> + 'static) -> Act {
    Box::new(work)
}

pub const VERBS: &[Verb] = &[
    verb(
        "definition",
        |_| act(|store| store.write(|tx| definition::intern(tx, &house::new_definition(&diamond()))).map(drop)),
        nothing,
    ),
    verb("submit", submit, |book| assert_eq!(book.claims("*", 9).len(), 3)),
    verb(
        "open",
        |book| {
            let (group, _) = book.build(&book.store, &chain(&["a"]), &["x", "y", "z"], &[Some("k")], |_| ()).unwrap();
            act(move |store| store.write(move |tx| group::open_slice(tx, group, 100)).map(drop))
        },
        |book| assert_eq!(book.claims("*", 9).len(), 1),
    ),
    verb(
        "claim",
        |book| {
            book.submit_with(&with_hook(chain(&["a", "b"]), "step_start"), &["x", "y"], 0, &[Some("k"), None]);
            book.submit(&chain(&["c"]), &["z"]);
            // Like every worker, it has a pool only for hooks.
            let hooks = book.store.write(|tx| step_type::intern(tx, "hooks")).unwrap();
            book.open_pool("hooks");
            act(move |store| {
                let claimed = store.claim(request(WORKER, Take::Others(Arc::new([hooks])), Scope::Everything, 5))?;
                assert_eq!(claimed.len(), 2);
                Ok(())
            })
        },
        |book| assert_eq!(book.count("lease"), 2),
    ),
    verb(
        "complete",
        |book| {
            settling(
                book,
                Settlement::Complete {
                    output: Some(NewOutput { value: Some("7".into()), ..NewOutput::default() }),
                    cache_key: Some([1; 32]),
                    record: Some(record("all well")),
                },
            )
        },
        |book| assert_eq!(book.count("lease"), 2),
    ),
    verb(
        "fail",
        |book| settling(book, Settlement::Fail { crashed: false, record: record("no") }),
        |book| assert_eq!(book.count("lease"), 2),
    ),
    verb(
        "retry later",
        |book| {
            let due = book.now() + Millis(5000);
            settling(book, Settlement::Retry { due, crashed: true, record: record("no") })
        },
        |book| assert_eq!(book.claims("*", 9).len(), 0),
    ),
    verb(
        "release",
        |book| {
            let due = book.now();
            settling(book, Settlement::Release { due, record: None })
        },
        nothing,
    ),
    verb(
        "end of a group",
        |book| {
            let group = book.submit(&with_hook(chain(&["a"]), "group_end"), &["x"]);
            let step = book.claim("*");
            assert!(!book.ended(group));
            act(move |store| store.settle(Settle { lease: step.lease, settlement: completion(), then: None }).map(drop))
        },
        |book| assert_eq!((book.events("GROUP_END"), book.count("hook")), (1, 1)),
    ),
    verb(
        "reap",
        |book| {
            book.submit_with(&chain(&["a"]), &["x", "y", "z"], 0, &[Some("k")]);
            book.submit(&chain(&["b"]), &["x", "y"]);
            assert_eq!(book.claims("*", 9).len(), 3);
            act(|store| store.write(|tx| reap::reap(tx, WORKER, reap::Death::Died, 100)).map(drop))
        },
        |book| {
            book.enrol(WORKER);
            assert_eq!(book.claims("*", 9).len(), 3);
        },
    ),
    verb(
        "register",
        |_| {
            act(|store| {
                store.write(|tx| {
                    let id = worker::reserve(tx)?;
                    let (version, pools) = ("1".to_string(), "{}".to_string());
                    let new =
                        worker::NewWorker { identity: house::identity(), version, pools, scope: Scope::Everything };
                    worker::register(tx, id, &new)
                })
            })
        },
        |book| assert_eq!(book.count("worker"), 2, "with the one of the fixture"),
    ),
    verb(
        "pause",
        |book| {
            let group = book.submit(&chain(&["a"]), &["x"]);
            act(move |store| store.write(move |tx| pause::group(tx, group)).map(drop))
        },
        |book| assert!(book.claims("*", 9).is_empty()),
    ),
    verb(
        "park",
        |book| {
            let group = book.submit_with(&chain(&["a"]), &["x", "y"], 0, &[Some("k")]);
            book.pause(group);
            act(|store| store.claim(request(WORKER, Take::Others(Arc::new([])), Scope::Everything, 5)).map(drop))
        },
        |book| assert_eq!(book.count("ready"), 0),
    ),
    verb(
        "resume",
        |book| {
            let group = book.submit(&chain(&["a"]), &["x", "y"]);
            book.pause(group);
            assert!(book.claims("*", 9).is_empty());
            act(move |store| {
                store.write(move |tx| {
                    pause::resume_group(tx, group)?;
                    pause::resume_slice(tx, group, 100).map(drop)
                })
            })
        },
        |book| assert_eq!(book.claims("*", 9).len(), 2),
    ),
    verb(
        "pause of a type",
        |book| {
            book.submit(&chain(&["a"]), &["x"]);
            act(|store| store.write(|tx| pause::step_type(tx, "a", true)).map(drop))
        },
        |book| assert!(book.claims("*", 9).is_empty()),
    ),
    verb(
        "pool",
        |book| {
            book.submit(&chain(&["a"]), &["x", "y"]);
            act(|store| {
                store.write(|tx| {
                    let id = step_type::intern(tx, "a")?;
                    step_type::open_queue(tx, id)?;
                    claim::move_queue(tx, id, None, 100).map(drop)
                })
            })
        },
        |book| assert_eq!(book.claims("a", 9).len(), 2),
    ),
    verb(
        "cancel",
        |book| {
            let group = book.submit_with(&diamond(), &["x", "y"], 0, &[Some("k")]);
            book.claim("*");
            act(move |store| {
                store.write(move |tx| {
                    cancel::group(tx, group)?;
                    cancel::group_slice(tx, group, RunId(0), 100).map(drop)
                })
            })
        },
        |book| assert_eq!(book.count("cancel_request"), 1),
    ),
    verb(
        "cancel of a run",
        |book| {
            book.submit_with(&chain(&["a", "b"]), &["x", "y"], 0, &[Some("k")]);
            act(|store| store.write(|tx| cancel::run(tx, RunId(1))).map(drop))
        },
        |book| assert_eq!(book.item(&book.claim("*")), "y"),
    ),
    verb(
        "retry",
        |book| {
            let group = failed_group(book);
            act(move |store| {
                store.write(move |tx| {
                    retry::group(tx, group)?;
                    while retry::group_slice(tx, group, 100, None)? {}
                    Ok(())
                })
            })
        },
        |book| assert_eq!(book.claims("*", 9).len(), 2),
    ),
    verb(
        "retry of a run",
        |book| {
            failed_group(book);
            act(|store| store.write(|tx| retry::run(tx, RunId(2))).map(drop))
        },
        |book| assert_eq!(book.claims("*", 9).len(), 1),
    ),
    verb(
        "prune",
        |book| {
            let group = failed_group(book);
            act(move |store| {
                store.write(move |tx| {
                    assert!(prune::begin(tx, group)?);
                    let removed = &mut prune::Removed::default();
                    prune::slice(tx, group, prune::Outputs::Keep, 7, removed)?;
                    prune::slice(tx, group, prune::Outputs::Keep, 100, removed).map(drop)
                })
            })
        },
        |book| assert_eq!((book.count("run_group"), book.count("step"), book.count("attempt")), (0, 0, 0)),
    ),
    verb(
        "retry of a step",
        |book| {
            failed_group(book);
            act(|store| store.write(|tx| retry::step(tx, StepId(5))).map(drop))
        },
        |book| assert_eq!(book.claims("*", 9).len(), 1),
    ),
    verb(
        "a damaged file",
        |book| {
            book.submit(&diamond(), &["x"]);
            let file = ArtifactRef { hash: ArtifactHash([1; 32]), size: 1, stored: 1 };
            let output = NewOutput { files: vec![("f".into(), file)], ..NewOutput::default() };
            let made = Settlement::Complete { output: Some(output), cache_key: Some([1; 32]), record: None };
            book.settle(&book.claim("*"), made);
            let step = book.claim("*");
            act(move |store| {
                let settlement = Settlement::Recompute { damaged: vec![file.hash], otherwise: Box::new(completion()) };
                store.settle(Settle { lease: step.lease, settlement, then: None }).map(drop)
            })
        },
        |book| assert_eq!(book.claims("*", 9).len(), 2),
    ),
    verb(
        "kept outputs",
        |book| {
            book.submit(&chain(&["a"]), &["x"]);
            let file = ArtifactRef { hash: ArtifactHash([1; 32]), size: 1, stored: 1 };
            let output = NewOutput { files: vec![("f".into(), file)], ..NewOutput::default() };
            let made = Settlement::Complete { output: Some(output), cache_key: Some([1; 32]), record: None };
            book.settle(&book.claim("*"), made);
            book.store.write(|tx| prune::begin(tx, GroupId(1))).unwrap();
            act(|store| {
                store.write(|tx| {
                    prune::slice(tx, GroupId(1), prune::Outputs::Remove, 100, &mut prune::Removed::default())?;
                    step_cache::forget(tx, &[1; 32])?;
                    kept_output::drop_slice(tx, &[1], 100).map(drop)
                })
            })
        },
        |book| assert_eq!((book.count("output"), book.count("artifact"), book.count("kept_output")), (0, 0, 0)),
    ),
    verb(
        "lock",
        |_| {
            act(|store| {
                let holder = Holder { kind: HolderKind::Cli, id: 1 };
                let (identity, boot_id) = ("{}".to_string(), "boot".to_string());
                let taker = resource_lock::Taker { holder, identity, boot_id, deadline: Monotonic(1) };
                store.write(move |tx| resource_lock::acquire(tx, &ResourceKey("k".into()), &taker)).map(drop)
            })
        },
        |book| assert_eq!(book.count("resource_lock"), 1),
    ),
    verb(
        "forced release",
        |book| {
            book.submit_with(&chain(&["a"]), &["x", "y"], 0, &[Some("k")]);
            book.claim("*");
            act(|store| store.write(|tx| resource_lock::force_release(tx, &forced())).map(drop))
        },
        |book| assert_eq!(book.claims("*", 9).len(), 1),
    ),
    verb(
        "adopt",
        |book| {
            let group = book.submit_with(&chain(&["a", "b"]), &["x", "y"], 0, &[Some("k")]);
            act(move |store| store.write(move |tx| group::adopt_slice(tx, group, group, RunId(0), 100)).map(drop))
        },
        |book| assert_eq!(book.claims_in(Scope::Group(GroupId(1)), "*", 9).len(), 1),
    ),
    verb(
        "hook",
        |book| {
            book.submit(&with_hook(chain(&["a"]), "group_start"), &["x"]);
            book.open_pool("hooks");
            let hook = book.claim("hooks");
            act(move |store| store.settle(Settle { lease: hook.lease, settlement: completion(), then: None }).map(drop))
        },
        |book| assert_eq!(book.events("HOOK_END"), 1),
    ),
    verb(
        "documents",
        |_| {
            act(|store| {
                let row = document::DocumentRow {
                    uri: "u".into(),
                    sha256: ArtifactHash([1; 32]),
                    size: 1,
                    mtime: 1,
                    params: [2; 32],
                    run: None,
                    state: windlass::model::DocumentState::Stored,
                    reason: String::new(),
                };
                store.write(move |tx| document::upsert(tx, "/db", "s", &[row]))
            })
        },
        |book| assert_eq!(book.count("document"), 1),
    ),
    verb(
        "due steps",
        |book| {
            book.submit(&chain(&["a"]), &["x", "y"]);
            let due = book.now() + Millis(1000);
            for step in book.claims("*", 2) {
                book.settle(&step, Settlement::Retry { due, crashed: false, record: record("later") });
            }
            book.clock.advance(Millis(2000));
            act(|store| store.claim(request(WORKER, Take::Others(Arc::new([])), Scope::Everything, 1)).map(drop))
        },
        |book| assert_eq!(book.claims("*", 9).len(), 1),
    ),
];

fn submit(book: &Book) -> Act {
    let shape = with_hook(diamond(), "group_start");
    let new = house::new_definition(&shape);
    let definition = book.store.write(move |tx| definition::intern(tx, &new)).unwrap();
    act(move |store| {
        store.write(move |tx| {
            let key = Some(("nightly".to_string(), [1; 32]));
            let new = group::NewGroup {
                definition,
                name: "n".into(),
                params: "{}".into(),
                directory: "/".into(),
                file: String::new(),
                concurrency: None,
                priority: 1,
                weight: 1,
                force: false,
                scoped: true,
                key,
                builder: house::identity(),
                of_batch: None,
                alerts: None,
                child: None,
                collect: None,
            };
            let group::Created::New(id) = group::create(tx, &new)? else {
                panic!("a failed submit left its key behind")
            };
            let run = |item: &str| group::NewRun {
                item: item.into(),
                keys: vec![None, Some("k".into())],
                demands: vec![],
                content: None,
                documents: None,
            };
            group::add_runs(tx, id, &[run("x"), run("y"), run("z")])?;
            group::seal(tx, id)?;
            group::open_slice(tx, id, 100).map(drop)
        })
    })
}

/// Settles the step of a diamond that holds a key for which others wait, and claims the next one in the same
/// transaction.
fn settling(book: &Book, settlement: Settlement) -> Act {
    let shape = with_hook(with_hook(diamond(), "step_end"), "step_failed");
    book.submit_with(&shape, &["x", "y"], 1, &[Some("k"), Some("k"), None, None]);
    book.submit(&chain(&["z"]), &["x"]);
    let step = book.claim("*");
    book.claims("*", 1);
    act(move |store| {
        let then = Some(request(WORKER, Take::Others(Arc::new([])), Scope::Everything, 1));
        store.settle(Settle { lease: step.lease, settlement: settlement.clone(), then }).map(drop)
    })
}

fn failed_group(book: &Book) -> GroupId {
    let group = book.submit_with(&diamond(), &["x", "y"], 0, &[]);
    for step in book.claims("*", 2) {
        book.fail(&step, "no");
    }
    assert!(book.ended(group));
    group
}

fn forced() -> resource_lock::Forced {
    resource_lock::Forced { key: ResourceKey("k".into()), why: "test".into(), by: "a test".into() }
}

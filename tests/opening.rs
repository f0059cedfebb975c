//! Many threads and processes open a database that does not exist yet.

mod support {
    pub mod binary;
}

use std::{
    sync::{Arc, Barrier},
    thread,
};
use support::binary::Windlass;
use windlass::{
    model::Scope,
    os::{SystemClock, process_stat},
    store::{Options, Store, worker},
};

#[test]
fn eight_threads_and_four_processes_open_a_new_database_at_once() {
    for round in 0..6 {
        let home = tempfile::tempdir().unwrap();
        let start = Arc::new(Barrier::new(8));
        let processes: Vec<_> = (0..4)
            .map(|_| {
                let mut command = Windlass::on(home.path());
                command.args(["run", "--each", "true {{ item }}", "--items", "a", "b"]).piped().spawn().unwrap()
            })
            .collect();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (start, path) = (start.clone(), home.path().join("engine.db"));
                thread::spawn(move || {
                    start.wait();
                    let store = Store::open(&Options::new(path), Arc::new(SystemClock)).unwrap();
                    // Each writes once, so that none got a database that it can't write.
                    store
                        .write(|tx| {
                            let id = worker::reserve(tx)?;
                            let identity = process_stat::own_identity();
                            let (version, pools) = ("test".to_string(), "{}".to_string());
                            let new = worker::NewWorker { identity, version, pools, scope: Scope::Everything };
                            worker::register(tx, id, &new)?;
                            worker::leave(tx, id)
                        })
                        .unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|it| it.join().unwrap());
        for process in processes {
            let done = process.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "round {round}: {stderr}");
            assert!(!stderr.contains("locked"), "round {round}: {stderr}");
        }
    }
}

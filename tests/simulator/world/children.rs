//! Steps that start groups and wait for them, one transaction after the other, as `engine::children` does it.

use super::{World, house, shape_of};
use crate::{
    model::{Child, Ending, NewRun, Wait},
    op::Starting,
};
use windlass::{
    model::{GroupId, Otherwise, StepId, Tolerate},
    store::{
        Held, Settle, Settlement, cancel,
        child_group::{self, NewChild},
        definition, group, group_end, read, retry,
        waiting::{NewWait, WaitDetail, WaitsFor},
    },
};

/// How many transactions are left until the process dies.
struct Life(usize);

impl Life {
    fn is_over(&mut self) -> bool {
        let over = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        over
    }
}

impl World {
    /// The attempt with this lease starts the group of its step, or finds it, and has the step wait for it.
    pub(super) fn start(&mut self, at: usize, group: &Starting, transactions: usize) {
        let (lease, _) = self.leases[at];
        let id = lease.step.0;
        let Some(step) = self.model.steps.get(&id) else { return };
        if step.status.is_terminal() || matches!(step.wait, Some(Wait::Until { .. })) {
            return;
        }
        let group = self.starting.entry(id).or_insert_with(|| group.clone()).clone();
        let mut life = Life(transactions);
        if let Some(child) = self.model.steps[&id].child.filter(|it| !self.model.groups[it].sealed) {
            self.remove_unsealed(child);
        }
        let child = match self.model.steps[&id].child {
            None => self.build(id, &group, &mut life),
            Some(child) => self.retry_child(child, &group, &mut life),
        };
        let Some(child) = child.filter(|_| !life.is_over()) else { return };
        let on = WaitsFor::Children(GroupId(child));
        let wait = NewWait { on, due: None, otherwise: Otherwise::Fail, detail: WaitDetail::default() };
        let mine = self.model.settle(id, lease.token.0, Ending::Children(child));
        let settlement = Settlement::Wait { wait };
        let settled = self.store().settle(Settle { lease, settlement, then: None }).unwrap();
        assert_eq!(settled.held == Held::Yes, mine, "{lease:?} waits for g{child}");
    }

    /// A new group, of which a part is left when the process dies.
    fn build(&mut self, step: i64, drawn: &Starting, life: &mut Life) -> Option<i64> {
        if life.is_over() {
            return None;
        }
        let shape = shape_of(drawn.shape);
        let demands = self.demands(&drawn.takes[..drawn.takes.len().min(shape.steps.len())]);
        let priority = self.model.steps[&step].priority;
        let new = new_child(step, drawn);
        let intern = house::new_definition(&shape);
        let created = self.write(move |tx| {
            let definition = definition::intern(tx, &intern)?;
            let key = child_group::key_of(tx, new.step)?;
            let new = group::NewGroup {
                priority,
                key: Some((key, [1; 32])),
                child: Some(new),
                ..house::new_group(definition)
            };
            group::create(tx, &new)
        });
        let Ok(group::Created::New(id)) = created else { panic!("{created:?}") };
        let child = Child { tolerate: drawn.tolerate, at_most: drawn.at_most };
        self.model.create(id.0, Some((step, child)));
        for item in 0..drawn.items {
            if life.is_over() {
                return None;
            }
            let run = group::NewRun {
                item: item.to_string(),
                keys: Vec::new(),
                demands: demands.clone(),
                content: None,
                documents: None,
            };
            let added = self.write(move |tx| {
                let run = group::add_runs(tx, id, &[run])?.expect("it is being built");
                Ok((run.0, read::show_run(tx, run)?.steps[0].id.0))
            });
            let scope = self.model.steps[&step].scope;
            let new = NewRun { shape: &shape, keys: &[], takes: &drawn.takes, priority, scope };
            self.model.add_run(id.0, added.unwrap(), &new);
        }
        if life.is_over() {
            return None;
        }
        let sealed = self.write(move |tx| {
            group::seal(tx, id)?;
            if child_group::is_unwanted(tx, id)? {
                cancel::group(tx, id)?;
            }
            Ok(())
        });
        sealed.unwrap();
        self.model.seal(id.0);
        if life.is_over() {
            return None;
        }
        self.open(id.0);
        Some(id.0)
    }

    /// The group that was found: what failed in it runs again if its step was retried.
    fn retry_child(&mut self, child: i64, drawn: &Starting, life: &mut Life) -> Option<i64> {
        let group = &self.model.groups[&child];
        if group.again && group.ended {
            if life.is_over() {
                return None;
            }
            let (id, new) = (GroupId(child), new_child(group.parent.unwrap(), drawn));
            self.write(move |tx| retry::child_again(tx, id, retry::Again::default(), &new)).unwrap();
            self.model.retry_child(child);
            loop {
                if life.is_over() {
                    return None;
                }
                let more = self.write(move |tx| retry::group_slice(tx, id, 1, None)).unwrap();
                assert_eq!(more, self.model.retry_slice(child), "retry slice of {id}");
                if !more {
                    break;
                }
            }
        }
        Some(child)
    }

    /// What is there of a group that nobody builds any longer.
    pub(super) fn remove_unsealed(&mut self, id: i64) {
        let group = GroupId(id);
        while self.write(move |tx| group_end::sweep_unsealed(tx, group, 1)).unwrap() {}
        self.model.remove(id);
    }
}

fn new_child(step: i64, drawn: &Starting) -> NewChild {
    NewChild {
        step: StepId(step),
        list: [7; 32],
        tolerate: Tolerate::Count(drawn.tolerate as u64),
        at_most: drawn.at_most.map(|it| it as u32),
    }
}

//! What a step starts: a summary for people, the comparison of two versions, and the written form.

use super::{
    expression::Values,
    secret::masked_text,
    template::Template,
    workflow::{Action, Children, Command},
};
use serde_json::{Map, Value};

impl Children {
    /// A short summary for people.
    pub fn shown(&self) -> String {
        let what = match self.workflow.steps.first().filter(|_| self.inline).map(|it| &it.action) {
            Some(Action::Run(Command::Shell(template))) => masked_text(template.source()),
            Some(Action::Run(Command::Argv(words))) => {
                masked_text(&words.iter().map(Template::source).collect::<Vec<_>>().join(" "))
            }
            Some(Action::Uses(kind)) => format!("uses {kind}"),
            Some(Action::Worker { worker, handler }) => format!("worker {worker}, handler {handler}"),
            Some(Action::Wait(wait)) => wait.shown(&Values::default()),
            Some(Action::Children(_)) | None => format!("workflow {}", self.workflow.id),
        };
        match &self.each {
            Some(each) => format!("for each of {}: {what}", each.source()),
            None => what,
        }
    }

    /// The first difference that prevents runs of this from continuing under `new`.
    pub(super) fn difference(&self, new: &Children) -> Option<String> {
        self.workflow.difference(&new.workflow)
    }

    /// Adds the keys that a workflow file uses for it.
    pub(super) fn write(&self, all: &mut Map<String, Value>) {
        match (self.inline, self.workflow.written_step(0)) {
            (true, Value::Object(step)) => all.extend(step),
            _ => drop(all.insert("workflow".into(), self.workflow.written())),
        }
        if let Some(each) = &self.each {
            all.insert("for_each".into(), each.source().into());
        }
        if let Some(most) = self.at_most {
            all.insert("at_most".into(), most.into());
        }
        if !self.tolerate.is_usual() {
            all.insert("tolerate".into(), self.tolerate.to_string().into());
        }
    }
}

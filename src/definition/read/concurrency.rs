//! `concurrency:`.

use super::{
    Reader,
    scope::{Place, Scope},
};
use crate::{
    definition::{
        concurrency::Concurrency,
        error::Result,
        expression::Expression,
        yaml::{Fields, Node, Value, did_you_mean},
    },
    model::Concurrency as Policy,
};

impl Reader<'_> {
    /// `concurrency: NAME`, or an object with a policy.
    pub(super) fn concurrency(&self, fields: &Fields<'_>) -> Result<Option<Concurrency>> {
        let Some(node) = fields.get("concurrency") else { return Ok(None) };
        if let Value::Text(_) = &node.value {
            return self.concurrency_of(node, Policy::default()).map(Some);
        }
        let fields = self.source.fields(node, "`concurrency`", &["group", "policy"])?;
        let Some(group) = fields.get("group") else {
            let hint = "write `concurrency: { group: NAME, policy: queue }`";
            return Err(self.source.refuse(node.line, "`concurrency` has no `group`", Some(hint)));
        };
        let policy = fields.get("policy").map(|it| self.policy(it)).transpose()?.unwrap_or_default();
        self.concurrency_of(group, policy).map(Some)
    }

    fn concurrency_of(&self, node: &Node, policy: Policy) -> Result<Concurrency> {
        let group = self.template(node, "concurrency", Scope::of(Place::Submit))?;
        if group.source().trim().is_empty() {
            return Err(self.source.refuse(node.line, "the name of a concurrency group is empty", None));
        }
        if group.expressions().any(|it| matches!(it, Expression::Item(_))) {
            let hint = "the items of a group belong together: use `params`";
            return Err(self.source.refuse(node.line, "`item` has no value in `concurrency`", Some(hint)));
        }
        Ok(Concurrency { group, policy })
    }

    fn policy(&self, node: &Node) -> Result<Policy> {
        let text = self.source.text(node, "policy")?;
        let found = Policy::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| {
            let hint = did_you_mean(&text, Policy::ALL.into_iter().map(Policy::name));
            self.source.refuse(node.line, format!("unknown policy `{text}` of `concurrency`"), Some(&hint))
        })
    }
}

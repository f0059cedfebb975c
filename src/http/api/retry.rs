//! What a retry is asked for.

use super::submit::DefinitionText;
use crate::{
    engine::{Engine, Retry},
    http::Result,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// How to retry. Without a body: what failed or was cancelled, under the workflow that it has.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRetry {
    /// A repaired workflow to go on under: its YAML or JSON as a text, or as an object. Names, needs and types of its steps must be the
    /// same.
    #[schema(nullable)]
    definition: Option<DefinitionText>,
    /// The step from which finished runs run again, with everything behind it. Not for a single step.
    #[schema(example = json!(null))]
    from: Option<String>,
}

impl NewRetry {
    pub fn read(self, engine: &Engine) -> Result<Retry> {
        Ok(Retry { definition: self.definition.map(|it| it.parse(engine)).transpose()?, from: self.from })
    }
}

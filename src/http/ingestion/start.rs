//! A request to start a workflow.

use super::form::Fields;
use crate::http::{App, Caller, Result};

/// The fields of a request to start a workflow.
pub struct StartRequest {
    pub definition: Option<String>,
    pub params: String,
    pub database: String,
    pub priority: i64,
    /// As `Caller::may_reach_out`.
    pub may_reach_out: bool,
}

impl StartRequest {
    pub fn of(form: &Fields, app: &App, caller: &Caller) -> Result<StartRequest> {
        let definition = form.get("workflow_definition_id").or(form.get("workflow_definiton_id"));
        let settings = app.settings();
        Ok(StartRequest {
            definition: definition.map(str::to_string),
            params: form.get("param_id").unwrap_or(&settings.parameters).to_string(),
            database: settings.database.clone(),
            priority: form.number("priority")?.unwrap_or(0),
            may_reach_out: caller.may_reach_out(),
        })
    }
}

//! `/api/v1/workflows`: the workflows in the home's workflows directory, which people can start by name.

use super::answer::Refused;
use crate::{
    definition::{
        KnownKinds,
        catalog::{self, Entry},
    },
    engine::Engine,
    http::{App, Failure, Result},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The workflows of this home.
#[derive(Debug, Serialize, ToSchema)]
struct Workflows {
    /// The directory that they are in, an absolute path.
    directory: String,
    /// By their ids.
    workflows: Vec<Workflow>,
    /// Why each of the other files can't be read.
    refused: Vec<String>,
}

/// A workflow that can be started.
#[derive(Debug, Serialize, ToSchema)]
struct Workflow {
    id: String,
    /// Whether its steps read the item, so that it needs items.
    asks_for_item: bool,
    /// The parameters that its steps read, by name.
    parameters: Vec<String>,
    /// Its YAML, as `POST /api/v1/groups` takes it.
    definition: String,
}

/// The workflows in the directory `workflows` of the home
#[utoipa::path(get, path = "/api/v1/workflows", tag = "groups", responses((status = 200, body = Workflows), Refused))]
async fn list(State(app): State<App>) -> Result<Json<Workflows>> {
    Ok(Json(app.blocking(found).await?))
}

fn found(engine: &Engine) -> Result<Workflows> {
    let directory = engine.home().join(catalog::DIRECTORY);
    let kinds = KnownKinds::new(engine.kinds().names());
    let (entries, refused) = catalog::workflows(engine.home(), &kinds)
        .map_err(|error| Failure::new(500, format!("failed to list {}: {error}", directory.display())))?;
    let workflow = |Entry { definition, text }| {
        Ok(Workflow {
            asks_for_item: definition.asks_for_item()?,
            parameters: definition.parameters()?,
            id: definition.id,
            definition: text,
        })
    };
    let mut workflows = entries.into_iter().map(workflow).collect::<Result<Vec<_>>>()?;
    workflows.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Workflows { directory: directory.to_string_lossy().into_owned(), workflows, refused })
}

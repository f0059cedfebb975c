mod definitions;
mod documents;
mod groups;
mod page;
mod resources;
mod runs;
mod steps;
mod types;
mod waiting;
mod workers;

pub use groups::named as named_group;
pub use resources::resource_table;
pub use steps::took as steps_took;
pub use workers::{list as list_workers, table as worker_table};

use super::{context::Context, failure::Result};

/// List groups, runs, steps, what waits, resources, types, workers, documents, definitions or params
///
/// Without a subcommand: groups, newest first.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    groups: groups::Groups,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Groups(groups::Groups),
    Runs(runs::Runs),
    Steps(steps::Steps),
    Waiting(waiting::WaitingSteps),
    Resources(resources::Resources),
    /// Step types, and the memory that their steps reserve
    Types,
    /// Registered workers and their steps
    Workers,
    Documents(documents::Documents),
    /// Workflow definitions, by id
    Definitions,
    /// Parameter sets, by id
    Params,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        match self.what {
            None => self.groups.run(cx),
            Some(What::Groups(groups)) => groups.run(cx),
            Some(What::Runs(runs)) => runs.run(cx),
            Some(What::Steps(steps)) => steps.run(cx),
            Some(What::Waiting(steps)) => steps.run(cx),
            Some(What::Resources(resources)) => resources.run(cx),
            Some(What::Types) => types::list(cx),
            Some(What::Workers) => workers::list(cx),
            Some(What::Documents(documents)) => documents.run(cx),
            Some(What::Definitions) => definitions::definitions(cx),
            Some(What::Params) => definitions::parameter_sets(cx),
        }
    }
}

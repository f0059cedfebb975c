//! argv to exit code.

fn main() {
    // Before anything else: a shim and a parser must start fast.
    if let Some(code) = windlass::process::shim::run_if_asked()
        .or_else(windlass::ingest::parser::run_if_asked)
        .or_else(|| windlass::engine::step_child::run_if_asked(windlass::assembly::registry))
        .or_else(windlass::prove::run_if_asked)
    {
        std::process::exit(code);
    }
    std::process::exit(windlass::cli::main());
}

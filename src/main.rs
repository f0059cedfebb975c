//! argv to exit code.

fn main() {
    // Before anything else: a shim must start fast.
    if let Some(code) = windlass::process::shim::run_if_asked() {
        std::process::exit(code);
    }
    std::process::exit(windlass::cli::main());
}

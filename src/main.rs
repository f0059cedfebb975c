//! argv to exit code.

fn main() {
    std::process::exit(windlass::command());
}

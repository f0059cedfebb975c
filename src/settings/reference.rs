//! The reference of all settings, `docs/configuration.md`.

use super::table::{ENTRIES, Settings, variable};
use std::{fmt::Write, path::Path};

const HEAD: &str = "\
# Configuration

windlass runs without any configuration. To change a setting, use `windlass.toml` in the home directory, an environment
variable, or the command line; in this order, later ones take precedence. `windlass settings` shows every value and where it came from.

```toml
keep = \"90d\"
disk_reserve = \"1GiB\"

[pools]
parse = 4
\"*\" = 2

[compression]
level = 10
```

The home directory is `--home`, or else `WINDLASS_HOME`, or else the nearest `.windlass/` in the current directory or its
parents (`windlass init` creates one; if you did not create it, run `windlass trust` first), or else the platform's data
directory (`~/.local/share/windlass` on Linux). windlass refuses an unknown setting, and names the line and the closest name.

Durations are written `250ms`, `30s`, `10m`, `2h` or `30d`; sizes `512`, `64KiB`, `10MiB` or `1GiB`. In a variable, a table
is written `parse=4,store=1`; its entries are merged with those of the file.

";

/// The whole page, generated from the table of settings.
pub fn markdown() -> String {
    let defaults = Settings::defaults(Path::new("."), 1);
    let mut page = HEAD.to_string();
    page.push_str("| setting | default | what it is | variable |\n|---|---|---|---|\n");
    for entry in ENTRIES {
        let default = match entry.default_text {
            "" => format!("`{}`", (entry.show)(&defaults)),
            text => text.to_string(),
        };
        let (name, variable) = (entry.name, variable(entry.name));
        let _ = writeln!(page, "| `{name}` | {default} | {} Type: {}. | `{variable}` |", entry.doc, entry.kind);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test` writes the page.
    #[test]
    fn the_page_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page == markdown(), "docs/configuration.md is out of date: run `UPDATE_DOCS=1 cargo test reference`");
    }

    #[test]
    fn the_example_of_the_page_loads() {
        let home = tempfile::tempdir().unwrap();
        let example = HEAD.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        std::fs::write(home.path().join("windlass.toml"), example).unwrap();
        assert_eq!(crate::settings::load(home.path(), [], &[]).unwrap().pools.0["*"], 2);
    }
}

//! Where the symbolic links in an output lead. No link may leave the output's directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Each link's name, relative to the directory, and its target as written.
pub type Links = BTreeMap<String, String>;

/// Why a link can't be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    #[error("leads out of the directory")]
    Outside,
    #[error("leads in a loop")]
    Circle,
}

/// Linux follows at most this many links in one path (path_resolution(7)).
const MOST_HOPS: usize = 40;

/// The name reached by following every link in `name` as the system would. Nothing needs to exist there.
pub fn resolve(links: &Links, name: &str) -> Result<String, Astray> {
    let mut ahead = Vec::new();
    push(&mut ahead, name)?;
    let mut here: Vec<String> = Vec::new();
    let mut hops = 0;
    while let Some(component) = ahead.pop() {
        if component == ".." {
            here.pop().ok_or(Astray::Outside)?;
            continue;
        }
        here.push(component);
        if let Some(target) = links.get(&here.join("/")) {
            hops += 1;
            if hops > MOST_HOPS {
                return Err(Astray::Circle);
            }
            here.pop();
            push(&mut ahead, target)?;
        }
    }
    Ok(here.join("/"))
}

/// A relative target for the link `name`, if its absolute target is inside the directory `dir`. The link then stays
/// valid wherever the directory is. `None` if the target is elsewhere or already relative.
pub fn relative(name: &str, target: &Path, dir: &Path) -> Option<PathBuf> {
    let inside = target.strip_prefix(dir).ok()?;
    let up = Path::new(name).parent().map_or(0, |it| it.components().count());
    let path: PathBuf = std::iter::repeat_n(Path::new(".."), up).chain([inside]).collect();
    Some(if path.as_os_str().is_empty() { PathBuf::from(".") } else { path })
}

/// Puts the components of a path before those that are still to be resolved.
fn push(ahead: &mut Vec<String>, path: &str) -> Result<(), Astray> {
    if path.starts_with('/') {
        return Err(Astray::Outside);
    }
    ahead.extend(path.split('/').rev().filter(|it| !it.is_empty() && *it != ".").map(str::to_string));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_inside_the_directory_is_said_relative_to_the_link() {
        for (name, target, said) in [
            ("l", "/w/out/d/f", Some("d/f")),
            ("d/l", "/w/out/d/f", Some("../d/f")),
            ("a/b/l", "/w/out/f", Some("../../f")),
            ("l", "/w/out", Some(".")),
            ("d/l", "/w/out/", Some("../")),
            // The check of the links later sees that this one leaves.
            ("l", "/w/out/../x", Some("../x")),
            ("l", "/w/outer/f", None),
            ("l", "/etc/passwd", None),
            ("l", "d/f", None),
        ] {
            let found = relative(name, Path::new(target), Path::new("/w/out"));
            assert_eq!(found, said.map(PathBuf::from), "{name} to {target}");
        }
    }

    #[test]
    fn a_link_may_lead_anywhere_inside_and_nowhere_else() {
        type Case = (&'static [(&'static str, &'static str)], &'static str, Result<&'static str, Astray>);
        let table: &[Case] = &[
            (&[], "a/b", Ok("a/b")),
            (&[("bin/tool", "tool-1.2")], "bin/tool", Ok("bin/tool-1.2")),
            (&[("bin/tool", "../lib/./x//y")], "bin/tool", Ok("lib/x/y")),
            (&[("latest", "v2"), ("v2", "builds/2")], "latest/data.csv", Ok("builds/2/data.csv")),
            (&[("dangling", "not/there")], "dangling", Ok("not/there")),
            (&[("top", ".")], "top/top/a", Ok("a")),
            (&[("a/up", "..")], "a/up", Ok("")),
            (&[("x", "/etc/passwd")], "x", Err(Astray::Outside)),
            (&[("x", "..")], "x", Err(Astray::Outside)),
            (&[("a/b/x", "../../../y")], "a/b/x", Err(Astray::Outside)),
            (&[("a", "b"), ("b", "a")], "a", Err(Astray::Circle)),
            (&[("a", "a/b")], "a", Err(Astray::Circle)),
            // Each link looks harmless on its own. Followed one after the other, they leave.
            (&[("deep/a/b/up", "../../.."), ("x", "deep/a/b/up/../..")], "x", Err(Astray::Outside)),
        ];
        for (links, name, expected) in table {
            let links = links.iter().map(|(name, target)| (name.to_string(), target.to_string())).collect();
            assert_eq!(resolve(&links, name), expected.map(String::from), "{name} with {links:?}");
        }
    }
}

//! Whether a path stays inside a home.

/// Whether a path names something inside the home, whether or not it exists. The path may not contain `..`.
pub fn is_inside(path: &str, home: &str) -> bool {
    let rest = path.strip_prefix(home).and_then(|it| it.strip_prefix('/'));
    rest.is_some_and(|it| it.split('/').all(|part| !matches!(part, "" | "." | "..")) && !it.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_home_in_any_way_is_not_inside() {
        for path in ["/h/vectors/a.db", "/h/a b/..c/x"] {
            assert!(is_inside(path, "/h"), "{path}");
        }
        for path in
            ["/h", "/h/", "/other/h/a.db", "/ha/a.db", "/h/../x.db", "/h/a/./b", "/h//b", "/h/a\0", "a.db", "", "h/a"]
        {
            assert!(!is_inside(path, "/h"), "{path}");
        }
    }
}

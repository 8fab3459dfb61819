//! Values of `regclass` and its like as results have them: a name, which the session's path has a part in, and the oid
//! that it stands for.

/// What no name has in it.
const BETWEEN: char = '\0';

/// A value of a result.
pub fn shown(name: &str, oid: u32) -> String {
    format!("{name}{BETWEEN}{oid}")
}

/// Its name, which is its text form.
pub fn name(shown: &str) -> &str {
    shown.split_once(BETWEEN).map_or(shown, |(name, _)| name)
}

/// Its oid, which is its binary form.
pub fn oid(shown: &str) -> u32 {
    let oid = shown.split_once(BETWEEN).map(|(_, oid)| oid);
    oid.and_then(|oid| oid.parse().ok()).unwrap_or(0)
}

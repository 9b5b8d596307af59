//! Files that are made of others: each is, to the byte, what would be made of them now.

use super::{File, Finding};
use crate::alerts;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let differs = |made: &&alerts::Made| {
        let plain = find(made.of);
        let wanted = plain.map(|plain| alerts::prometheus_rule(made, plain.text()));
        wanted.as_deref() != find(made.path).map(File::text)
    };
    let say = |made: &alerts::Made| {
        let say = format!("is not what {} makes of it: run `cargo xtask alerts --write`", made.of);
        Finding::new(made.path, 0, say)
    };
    alerts::MADE.iter().filter(differs).map(say).collect()
}

//! Where tests find the real data.

use std::path::{Path, PathBuf};

/// The data folder: `BURSAR_TEST_DATA`, or the one beside the workspace.
pub(crate) fn folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("BURSAR_TEST_DATA")
        .map_or_else(|| workspace.join("../shared/data"), PathBuf::from)
}

/// A file of it.
pub(crate) fn real(path: &str) -> Vec<u8> {
    let path = folder().join(path);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{} is needed ({error}); set BURSAR_TEST_DATA to the data folder", path.display())
    })
}

//! Manifests of exports: any bytes are a manifest, somebody else's JSON, or an error in words. What
//! is chosen by one is in the listing, below the place that was listed, and chosen once. An input
//! is its key, its text and the keys beside it, with a NUL between, and the keys a line each.
#![no_main]

use std::collections::BTreeSet;

use focus::delivery::{Listing, Manifest, executions, is_manifest};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0);
    let (Some(key), Some(text)) = (parts.next(), parts.next()) else { return };
    let Ok(key) = std::str::from_utf8(key) else { return };
    let _ = is_manifest(key);
    let mut manifests = Vec::new();
    match Manifest::parse(key, text) {
        Ok(found) => manifests.extend(found),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let beside: Vec<&str> =
        parts.next().map_or(Vec::new(), |rest| {
            std::str::from_utf8(rest).unwrap_or_default().lines().collect()
        });
    // The same one again, in another place.
    if let Some(Ok(Some(other))) = parts.next().map(|text| Manifest::parse("b/manifest.json", text))
    {
        manifests.push(other);
    }
    let files = beside.iter().map(|key| ((*key).to_owned(), (7, Timestamp::UNIX_EPOCH)));
    let files: std::collections::BTreeMap<_, _> = files.collect();
    for bucket in [None, Some("bills".to_owned())] {
        let listing = Listing { bucket, prefix: "out".to_owned(), files: files.clone() };
        match executions(&listing, manifests.clone()) {
            Ok(chosen) => {
                let mut seen = BTreeSet::new();
                for execution in &chosen {
                    assert!(execution.months.0 <= execution.months.1);
                    assert!(!execution.files.is_empty());
                    for file in &execution.files {
                        assert!(listing.files.contains_key(file), "{file} was not listed");
                        assert!(seen.insert(file.clone()), "{file} counts twice");
                    }
                }
                let apart = chosen.windows(2).all(|two| two[0].months.1 < two[1].months.0);
                assert!(apart, "a month is chosen twice");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

//! A budget check around any Rust service.

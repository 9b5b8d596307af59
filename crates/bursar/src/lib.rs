//! The binary's parts: config, assembly, one file for each command.
//!
//! Owns what people type and what they read in answer, and wires the rooms together: the only crate
//! that sees adapters and doors alike. Decides nothing about money; every rule is in `budget`.
//!
//! It is a library so that tests and fuzzers reach its parsers; nothing else depends on it.

pub mod args;
pub mod command;
pub mod config;
pub mod context;
pub mod demo;
pub mod exit;
pub mod output;
pub mod replay;
pub mod seed;
pub mod trace;

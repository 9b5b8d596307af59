//! The binary, run as its users run it: processes, sockets, real databases.
//!
//! Postgres is the one that `BURSAR_TEST_POSTGRES_URL` names; the traces are in the folder that
//! `BURSAR_TEST_DATA` names. `cargo xtask test` sets both.

mod cloud;
mod cost;
mod cost_explorer;
mod exactness;
mod explorer;
mod export;
mod faults;
mod gateway;
mod kill;
mod meter;
mod notify;
mod operator;
mod replay;
mod service;
mod storage;
mod support;
mod tenant_cost;
mod vendor;
mod way;

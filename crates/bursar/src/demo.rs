//! The demo's world: a dozen tenants, what they have asked of models and what their clouds bill,
//! made from a seed.

pub mod clouds;
pub mod fill;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod traffic;

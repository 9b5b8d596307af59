//! The demo's world: a dozen tenants and what they have asked of models, made from a seed.

pub mod fill;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod traffic;

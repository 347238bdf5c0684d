//! Apps: composing a design sheet from a prompt, reading a sheet's sentences into a plan, answering without a
//! model, checking documents against rules, comparing and exporting.
//!
//! What does not live here: SQL (`store`), retrieval (`search`), routes (`server`).

#[macro_use]
mod phrases;

pub mod bundled;
pub mod checks;
pub mod compose;
pub mod diff;
pub mod exam;
pub mod export;
pub mod find;
pub mod leak;
pub mod plan;
pub mod quoting;
pub mod runner;

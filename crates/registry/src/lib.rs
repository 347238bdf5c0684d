//! Apps: composing a design sheet from a prompt, reading a sheet's sentences into a plan, answering without a
//! model, checking documents against rules, comparing, exporting, finding by task and testing for leaks.
//!
//! What does not live here: SQL (`store`), retrieval (`search`), routes (`server`).

pub mod find;
pub mod leak;

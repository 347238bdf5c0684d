//! The server: routes, pages, background work and the command line. The only place that wires the rooms together.
//!
//! What does not live here: rules. Rights are decided in `store`, retrieval in `search`, apps in `registry`, what may
//! leave in `gateway`.

pub mod api;
pub mod app;
pub mod assets;
pub mod auth;
pub mod blocking;
pub mod board;
pub mod bundled;
pub mod catalogue;
pub mod chain;
pub mod cli;
pub mod composing;
pub mod deadlines;
mod demo;
pub mod desk;
pub mod engines;
pub mod error;
pub mod find;
pub mod frame;
pub mod http;
pub mod index_home;
pub mod ingest;
pub mod ledger_export;
mod looking;
pub mod markdown;
pub mod meaning;
mod names;
pub mod pages;
mod pairs;
pub mod policies;
pub mod ranking;
pub mod record_words;
pub mod running;
pub mod serving;
pub mod settings;
pub mod shelf;
pub mod signing;
pub mod snippet;
pub mod views;
pub mod waiting;
pub mod watch;
mod witnesses;

pub use app::App;
pub use settings::Settings;

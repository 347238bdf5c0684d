//! The bars that the detector must clear: recall under disguise, false alarms, masking. Random numbers, identifiers and
//! what evaders make of them are beside the tests.

mod harmless;
mod identifiers;
mod masking;
mod mutations;
mod random;
mod recall;

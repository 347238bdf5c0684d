//! The body's own dictionary, as the checks use it. It comes compiled from whoever may open it; where it is kept and who
//! edits it is not known here.

use madang_pii::Rules;
use std::sync::{Arc, PoisonError, RwLock};

/// The dictionary in force, shared between whoever renews it and the engine that checks texts with it; none at first.
#[derive(Debug, Clone, Default)]
pub struct Detector(Arc<RwLock<Arc<Rules>>>);

impl Detector {
    /// From now on with these words.
    pub fn renew(&self, rules: Arc<Rules>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The words in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

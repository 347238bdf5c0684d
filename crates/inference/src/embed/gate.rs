//! One batch at a time per model, questions before passages: a reader's question waits for one batch at most while a
//! whole archive is being embedded.

use super::TextKind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    busy: bool,
    questions_waiting: usize,
}

/// Who may compute now.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// The right to compute one batch; given back when dropped.
pub(super) struct Turn<'a>(&'a Gate);

impl Gate {
    /// Waits for a turn.
    pub fn enter(&self, kind: TextKind) -> Turn<'_> {
        let mut state = self.state();
        let question = kind == TextKind::Query;
        state.questions_waiting += usize::from(question);
        while state.busy || (!question && state.questions_waiting > 0) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.questions_waiting -= usize::from(question);
        state.busy = true;
        Turn(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().busy = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many passages wait, the question that came last goes first.
    #[test]
    fn questions_go_before_passages() {
        let gate = Gate::default();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let held = gate.enter(TextKind::Passage);
            for _ in 0..4 {
                scope.spawn(|| {
                    let _turn = gate.enter(TextKind::Passage);
                    order.lock().unwrap().push(TextKind::Passage);
                });
            }
            scope.spawn(|| {
                let _turn = gate.enter(TextKind::Query);
                order.lock().unwrap().push(TextKind::Query);
            });
            while gate.state().questions_waiting == 0 {
                std::thread::yield_now();
            }
            drop(held);
        });
        let order = order.into_inner().unwrap();
        assert_eq!(order.len(), 5);
        assert_eq!(order.first(), Some(&TextKind::Query));
    }
}

//! Threads that work through a numbered list of items together. Workers spin for a moment before they sleep: a decoding
//! step is a few hundred short parallel regions, and waking a sleeper costs more than most of them.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};

/// Spins before a worker sleeps: about a tenth of a millisecond.
const SPINS: u32 = 20_000;
/// Set in `State::gate` while a job may be joined; the lower bits count who is inside.
const OPEN: u32 = 1 << 31;

type Body<'a> = dyn Fn(usize) + Sync + 'a;

struct Job<'a> {
    body: &'a Body<'a>,
    items: usize,
    next: AtomicUsize,
}

impl Job<'_> {
    fn work(&self) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= self.items {
                return;
            }
            (self.body)(item);
        }
    }
}

struct State {
    /// The job that may be joined while `gate` is open.
    job: AtomicPtr<()>,
    gate: AtomicU32,
    /// Counts jobs, so that a worker joins each at most once; `u64::MAX` ends the workers.
    turn: AtomicU64,
    sleeping: AtomicUsize,
    panicked: AtomicUsize,
}

/// A fixed number of threads, the caller's included.
pub struct Pool {
    shared: Arc<State>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    /// One job at a time.
    busy: Mutex<u64>,
}

impl Pool {
    /// A pool that computes on `threads` threads (at least one): the one that calls [`run`](Self::run) and
    /// `threads - 1` of its own.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(State {
            job: AtomicPtr::new(std::ptr::null_mut()),
            gate: AtomicU32::new(0),
            turn: AtomicU64::new(0),
            sleeping: AtomicUsize::new(0),
            panicked: AtomicUsize::new(0),
        });
        let workers: Vec<_> = (1..threads.max(1))
            .filter_map(|i| {
                let shared = Arc::clone(&shared);
                thread::Builder::new().name(format!("kernel-{i}")).spawn(move || worker(&shared)).ok()
            })
            .collect();
        let handles = workers.iter().map(|w| w.thread().clone()).collect();
        Self { shared, workers, handles, busy: Mutex::new(0) }
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body` once for every number below `items`, on all threads, and returns when all calls have returned.
    ///
    /// # Panics
    /// When a call panicked.
    pub fn run(&self, items: usize, body: impl Fn(usize) + Sync) {
        if self.workers.is_empty() || items <= 1 {
            (0..items).for_each(body);
            return;
        }
        let mut turn = self.busy.lock().unwrap_or_else(|e| e.into_inner());
        let job = Job { body: &body, items, next: AtomicUsize::new(0) };
        // The gate closes, and everybody who went through it has left, before `job` goes out of scope: also when `body`
        // panics on this thread.
        let _closing = Closing(&self.shared);
        self.shared.panicked.store(0, Ordering::Relaxed);
        self.shared.job.store((&raw const job).cast_mut().cast(), Ordering::Relaxed);
        self.shared.gate.store(OPEN, Ordering::Release);
        *turn += 1;
        self.shared.turn.store(*turn, Ordering::SeqCst);
        if self.shared.sleeping.load(Ordering::SeqCst) > 0 {
            self.handles.iter().for_each(Thread::unpark);
        }
        job.work();
        drop(_closing);
        assert!(self.shared.panicked.swap(0, Ordering::Relaxed) == 0, "a kernel thread panicked");
    }
}

impl Pool {
    /// Calls `body` for every row of `len` elements of `data`.
    pub fn rows<T: Send>(&self, data: &mut [T], len: usize, body: impl Fn(usize, &mut [T]) + Sync) {
        let rows = data.len() / len;
        let data = Shared::new(data);
        // SAFETY: rows do not overlap, and each item has its own.
        self.run(rows, |i| body(i, unsafe { data.slice(i * len, len) }));
    }

    /// Calls `body` for every one of `data`'s parts, which follow each other and have the lengths `lens`.
    ///
    /// # Panics
    /// When the parts are longer than `data`.
    pub fn parts<T: Send>(&self, data: &mut [T], lens: &[usize], body: impl Fn(usize, &mut [T]) + Sync) {
        let starts: Vec<usize> = lens
            .iter()
            .scan(0, |at, len| {
                let start = *at;
                *at += len;
                Some(start)
            })
            .collect();
        assert!(lens.iter().sum::<usize>() <= data.len(), "parts are longer than the data");
        let data = Shared::new(data);
        // SAFETY: parts follow each other inside `data`, and each item has its own.
        self.run(lens.len(), |i| body(i, unsafe { data.slice(starts[i], lens[i]) }));
    }
}

/// A pointer that several threads write through, each to its own places.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);
// SAFETY: whoever calls `slice` promises that no two threads touch the same element.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// `len` elements from `at` on.
    ///
    /// # Safety
    /// They lie in the slice, and nobody else touches them while the result lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, at: usize, len: usize) -> &mut [T] {
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}

struct Closing<'a>(&'a State);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.0.gate.load(Ordering::Acquire) != 0 {
            pause(&mut spins);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.turn.store(u64::MAX, Ordering::SeqCst);
        self.handles.iter().for_each(Thread::unpark);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn pause(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(4_096) { thread::yield_now() } else { std::hint::spin_loop() }
}

fn worker(shared: &State) {
    let mut seen = 0;
    loop {
        let turn = await_turn(shared, seen);
        if turn == u64::MAX {
            return;
        }
        seen = turn;
        if enter(shared) {
            let job = shared.job.load(Ordering::Relaxed).cast_const().cast::<Job<'_>>();
            // SAFETY: the gate was open when this thread went in, and `run` keeps the job alive until it has left.
            let job = unsafe { &*job };
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.work())).is_err() {
                shared.panicked.fetch_add(1, Ordering::Relaxed);
            }
            shared.gate.fetch_sub(1, Ordering::Release);
        }
    }
}

fn await_turn(shared: &State, seen: u64) -> u64 {
    let mut spins = 0;
    loop {
        let turn = shared.turn.load(Ordering::Acquire);
        if turn != seen {
            return turn;
        }
        if spins < SPINS {
            pause(&mut spins);
            continue;
        }
        shared.sleeping.fetch_add(1, Ordering::SeqCst);
        while shared.turn.load(Ordering::SeqCst) == seen {
            thread::park();
        }
        shared.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Goes through the gate if it is open.
fn enter(shared: &State) -> bool {
    let mut gate = shared.gate.load(Ordering::Relaxed);
    while gate & OPEN != 0 {
        match shared.gate.compare_exchange_weak(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => gate = now,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once() {
        let pool = Pool::new(4);
        for items in [0, 1, 2, 3, 17, 1000] {
            for _ in 0..200 {
                let hits: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                pool.run(items, |i| {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_comes_out_and_the_pool_goes_on() {
        let pool = Pool::new(3);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, |i| assert!(i != 33, "thirty-three"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 45);
    }
}

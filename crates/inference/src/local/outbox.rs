//! Words of replies that ended while their readers were behind. They hold no memory of the model and no permit; they go
//! when they are read, when nobody reads any more, or when their time is up.

use crate::chat::{ChatError, ChatEvent};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Most replies whose words are kept; of more, those that have waited longest go.
const MOST: usize = 64;
/// Past the deadline the reader still gets this long to learn of it.
const LINGER: Duration = Duration::from_secs(10);

/// What a reply consists of.
pub type Event = Result<ChatEvent, ChatError>;

/// Events that a reader has not taken yet.
pub struct Unread {
    events: VecDeque<Event>,
    out: mpsc::Sender<Event>,
}

impl Unread {
    pub fn new(out: mpsc::Sender<Event>) -> Self {
        Self { events: VecDeque::new(), out }
    }

    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The reader has taken everything, or will find it in the channel.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.out.is_closed()
    }

    /// Hands over what the reader has room for. `false`: nobody reads any more.
    pub fn deliver(&mut self) -> bool {
        while let Some(event) = self.events.pop_front() {
            match self.out.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.events.push_front(event);
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        !self.out.is_closed()
    }
}

/// All that is kept.
#[derive(Default)]
pub struct Outbox {
    kept: VecDeque<(Unread, Option<Instant>)>,
}

impl Outbox {
    /// Keeps the words of a reply that ended, until somewhat after its deadline.
    pub fn keep(&mut self, mut unread: Unread, deadline: Option<Instant>) {
        if !unread.deliver() || unread.is_empty() {
            return;
        }
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        let until = deadline.map(|d| d.max(Instant::now()) + LINGER);
        self.kept.push_back((unread, until));
    }

    /// Hands over what readers have room for, and drops what was taken or is not wanted any more.
    pub fn deliver(&mut self) {
        let now = Instant::now();
        self.kept.retain_mut(|(unread, until)| {
            until.is_none_or(|until| now < until) && unread.deliver() && !unread.is_empty()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(events: usize) -> (Unread, mpsc::Receiver<Event>) {
        let (out, reader) = mpsc::channel(1);
        let mut unread = Unread::new(out);
        for n in 0..events {
            unread.push(Ok(ChatEvent::Text { text: n.to_string(), logprobs: vec![] }));
        }
        (unread, reader)
    }

    #[test]
    fn words_wait_for_their_reader_and_no_longer() {
        let mut outbox = Outbox::default();
        let (unread, mut reader) = behind(3);
        outbox.keep(unread, None);
        for _ in 0..3 {
            assert!(reader.try_recv().is_ok());
            outbox.deliver();
        }
        assert!(outbox.is_empty() && reader.try_recv() == Err(mpsc::error::TryRecvError::Disconnected));
        let (unread, reader) = behind(3);
        outbox.keep(unread, None);
        drop(reader);
        outbox.deliver();
        assert!(outbox.is_empty(), "the reader is gone");
        let (unread, _reader) = behind(3);
        outbox.keep(unread, Instant::now().checked_sub(LINGER * 2));
        assert!(!outbox.is_empty(), "a late reader may learn why");
        let (unread, _reader) = behind(1);
        outbox.keep(unread, None);
        assert_eq!(outbox.kept.len(), 1, "what has room in the channel is not kept");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut outbox = Outbox::default();
        let readers: Vec<_> = (0..MOST + 5)
            .map(|_| {
                let (unread, reader) = behind(2);
                outbox.keep(unread, None);
                reader
            })
            .collect();
        assert_eq!((outbox.kept.len(), readers.len()), (MOST, MOST + 5));
    }
}

//! Write transactions and how they reach the disk: short ones that queue for the writer share one commit, and with it
//! one wait for the disk (group commit: Gray and Reuter, *Transaction Processing*, 1993). What they write is in the
//! module of each table.
//!
//! The members of a group run one after another on one connection, inside one database transaction. A savepoint marks
//! what the members before have ended with, so that one that fails or is dropped takes nothing of the others along. A
//! member that has ended queues for the writer once more: whoever waited before it joins the group, and the first
//! that comes back to the front commits for all. Nobody hears "done" before that commit has returned.

use crate::{Dialect, Result, Store, StoreError};
use sqlx::{Any, AnyConnection, AnyPool, Executor, Transaction};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, oneshot};

/// Members of one group at most, so that its first does not wait for long.
const MEMBERS: usize = 128;

/// A write transaction. Dropped without [`WriteTx::commit`], nothing of it remains.
pub struct WriteTx {
    pub(crate) tx: Turn,
    pub(crate) dialect: Dialect,
    pub(crate) now: i64,
}

impl WriteTx {
    /// Makes everything written durable (SQLite commits with `synchronous=FULL`), and returns when it is. A caller
    /// that goes away meanwhile does not stop it.
    ///
    /// # Errors
    /// [`StoreError::Full`] on a full disk; nothing of the transaction is kept then.
    pub async fn commit(self) -> Result<()> {
        match self.tx {
            Turn::Alone { tx, .. } => Ok(tx.commit().await?),
            // A task of its own: cut off half-way, it would take those who share the commit along.
            Turn::Member(member) => tokio::spawn(member.end()).await.unwrap_or_else(|_| Err(lost())),
        }
    }

    /// Time of the transaction, Unix milliseconds.
    pub fn now(&self) -> i64 {
        self.now
    }
}

impl Store {
    /// Begins a short write transaction. Its commit may be shared with others that wait for the writer.
    pub async fn write(&self) -> Result<WriteTx> {
        let mut groups = self.writer.clone().lock_owned().await;
        loop {
            let joins = match &mut groups.open {
                None => {
                    groups.open = Some(Group::begin(&self.pool, self.dialect).await?);
                    groups.begun += 1;
                    true
                }
                Some(group) => group.ended.len() < MEMBERS && group.tidy().await.is_ok(),
            };
            if joins {
                break;
            }
            groups = settled(groups).await?;
        }
        let number = groups.begun;
        let group = OwnedMutexGuard::try_map(groups, |groups| groups.open.as_mut()).map_err(|_| lost())?;
        let member = Member { group, number, writer: self.writer.clone(), ended: false };
        Ok(WriteTx { tx: Turn::Member(member), dialect: self.dialect, now: self.now() })
    }

    /// Begins a write transaction that may take long: nobody's commit waits for its end.
    pub async fn write_alone(&self) -> Result<WriteTx> {
        let turn = match self.dialect {
            Dialect::Sqlite => Some(settled(self.writer.clone().lock_owned().await).await?),
            Dialect::Postgres => None,
        };
        let tx = begin(&self.pool, self.dialect).await?;
        Ok(WriteTx { tx: Turn::Alone { tx, _turn: turn }, dialect: self.dialect, now: self.now() })
    }

    /// How many groups of short transactions there have been since the start: each has waited for the disk once.
    pub async fn groups(&self) -> u64 {
        self.writer.lock().await.begun
    }
}

async fn begin(pool: &AnyPool, dialect: Dialect) -> Result<Transaction<'static, Any>> {
    Ok(match dialect {
        // IMMEDIATE: a transaction that read first would fail when it comes to write.
        Dialect::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await?,
        Dialect::Postgres => pool.begin().await?,
    })
}

/// The one writer of this process. SQLite allows no more: queueing here is better than failing with "database is
/// locked". On PostgreSQL an append to the record waits for the one before anyway.
pub(crate) type Writer = Arc<Mutex<Groups>>;

#[derive(Default)]
pub(crate) struct Groups {
    open: Option<Group>,
    begun: u64,
}

/// Transactions that share one commit.
pub(crate) struct Group {
    tx: Transaction<'static, Any>,
    /// Members that have ended and wait for the commit.
    ended: Vec<oneshot::Sender<Result<()>>>,
    /// A member has left without an end; what it wrote is still there.
    littered: bool,
}

impl Group {
    async fn begin(pool: &AnyPool, dialect: Dialect) -> Result<Self> {
        let mut tx = begin(pool, dialect).await?;
        tx.execute("SAVEPOINT ended").await?;
        Ok(Self { tx, ended: Vec::new(), littered: false })
    }

    /// Removes what a member without an end has written.
    ///
    /// # Errors
    /// Where the database has given the whole transaction up: then all that it held is gone.
    async fn tidy(&mut self) -> Result<()> {
        if self.littered {
            self.tx.execute("ROLLBACK TO SAVEPOINT ended").await?;
            self.littered = false;
        }
        Ok(())
    }

    /// Commits for all who have ended and tells them.
    async fn commit(mut self) {
        if self.ended.is_empty() {
            if let Err(error) = self.tx.rollback().await {
                tracing::warn!(%error, "a write transaction was not rolled back");
            }
            return;
        }
        let done = match self.tidy().await {
            Ok(()) => self.tx.commit().await.map_err(StoreError::from),
            Err(error) => Err(error),
        };
        for member in self.ended {
            // Who no longer listens has gone away.
            let _ = member.send(done.as_ref().map(|_| ()).map_err(again));
        }
    }
}

/// Commits the open group, in a task of its own as in [`WriteTx::commit`], and keeps the turn.
async fn settled(mut groups: OwnedMutexGuard<Groups>) -> Result<OwnedMutexGuard<Groups>> {
    let task = tokio::spawn(async move {
        if let Some(group) = groups.open.take() {
            group.commit().await;
        }
        groups
    });
    task.await.map_err(|_| lost())
}

/// A short transaction at work.
pub(crate) struct Member {
    group: OwnedMappedMutexGuard<Groups, Group>,
    /// Which group that is.
    number: u64,
    writer: Writer,
    ended: bool,
}

impl Member {
    /// Ends it, and waits for the commit of its group.
    async fn end(mut self) -> Result<()> {
        self.group.tx.execute("RELEASE SAVEPOINT ended; SAVEPOINT ended").await?;
        let (tell, told) = oneshot::channel();
        self.group.ended.push(tell);
        self.ended = true;
        drop(self);
        told.await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Drop for Member {
    /// Queues for the writer once more, to commit the group if nobody has by then.
    fn drop(&mut self) {
        self.group.littered |= !self.ended;
        let (writer, number) = (self.writer.clone(), self.number);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let groups = writer.lock_owned().await;
                if groups.begun == number {
                    // Its members hear of what went wrong themselves.
                    let _ = settled(groups).await;
                }
            });
        }
    }
}

/// The connection that a transaction writes on.
pub(crate) enum Turn {
    Alone { tx: Transaction<'static, Any>, _turn: Option<OwnedMutexGuard<Groups>> },
    Member(Member),
}

impl Deref for Turn {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        match self {
            Turn::Alone { tx, .. } => tx,
            Turn::Member(member) => &member.group.tx,
        }
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        match self {
            Turn::Alone { tx, .. } => tx,
            Turn::Member(member) => &mut member.group.tx,
        }
    }
}

/// Whether it was committed is not known: the process is ending.
fn lost() -> StoreError {
    StoreError::Database(sqlx::Error::WorkerCrashed)
}

/// The error of a shared commit, for a further member.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        other => StoreError::Database(sqlx::Error::Protocol(format!("the shared commit failed: {other}"))),
    }
}

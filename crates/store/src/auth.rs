//! Who is asking: sign-in records, sessions and personal access tokens, and the one place where a `Scope` is made.
//! Passwords arrive here hashed; secrets are stored as SHA-256 of 256 random bits.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{DepartmentId, PersonId, PostId, Role, Scope, SessionId, TokenId, TokenScope};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Failed sign-ins in a row before an account is locked.
pub const MAX_FAILURES: i64 = 5;
/// How long a lock lasts, milliseconds.
pub const LOCK_MS: i64 = 10 * 60_000;
/// A session ends after this long without use, milliseconds.
pub const SESSION_IDLE_MS: i64 = 2 * 3_600_000;
/// A session ends this long after sign-in whatever happens, milliseconds.
pub const SESSION_MAX_MS: i64 = 12 * 3_600_000;
/// Longest life of a token, days.
pub const TOKEN_MAX_DAYS: i64 = 365;
const LAST_SEEN_STEP_MS: i64 = 60_000;

/// What sign-in needs to know of an account.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    pub person: PersonId,
    pub password_hash: String,
    pub active: bool,
    /// Unix milliseconds.
    pub locked_until: Option<i64>,
}

/// A post held by the reader.
#[derive(Debug, Clone, Serialize)]
pub struct HeldPost {
    pub post: PostId,
    pub title: String,
    pub department: DepartmentId,
    pub department_name: String,
    pub roles: Vec<Role>,
}

impl HeldPost {
    pub(crate) fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            post: row.parsed("id")?,
            title: row.text("title")?,
            department: row.parsed("department_id")?,
            department_name: row.text("department_name")?,
            roles: row.json("roles")?,
        })
    }
}

/// An authenticated reader: rights plus what a page says of them.
#[derive(Debug, Clone)]
pub struct Identity {
    pub scope: Scope,
    pub name: String,
    pub login: String,
    pub posts: Vec<HeldPost>,
    /// Present for a browser session: its id and CSRF token.
    pub session: Option<(SessionId, String)>,
}

/// A signed-in browser, as its owner sees it.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    pub id: SessionId,
    pub address: String,
    pub user_agent: String,
    pub created_at: i64,
    pub last_seen: i64,
}

/// A personal access token, as its owner sees it.
#[derive(Debug, Clone, Serialize)]
pub struct TokenView {
    pub id: TokenId,
    pub name: String,
    pub scope: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub last_used: Option<i64>,
    pub revoked: bool,
}

/// 256 random bits in hexadecimal.
pub fn new_secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

fn hash_secret(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

impl Store {
    /// The account with this login name, signed in or not.
    pub async fn login_record(&self, login: &str) -> Result<Option<LoginRecord>> {
        let row = sqlx::query("SELECT id, password_hash, active, locked_until FROM people WHERE login = $1")
            .bind(login)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|r| {
            Ok(LoginRecord {
                person: r.parsed("id")?,
                password_hash: r.text("password_hash")?,
                active: r.flag("active")?,
                locked_until: r.opt_int("locked_until")?,
            })
        })
        .transpose()
    }

    /// Records a failed sign-in and locks the account after [`MAX_FAILURES`] in a row.
    pub async fn note_failed_sign_in(&self, person: Option<PersonId>, login: &str, address: &str) -> Result<()> {
        let mut tx = self.write().await?;
        if let Some(person) = person {
            sqlx::query("UPDATE people SET failures = failures + 1 WHERE id = $1")
                .bind(person.to_string())
                .execute(&mut *tx.tx)
                .await?;
            sqlx::query("UPDATE people SET locked_until = $1, failures = 0 WHERE id = $2 AND failures >= $3")
                .bind(tx.now + LOCK_MS)
                .bind(person.to_string())
                .bind(MAX_FAILURES)
                .execute(&mut *tx.tx)
                .await?;
        }
        let shown: String = login.chars().take(40).collect();
        tx.append(Event::new("sign_in_failed", person, json!({ "login": shown, "address": address }))).await?;
        tx.commit().await
    }

    /// Opens a session for a person whose password was just verified; returns the cookie's secret.
    pub async fn open_session(&self, person: PersonId, address: &str, user_agent: &str) -> Result<String> {
        let secret = new_secret();
        let mut tx = self.write().await?;
        let now = tx.now;
        sqlx::query("DELETE FROM sessions WHERE expires_at < $1").bind(now).execute(&mut *tx.tx).await?;
        sqlx::query("UPDATE people SET failures = 0, locked_until = NULL WHERE id = $1")
            .bind(person.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let id = SessionId::new();
        sqlx::query(
            "INSERT INTO sessions (id, secret_hash, person_id, csrf, address, user_agent, created_at, last_seen, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
        )
        .bind(id.to_string())
        .bind(hash_secret(&secret))
        .bind(person.to_string())
        .bind(new_secret())
        .bind(address)
        .bind(user_agent.chars().take(200).collect::<String>())
        .bind(now)
        .bind(now + SESSION_MAX_MS)
        .execute(&mut *tx.tx)
        .await?;
        tx.append(Event::new("sign_in", Some(person), json!({ "session": id, "address": address }))).await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// The reader behind a session cookie; `None` when it is unknown, expired, or its person is not active.
    pub async fn authenticate_session(&self, secret: &str) -> Result<Option<Identity>> {
        let now = self.now();
        let row = sqlx::query(
            "SELECT s.id, s.csrf, s.last_seen, p.id AS person_id, p.name, p.login FROM sessions s \
             JOIN people p ON p.id = s.person_id \
             WHERE s.secret_hash = $1 AND s.expires_at > $2 AND s.last_seen > $3 AND p.active = 1",
        )
        .bind(hash_secret(secret))
        .bind(now)
        .bind(now - SESSION_IDLE_MS)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let session: SessionId = row.parsed("id")?;
        if row.int("last_seen")? + LAST_SEEN_STEP_MS < now {
            let mut tx = self.write().await?;
            sqlx::query("UPDATE sessions SET last_seen = $1 WHERE id = $2")
                .bind(now)
                .bind(session.to_string())
                .execute(&mut *tx.tx)
                .await?;
            tx.commit().await?;
        }
        let csrf = row.text("csrf")?;
        self.identity(row.parsed("person_id")?, row.text("name")?, row.text("login")?, Some((session, csrf)), None)
            .await
            .map(Some)
    }

    /// The reader behind a personal access token; `None` when it is unknown, expired, revoked, or its person is
    /// not active.
    pub async fn authenticate_token(&self, secret: &str) -> Result<Option<Identity>> {
        let now = self.now();
        let row = sqlx::query(
            "SELECT t.id, t.scope, t.last_used, p.id AS person_id, p.name, p.login FROM tokens t \
             JOIN people p ON p.id = t.person_id \
             WHERE t.secret_hash = $1 AND t.expires_at > $2 AND t.revoked_at IS NULL AND p.active = 1",
        )
        .bind(hash_secret(secret))
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.opt_int("last_used")?.unwrap_or(0) + LAST_SEEN_STEP_MS < now {
            let mut tx = self.write().await?;
            sqlx::query("UPDATE tokens SET last_used = $1 WHERE id = $2")
                .bind(now)
                .bind(row.text("id")?)
                .execute(&mut *tx.tx)
                .await?;
            tx.commit().await?;
        }
        let scope = parse_token_scope(&row.text("scope")?)?;
        self.identity(row.parsed("person_id")?, row.text("name")?, row.text("login")?, None, Some(scope))
            .await
            .map(Some)
    }

    #[allow(clippy::disallowed_methods)] // the one place where a Scope is made: credentials were just checked
    async fn identity(
        &self,
        person: PersonId,
        name: String,
        login: String,
        session: Option<(SessionId, String)>,
        token: Option<TokenScope>,
    ) -> Result<Identity> {
        let posts = self.held_posts(person).await?;
        let rights = posts.iter().flat_map(|p| p.roles.iter().map(move |r| (p.department, *r))).collect();
        Ok(Identity { scope: Scope::authenticated(person, rights, token), name, login, posts, session })
    }

    /// Posts that a person holds now, longest held first.
    pub(crate) async fn held_posts(&self, person: PersonId) -> Result<Vec<HeldPost>> {
        let rows = sqlx::query(
            "SELECT o.id, o.title, o.roles, d.id AS department_id, d.name AS department_name FROM post_holders h \
             JOIN posts o ON o.id = h.post_id JOIN departments d ON d.id = o.department_id \
             WHERE h.person_id = $1 AND o.deleted_at IS NULL AND d.deleted_at IS NULL ORDER BY h.since, o.title",
        )
        .bind(person.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(HeldPost::from_row).collect()
    }

    /// Ends one session of the reader's own.
    pub async fn end_session(&self, scope: &Scope, session: SessionId) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query("DELETE FROM sessions WHERE id = $1 AND person_id = $2")
            .bind(session.to_string())
            .bind(scope.person().to_string())
            .execute(&mut *tx.tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.append(Event::new("sign_out", Some(scope.person()), json!({ "session": session }))).await?;
        tx.commit().await
    }

    /// Ends all sessions of the reader; returns how many there were.
    pub async fn end_all_sessions(&self, scope: &Scope) -> Result<u64> {
        let mut tx = self.write().await?;
        let ended = tx.revoke_sessions(scope.person()).await?;
        tx.append(Event::new("sign_out_everywhere", Some(scope.person()), json!({ "sessions": ended }))).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Sessions of the reader, latest first.
    pub async fn sessions(&self, scope: &Scope) -> Result<Vec<SessionView>> {
        let rows = sqlx::query(
            "SELECT id, address, user_agent, created_at, last_seen FROM sessions WHERE person_id = $1 AND expires_at > $2 \
             AND last_seen > $3 ORDER BY last_seen DESC",
        )
        .bind(scope.person().to_string())
        .bind(self.now())
        .bind(self.now() - SESSION_IDLE_MS)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(SessionView {
                    id: r.parsed("id")?,
                    address: r.text("address")?,
                    user_agent: r.text("user_agent")?,
                    created_at: r.int("created_at")?,
                    last_seen: r.int("last_seen")?,
                })
            })
            .collect()
    }

    /// Creates a token for the reader; returns its id and, this once, its secret.
    pub async fn create_token(
        &self,
        scope: &Scope,
        name: &str,
        rights: TokenScope,
        days: i64,
    ) -> Result<(TokenId, String)> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 60 {
            return Err(StoreError::invalid("name", "토큰 이름을 1~60자로 적어 주세요."));
        }
        if !(1..=TOKEN_MAX_DAYS).contains(&days) {
            return Err(StoreError::invalid("days", "기간은 1일에서 365일 사이로 정해 주세요."));
        }
        let secret = format!("mdg_{}", new_secret());
        let id = TokenId::new();
        let mut tx = self.write().await?;
        let now = tx.now;
        sqlx::query(
            "INSERT INTO tokens (id, person_id, name, secret_hash, scope, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.to_string())
        .bind(scope.person().to_string())
        .bind(name)
        .bind(hash_secret(&secret))
        .bind(rights.as_str())
        .bind(now)
        .bind(now + days * 86_400_000)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "token": id, "rights": rights, "days": days });
        tx.append(Event::new("token_created", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok((id, secret))
    }

    /// Tokens of the reader, latest first.
    pub async fn tokens(&self, scope: &Scope) -> Result<Vec<TokenView>> {
        let rows = sqlx::query(
            "SELECT id, name, scope, created_at, expires_at, last_used, revoked_at FROM tokens WHERE person_id = $1 \
             ORDER BY created_at DESC",
        )
        .bind(scope.person().to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(TokenView {
                    id: r.parsed("id")?,
                    name: r.text("name")?,
                    scope: r.text("scope")?,
                    created_at: r.int("created_at")?,
                    expires_at: r.int("expires_at")?,
                    last_used: r.opt_int("last_used")?,
                    revoked: r.opt_int("revoked_at")?.is_some(),
                })
            })
            .collect()
    }

    /// Revokes a token of the reader's own.
    pub async fn revoke_token(&self, scope: &Scope, token: TokenId) -> Result<()> {
        let mut tx = self.write().await?;
        let done =
            sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND person_id = $3 AND revoked_at IS NULL")
                .bind(tx.now)
                .bind(token.to_string())
                .bind(scope.person().to_string())
                .execute(&mut *tx.tx)
                .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.append(Event::new("token_revoked", Some(scope.person()), json!({ "token": token }))).await?;
        tx.commit().await
    }

    /// Password hash of the reader, to check the old password before a new one is taken.
    pub async fn own_password_hash(&self, scope: &Scope) -> Result<String> {
        let row = sqlx::query("SELECT password_hash FROM people WHERE id = $1")
            .bind(scope.person().to_string())
            .fetch_one(&self.pool)
            .await?;
        row.text("password_hash")
    }

    /// Sets the reader's own password and signs them out everywhere.
    pub async fn change_own_password(&self, scope: &Scope, password_hash: &str) -> Result<()> {
        let mut tx = self.write().await?;
        tx.set_password(scope.person(), password_hash).await?;
        tx.append(Event::new("password_changed", Some(scope.person()), json!({}))).await?;
        tx.commit().await
    }
}

impl WriteTx {
    pub(crate) async fn revoke_sessions(&mut self, person: PersonId) -> Result<u64> {
        let done = sqlx::query("DELETE FROM sessions WHERE person_id = $1")
            .bind(person.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(done.rows_affected())
    }

    /// A new password ends every session and lock.
    pub(crate) async fn set_password(&mut self, person: PersonId, password_hash: &str) -> Result<()> {
        sqlx::query("UPDATE people SET password_hash = $1, failures = 0, locked_until = NULL WHERE id = $2")
            .bind(password_hash)
            .bind(person.to_string())
            .execute(&mut *self.tx)
            .await?;
        self.revoke_sessions(person).await?;
        Ok(())
    }
}

fn parse_token_scope(text: &str) -> Result<TokenScope> {
    TokenScope::ALL.into_iter().find(|s| s.as_str() == text).ok_or(StoreError::Corrupt("scope"))
}

/// Administration needs the role and a browser session: tokens cannot administer.
pub(crate) fn require_admin(scope: &Scope) -> Result<()> {
    if scope.has_role(Role::Admin) && scope.token().is_none() {
        Ok(())
    } else {
        Err(StoreError::denied("운영자만 할 수 있는 일입니다."))
    }
}

/// Security work needs the role and a browser session.
pub(crate) fn require_security(scope: &Scope) -> Result<()> {
    if scope.has_role(Role::Security) && scope.token().is_none() {
        Ok(())
    } else {
        Err(StoreError::denied("보안담당만 할 수 있는 일입니다."))
    }
}

/// Parses an id that came from outside; an unknown form is simply not found.
pub fn parse_id<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| StoreError::NotFound)
}

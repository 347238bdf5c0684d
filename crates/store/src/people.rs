//! Departments, posts and people, and the personnel move. Reading the directory is open to all who are signed in;
//! changing it is for the admin, and each change is a record.

use crate::auth::{HeldPost, require_admin};
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{DepartmentId, PersonId, PostId, Role, Scope};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;

/// A department of the tree.
#[derive(Debug, Clone, Serialize)]
pub struct Department {
    pub id: DepartmentId,
    pub parent: Option<DepartmentId>,
    pub name: String,
}

/// A post and who holds it.
#[derive(Debug, Clone, Serialize)]
pub struct Post {
    pub id: PostId,
    pub department: DepartmentId,
    pub department_name: String,
    pub title: String,
    pub roles: Vec<Role>,
    pub holders: Vec<Holder>,
}

/// A person in a post.
#[derive(Debug, Clone, Serialize)]
pub struct Holder {
    pub id: PersonId,
    pub name: String,
}

/// A person, as the admin sees them.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    pub id: PersonId,
    pub login: String,
    pub name: String,
    pub active: bool,
    /// Unix milliseconds; `None` when not locked.
    pub locked_until: Option<i64>,
    /// Last use of an open session, Unix milliseconds.
    pub last_seen: Option<i64>,
    pub posts: Vec<HeldPost>,
}

/// A new account, its password already hashed.
#[derive(Debug, Clone)]
pub struct NewPerson {
    pub login: String,
    pub name: String,
    pub password_hash: String,
    pub posts: Vec<PostId>,
}

/// What a department still owns: nothing may be orphaned by its deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    pub apps: i64,
    pub collections: i64,
    pub posts_held: i64,
    pub children: i64,
    pub waiting: i64,
}

impl Store {
    /// All departments, by name.
    pub async fn departments(&self) -> Result<Vec<Department>> {
        let rows = sqlx::query("SELECT id, parent_id, name FROM departments WHERE deleted_at IS NULL ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|r| Ok(Department { id: r.parsed("id")?, parent: r.opt_parsed("parent_id")?, name: r.text("name")? }))
            .collect()
    }

    /// All posts with their holders, by department and title.
    pub async fn posts(&self) -> Result<Vec<Post>> {
        let rows = sqlx::query(
            "SELECT o.id, o.department_id, o.title, o.roles, d.name AS department_name, p.id AS person_id, p.name AS person_name \
             FROM posts o JOIN departments d ON d.id = o.department_id \
             LEFT JOIN post_holders h ON h.post_id = o.id LEFT JOIN people p ON p.id = h.person_id AND p.active = 1 \
             WHERE o.deleted_at IS NULL AND d.deleted_at IS NULL ORDER BY d.name, o.title, o.id, p.name",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut posts: Vec<Post> = Vec::new();
        for row in &rows {
            let id = row.parsed("id")?;
            if posts.last().is_none_or(|p| p.id != id) {
                posts.push(Post {
                    id,
                    department: row.parsed("department_id")?,
                    department_name: row.text("department_name")?,
                    title: row.text("title")?,
                    roles: row.json("roles")?,
                    holders: Vec::new(),
                });
            }
            if let (Some(person), Some(post)) = (row.opt_parsed("person_id")?, posts.last_mut()) {
                post.holders.push(Holder { id: person, name: row.text("person_name")? });
            }
        }
        Ok(posts)
    }

    /// All people with their posts, by name. For the admin.
    pub async fn people(&self, scope: &Scope) -> Result<Vec<Person>> {
        require_admin(scope)?;
        let mut posts = self.posts_by_person().await?;
        let rows = sqlx::query(
            "SELECT p.id, p.login, p.name, p.active, p.locked_until, \
             (SELECT MAX(s.last_seen) FROM sessions s WHERE s.person_id = p.id) AS last_seen FROM people p ORDER BY p.name, p.login",
        )
        .fetch_all(&self.pool)
        .await?;
        let now = self.now();
        rows.iter()
            .map(|r| {
                let id = r.parsed("id")?;
                Ok(Person {
                    id,
                    login: r.text("login")?,
                    name: r.text("name")?,
                    active: r.flag("active")?,
                    locked_until: r.opt_int("locked_until")?.filter(|until| *until > now),
                    last_seen: r.opt_int("last_seen")?,
                    posts: posts.remove(&id).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Posts of everybody, in one query.
    pub(crate) async fn posts_by_person(&self) -> Result<HashMap<PersonId, Vec<HeldPost>>> {
        let rows = sqlx::query(
            "SELECT h.person_id, o.id, o.title, o.roles, d.id AS department_id, d.name AS department_name FROM post_holders h \
             JOIN posts o ON o.id = h.post_id JOIN departments d ON d.id = o.department_id \
             WHERE o.deleted_at IS NULL AND d.deleted_at IS NULL ORDER BY h.since, o.title",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all: HashMap<PersonId, Vec<HeldPost>> = HashMap::new();
        for row in &rows {
            all.entry(row.parsed("person_id")?).or_default().push(HeldPost::from_row(row)?);
        }
        Ok(all)
    }

    /// Are there any accounts yet?
    pub async fn has_people(&self) -> Result<bool> {
        Ok(sqlx::query("SELECT id FROM people LIMIT 1").fetch_optional(&self.pool).await?.is_some())
    }

    /// Creates the first admin with a department and post of their own; refused once anybody exists.
    pub async fn create_first_admin(&self, department: &str, post: &str, person: NewPerson) -> Result<PersonId> {
        let mut tx = self.write().await?;
        if sqlx::query("SELECT id FROM people LIMIT 1").fetch_optional(&mut *tx.tx).await?.is_some() {
            return Err(StoreError::conflict("이미 설정이 끝났습니다. 로그인해 주세요."));
        }
        let department = tx.insert_department(department, None).await?;
        let post = tx.insert_post(department, post, &[Role::Official, Role::Admin]).await?;
        let id = tx.insert_person(&NewPerson { posts: vec![post], ..person }).await?;
        tx.set_meta("setup_secret", None).await?;
        tx.append(Event::new("first_admin_created", Some(id), json!({}))).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Creates a person from the command line, where holding the machine is the authority.
    pub async fn create_person_locally(&self, person: NewPerson) -> Result<PersonId> {
        let mut tx = self.write().await?;
        let id = tx.insert_person(&person).await?;
        tx.append(Event::new("person_created", None, json!({ "person": id, "by": "command line" }))).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Creates a department and a post from the command line or the demo.
    pub async fn create_department_locally(&self, name: &str, parent: Option<DepartmentId>) -> Result<DepartmentId> {
        let mut tx = self.write().await?;
        let id = tx.insert_department(name, parent).await?;
        tx.append(Event::new("department_created", None, json!({ "department": id, "by": "command line" }))).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Creates a post from the command line or the demo.
    pub async fn create_post_locally(&self, department: DepartmentId, title: &str, roles: &[Role]) -> Result<PostId> {
        let mut tx = self.write().await?;
        let id = tx.insert_post(department, title, roles).await?;
        let detail = json!({ "post": id, "roles": roles, "by": "command line" });
        tx.append(Event::new("post_created", None, detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub async fn create_department(
        &self,
        scope: &Scope,
        name: &str,
        parent: Option<DepartmentId>,
    ) -> Result<DepartmentId> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let id = tx.insert_department(name, parent).await?;
        let detail = json!({ "department": id, "name": name.trim(), "parent": parent });
        tx.append(Event::new("department_created", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub async fn rename_department(&self, scope: &Scope, id: DepartmentId, name: &str) -> Result<()> {
        require_admin(scope)?;
        let name = checked_name("name", name, "부서 이름")?;
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE departments SET name = $1 WHERE id = $2 AND deleted_at IS NULL")
            .bind(&name)
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await
            .map_err(|e| duplicate(e, "같은 이름의 부서가 이미 있습니다."))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let detail = json!({ "department": id, "name": name });
        tx.append(Event::new("department_renamed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// What a department owns, before it is deleted.
    pub async fn department_holdings(&self, scope: &Scope, id: DepartmentId) -> Result<Holdings> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        tx.holdings(id).await
    }

    /// Deletes a department. Its apps, collections, drafts and waiting submissions go to `heir`, by default the
    /// department above; people must have been moved and sub-departments deleted before.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] says what stands in the way.
    pub async fn delete_department(&self, scope: &Scope, id: DepartmentId, heir: Option<DepartmentId>) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let parent = tx.live_department(id).await?;
        let holdings = tx.holdings(id).await?;
        if holdings.children > 0 {
            return Err(StoreError::conflict(format!(
                "하위 부서가 {}개 있습니다. 먼저 옮기거나 삭제해 주세요.",
                holdings.children
            )));
        }
        if holdings.posts_held > 0 {
            return Err(StoreError::conflict(format!(
                "이 부서의 직위에 {}명이 있습니다. 먼저 다른 직위로 옮겨 주세요.",
                holdings.posts_held
            )));
        }
        if holdings.apps + holdings.collections + holdings.waiting > 0 {
            let Some(heir) = heir.or(parent).filter(|h| *h != id) else {
                return Err(StoreError::conflict(format!(
                    "이 부서가 앱 {}개, 자료 모음 {}개를 갖고 있습니다. 넘겨받을 부서를 골라 주세요.",
                    holdings.apps, holdings.collections
                )));
            };
            tx.live_department(heir).await?;
            tx.hand_over(id, heir).await?;
        }
        let now = tx.now;
        sqlx::query("UPDATE posts SET deleted_at = $1 WHERE department_id = $2 AND deleted_at IS NULL")
            .bind(now)
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        sqlx::query("DELETE FROM collection_readers WHERE department_id = $1")
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        sqlx::query("UPDATE departments SET deleted_at = $1 WHERE id = $2")
            .bind(now)
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "department": id, "heir": heir, "holdings": holdings });
        tx.append(Event::new("department_deleted", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    pub async fn create_post(
        &self,
        scope: &Scope,
        department: DepartmentId,
        title: &str,
        roles: &[Role],
    ) -> Result<PostId> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let id = tx.insert_post(department, title, roles).await?;
        let detail = json!({ "post": id, "department": department, "title": title.trim(), "roles": roles });
        tx.append(Event::new("post_created", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Changes a post's title and roles; the admin cannot take the last admin role away.
    pub async fn update_post(&self, scope: &Scope, id: PostId, title: &str, roles: &[Role]) -> Result<()> {
        require_admin(scope)?;
        let title = checked_name("title", title, "직위 이름")?;
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE posts SET title = $1, roles = $2 WHERE id = $3 AND deleted_at IS NULL")
            .bind(&title)
            .bind(to_json(&roles))
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.require_an_admin().await?;
        let detail = json!({ "post": id, "title": title, "roles": roles });
        tx.append(Event::new("post_changed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Deletes an empty post.
    pub async fn delete_post(&self, scope: &Scope, id: PostId) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let held = sqlx::query("SELECT COUNT(*) AS n FROM post_holders WHERE post_id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx.tx)
            .await?
            .int("n")?;
        if held > 0 {
            return Err(StoreError::conflict("이 직위에 사람이 있습니다. 먼저 다른 직위로 옮겨 주세요."));
        }
        let done = sqlx::query("UPDATE posts SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL")
            .bind(tx.now)
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.append(Event::new("post_deleted", Some(scope.person()), json!({ "post": id }))).await?;
        tx.commit().await
    }

    pub async fn create_person(&self, scope: &Scope, person: NewPerson) -> Result<PersonId> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let id = tx.insert_person(&person).await?;
        let detail = json!({ "person": id, "login": person.login, "posts": person.posts });
        tx.append(Event::new("person_created", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A personnel move: leaves post `from` (all posts when `None`) and takes post `to`. What the old department
    /// owns stays with it; rights follow at the next request.
    pub async fn move_person(
        &self,
        scope: &Scope,
        person: PersonId,
        from: Option<PostId>,
        to: Option<PostId>,
    ) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let left = sqlx::query("DELETE FROM post_holders WHERE person_id = $1 AND ($2 IS NULL OR post_id = $2)")
            .bind(person.to_string())
            .bind(from.map(|p| p.to_string()))
            .execute(&mut *tx.tx)
            .await?;
        if from.is_some() && left.rows_affected() == 0 {
            return Err(StoreError::invalid("from", "그 직위를 맡고 있지 않습니다."));
        }
        if let Some(to) = to {
            tx.hold(to, person).await?;
        }
        tx.require_an_admin().await?;
        let detail = json!({ "person": person, "from": from, "to": to });
        tx.append(Event::new("person_moved", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Suspends or restores an account; a suspended person's sessions and tokens end at once.
    pub async fn set_person_active(&self, scope: &Scope, person: PersonId, active: bool) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        let done = sqlx::query("UPDATE people SET active = $1, failures = 0, locked_until = NULL WHERE id = $2")
            .bind(i64::from(active))
            .bind(person.to_string())
            .execute(&mut *tx.tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        if !active {
            tx.revoke_sessions(person).await?;
            sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE person_id = $2 AND revoked_at IS NULL")
                .bind(tx.now)
                .bind(person.to_string())
                .execute(&mut *tx.tx)
                .await?;
        }
        tx.require_an_admin().await?;
        let action = if active { "person_restored" } else { "person_suspended" };
        tx.append(Event::new(action, Some(scope.person()), json!({ "person": person }))).await?;
        tx.commit().await
    }

    /// Sets another person's password and ends their sessions.
    pub async fn reset_password(&self, scope: &Scope, person: PersonId, password_hash: &str) -> Result<()> {
        require_admin(scope)?;
        let mut tx = self.write().await?;
        if sqlx::query("SELECT id FROM people WHERE id = $1")
            .bind(person.to_string())
            .fetch_optional(&mut *tx.tx)
            .await?
            .is_none()
        {
            return Err(StoreError::NotFound);
        }
        tx.set_password(person, password_hash).await?;
        tx.append(Event::new("password_reset", Some(scope.person()), json!({ "person": person }))).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// The department above; the department itself must exist.
    async fn live_department(&mut self, id: DepartmentId) -> Result<Option<DepartmentId>> {
        sqlx::query("SELECT parent_id FROM departments WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.to_string())
            .fetch_optional(&mut *self.tx)
            .await?
            .ok_or(StoreError::NotFound)?
            .opt_parsed("parent_id")
    }

    async fn insert_department(&mut self, name: &str, parent: Option<DepartmentId>) -> Result<DepartmentId> {
        let name = checked_name("name", name, "부서 이름")?;
        if let Some(parent) = parent {
            self.live_department(parent).await?;
        }
        let id = DepartmentId::new();
        sqlx::query("INSERT INTO departments (id, parent_id, name, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id.to_string())
            .bind(parent.map(|p| p.to_string()))
            .bind(name)
            .bind(self.now)
            .execute(&mut *self.tx)
            .await
            .map_err(|e| duplicate(e, "같은 이름의 부서가 이미 있습니다."))?;
        Ok(id)
    }

    async fn insert_post(&mut self, department: DepartmentId, title: &str, roles: &[Role]) -> Result<PostId> {
        let title = checked_name("title", title, "직위 이름")?;
        self.live_department(department).await?;
        let mut roles = roles.to_vec();
        roles.sort();
        roles.dedup();
        if roles.is_empty() {
            roles.push(Role::Official);
        }
        let id = PostId::new();
        sqlx::query("INSERT INTO posts (id, department_id, title, roles, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(id.to_string())
            .bind(department.to_string())
            .bind(title)
            .bind(to_json(&roles))
            .bind(self.now)
            .execute(&mut *self.tx)
            .await?;
        Ok(id)
    }

    async fn insert_person(&mut self, person: &NewPerson) -> Result<PersonId> {
        let login = person.login.trim();
        let sound = (2..=40).contains(&login.len())
            && login.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
        if !sound {
            return Err(StoreError::invalid(
                "login",
                "아이디는 영문 소문자, 숫자, . - _ 로 2~40자까지 쓸 수 있습니다.",
            ));
        }
        let name = checked_name("name", &person.name, "이름")?;
        let id = PersonId::new();
        sqlx::query(
            "INSERT INTO people (id, login, name, password_hash, active, failures, created_at) VALUES ($1, $2, $3, $4, 1, 0, $5)",
        )
        .bind(id.to_string())
        .bind(login)
        .bind(name)
        .bind(&person.password_hash)
        .bind(self.now)
        .execute(&mut *self.tx)
        .await
        .map_err(|e| duplicate(e, "이미 쓰고 있는 아이디입니다."))?;
        for post in &person.posts {
            self.hold(*post, id).await?;
        }
        Ok(id)
    }

    async fn hold(&mut self, post: PostId, person: PersonId) -> Result<()> {
        let open = sqlx::query("SELECT id FROM posts WHERE id = $1 AND deleted_at IS NULL")
            .bind(post.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        let known = sqlx::query("SELECT id FROM people WHERE id = $1")
            .bind(person.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        if open.is_none() || known.is_none() {
            return Err(StoreError::NotFound);
        }
        sqlx::query("INSERT INTO post_holders (post_id, person_id, since) VALUES ($1, $2, $3) ON CONFLICT (post_id, person_id) DO NOTHING")
            .bind(post.to_string())
            .bind(person.to_string())
            .bind(self.now)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Somebody must be able to undo what was just done.
    async fn require_an_admin(&mut self) -> Result<()> {
        let admin = sqlx::query(
            "SELECT p.id FROM people p JOIN post_holders h ON h.person_id = p.id \
             JOIN posts o ON o.id = h.post_id AND o.deleted_at IS NULL \
             WHERE p.active = 1 AND o.roles LIKE '%\"admin\"%' LIMIT 1",
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        match admin {
            Some(_) => Ok(()),
            None => Err(StoreError::conflict("운영자가 한 명도 남지 않게 됩니다. 다른 운영자를 먼저 정해 주세요.")),
        }
    }

    async fn holdings(&mut self, id: DepartmentId) -> Result<Holdings> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM apps WHERE owner_department = $1 AND deleted_at IS NULL) AS apps, \
             (SELECT COUNT(*) FROM collections WHERE owner_department = $1 AND deleted_at IS NULL) AS collections, \
             (SELECT COUNT(*) FROM post_holders h JOIN posts o ON o.id = h.post_id WHERE o.department_id = $1) AS posts_held, \
             (SELECT COUNT(*) FROM departments WHERE parent_id = $1 AND deleted_at IS NULL) AS children, \
             (SELECT COUNT(*) FROM submissions WHERE department_id = $1 AND state = 'waiting') AS waiting",
        )
        .bind(id.to_string())
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(Holdings {
            apps: row.int("apps")?,
            collections: row.int("collections")?,
            posts_held: row.int("posts_held")?,
            children: row.int("children")?,
            waiting: row.int("waiting")?,
        })
    }

    async fn hand_over(&mut self, from: DepartmentId, to: DepartmentId) -> Result<()> {
        for statement in [
            "UPDATE apps SET owner_department = $2, owner_post = NULL WHERE owner_department = $1",
            "UPDATE collections SET owner_department = $2 WHERE owner_department = $1",
            "UPDATE drafts SET owner_department = $2 WHERE owner_department = $1",
            "UPDATE submissions SET department_id = $2 WHERE department_id = $1 AND state = 'waiting'",
        ] {
            sqlx::query(statement).bind(from.to_string()).bind(to.to_string()).execute(&mut *self.tx).await?;
        }
        Ok(())
    }
}

/// A name people read: trimmed, 1 to 60 characters.
pub(crate) fn checked_name(field: &str, name: &str, what: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Err(StoreError::invalid(field, format!("{what}을(를) 1~60자로 적어 주세요.")));
    }
    Ok(name.to_owned())
}

/// Turns a unique violation into a sentence; other failures stay what they are.
pub(crate) fn duplicate(error: sqlx::Error, message: &str) -> StoreError {
    let error = StoreError::from(error);
    if error.is_duplicate() { StoreError::conflict(message) } else { error }
}

//! Departments, posts and people: reading is for all, changing for the admin.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::{Admin, Reader};
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::{DepartmentId, PostId, Role};
use madang_store::auth::parse_id;
use madang_store::people::{Department, NewPerson, Person, Post};
use serde::Deserialize;
use std::str::FromStr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(departments, create_department))
        .routes(routes!(rename_department, delete_department))
        .routes(routes!(posts, create_post))
        .routes(routes!(update_post, delete_post))
        .routes(routes!(people, create_person))
        .routes(routes!(activate))
        .routes(routes!(deactivate))
        .routes(routes!(move_person))
        .routes(routes!(reset_password))
}

/// All departments.
#[utoipa::path(get, path = "/api/v1/departments", tag = "directory", responses((status = 200, body = Vec<Object>)))]
async fn departments(State(app): State<App>, _: Reader) -> Handled<Json<Vec<Department>>> {
    Ok(Json(app.store.departments().await?))
}

#[derive(Deserialize, ToSchema)]
struct NewDepartment {
    name: String,
    /// Department above; absent for the top.
    parent: Option<String>,
}

/// Creates a department.
#[utoipa::path(post, path = "/api/v1/departments", tag = "directory", request_body = NewDepartment, responses((status = 201, body = Created), (status = 409), (status = 422)))]
async fn create_department(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<NewDepartment>,
) -> Handled<(StatusCode, Json<Created>)> {
    let parent = optional_id(body.parent.as_deref(), "parent")?;
    let id = app.store.create_department(reader.scope(), &body.name, parent).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

#[derive(Deserialize, ToSchema)]
struct Rename {
    name: String,
}

/// Renames a department.
#[utoipa::path(patch, path = "/api/v1/departments/{id}", tag = "directory", params(("id" = String, Path)), request_body = Rename, responses((status = 204), (status = 404), (status = 409)))]
async fn rename_department(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<Rename>,
) -> Handled<StatusCode> {
    app.store.rename_department(reader.scope(), parse_id(&id)?, &body.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Heir {
    /// Department that takes over apps and collections; absent: the department above.
    heir: Option<String>,
}

/// Deletes a department; what it owns goes to its heir.
#[utoipa::path(delete, path = "/api/v1/departments/{id}", tag = "directory", params(("id" = String, Path)), request_body = Heir, responses((status = 204), (status = 404), (status = 409, description = "people, sub-departments or holdings without an heir")))]
async fn delete_department(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<Heir>,
) -> Handled<StatusCode> {
    let heir = optional_id::<DepartmentId>(body.heir.as_deref(), "heir")?;
    app.store.delete_department(reader.scope(), parse_id(&id)?, heir).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All posts with their holders.
#[utoipa::path(get, path = "/api/v1/posts", tag = "directory", responses((status = 200, body = Vec<Object>)))]
async fn posts(State(app): State<App>, _: Reader) -> Handled<Json<Vec<Post>>> {
    Ok(Json(app.store.posts().await?))
}

#[derive(Deserialize, ToSchema)]
struct NewPost {
    department: String,
    title: String,
    /// `official`, `manager`, `security`, `admin`.
    roles: Vec<String>,
}

/// Creates a post.
#[utoipa::path(post, path = "/api/v1/posts", tag = "directory", request_body = NewPost, responses((status = 201, body = Created), (status = 404), (status = 422)))]
async fn create_post(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<NewPost>,
) -> Handled<(StatusCode, Json<Created>)> {
    let roles = roles(&body.roles)?;
    let id = app.store.create_post(reader.scope(), parse_id(&body.department)?, &body.title, &roles).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

#[derive(Deserialize, ToSchema)]
struct ChangedPost {
    title: String,
    roles: Vec<String>,
}

/// Changes a post's title and roles.
#[utoipa::path(patch, path = "/api/v1/posts/{id}", tag = "directory", params(("id" = String, Path)), request_body = ChangedPost, responses((status = 204), (status = 404), (status = 422)))]
async fn update_post(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<ChangedPost>,
) -> Handled<StatusCode> {
    app.store.update_post(reader.scope(), parse_id(&id)?, &body.title, &roles(&body.roles)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an empty post.
#[utoipa::path(delete, path = "/api/v1/posts/{id}", tag = "directory", params(("id" = String, Path)), responses((status = 204), (status = 404), (status = 409)))]
async fn delete_post(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.delete_post(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All people, for the admin.
#[utoipa::path(get, path = "/api/v1/people", tag = "directory", responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn people(State(app): State<App>, Admin(reader): Admin) -> Handled<Json<Vec<Person>>> {
    Ok(Json(app.store.people(reader.scope()).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewAccount {
    login: String,
    name: String,
    password: String,
    /// Posts to hold.
    #[serde(default)]
    posts: Vec<String>,
}

/// Creates a person.
#[utoipa::path(post, path = "/api/v1/people", tag = "directory", request_body = NewAccount, responses((status = 201, body = Created), (status = 409), (status = 422)))]
async fn create_person(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<NewAccount>,
) -> Handled<(StatusCode, Json<Created>)> {
    let posts = body.posts.iter().filter(|p| !p.is_empty()).map(|p| parse_id(p)).collect::<Result<Vec<PostId>, _>>()?;
    let password_hash = app.passwords.hash(&body.password).await?;
    let person = NewPerson { login: body.login.trim().to_lowercase(), name: body.name, password_hash, posts };
    let id = app.store.create_person(reader.scope(), person).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

/// Restores a person's account and ends a lock.
#[utoipa::path(post, path = "/api/v1/people/{id}/activate", tag = "directory", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn activate(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.set_person_active(reader.scope(), parse_id(&id)?, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Suspends a person: sessions and tokens end at once.
#[utoipa::path(post, path = "/api/v1/people/{id}/deactivate", tag = "directory", params(("id" = String, Path)), responses((status = 204), (status = 404), (status = 409)))]
async fn deactivate(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.set_person_active(reader.scope(), parse_id(&id)?, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Move {
    /// Post to leave; absent: all posts.
    from: Option<String>,
    /// Post to take; absent: none.
    to: Option<String>,
}

/// Moves a person to another post; rights follow at their next request.
#[utoipa::path(post, path = "/api/v1/people/{id}/move", tag = "directory", params(("id" = String, Path)), request_body = Move, responses((status = 204), (status = 404), (status = 422)))]
async fn move_person(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<Move>,
) -> Handled<StatusCode> {
    let from = optional_id(body.from.as_deref(), "from")?;
    let to = optional_id(body.to.as_deref(), "to")?;
    app.store.move_person(reader.scope(), parse_id(&id)?, from, to).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct NewPassword {
    password: String,
}

/// Sets a person's password and signs them out everywhere.
#[utoipa::path(put, path = "/api/v1/people/{id}/password", tag = "directory", params(("id" = String, Path)), request_body = NewPassword, responses((status = 204), (status = 404), (status = 422)))]
async fn reset_password(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<NewPassword>,
) -> Handled<StatusCode> {
    let hash = app.passwords.hash(&body.password).await?;
    app.store.reset_password(reader.scope(), parse_id(&id)?, &hash).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An id that may be absent or empty.
fn optional_id<T: FromStr>(text: Option<&str>, field: &str) -> Handled<Option<T>> {
    match text.filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(t) => t.parse().map(Some).map_err(|_| Failure::invalid(field, "목록에서 골라 주세요.")),
    }
}

fn roles(names: &[String]) -> Handled<Vec<Role>> {
    names.iter().map(|n| n.parse().map_err(|_| Failure::invalid("roles", "알 수 없는 역할입니다."))).collect()
}

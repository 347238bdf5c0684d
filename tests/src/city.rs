//! A small city over the API: an admin, two departments with an official and a manager each, a security officer.

use crate::{Client, Madang};
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;

/// Password of everybody here.
pub const PASSWORD: &str = "봄날의-마당-2026";

/// Somebody signed in.
pub struct Member {
    pub id: String,
    pub login: String,
    pub post: String,
    pub client: Client,
}

/// The city: `ict` builds and shares, `civil` uses.
pub struct City {
    pub admin: Member,
    pub ict: String,
    pub civil: String,
    pub ict_official: Member,
    pub ict_manager: Member,
    pub civil_official: Member,
    pub civil_manager: Member,
    pub security: Member,
}

impl City {
    /// Sets the server up and creates everybody.
    pub async fn build(server: &Madang) -> anyhow::Result<Self> {
        let setup = server.setup.as_deref().context("the server is not fresh")?;
        Self::build_at(&server.base, setup).await
    }

    /// The same for a server that is known by its address and set-up secret.
    pub async fn build_at(base: &str, setup: &str) -> anyhow::Result<Self> {
        let mut client = Client::new(base)?;
        let body = json!({ "token": setup, "body_name": "시험시", "department": "운영과", "post": "운영 주무관",
            "login": "admin", "name": "운영자", "password": PASSWORD });
        let answer = client.post("/api/v1/setup", body).await?;
        ensure!(answer.status().is_success(), "set-up: {}", answer.text().await?);
        client.take_cookie(&answer)?;
        client.read_csrf().await?;
        let me = client.json("/api/v1/me").await?;
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let admin = Member { id: text(&me["id"]), login: "admin".into(), post: text(&me["posts"][0]["post"]), client };
        let department = async |name: &str| -> anyhow::Result<String> {
            let made = admin.client.ok(Method::POST, "/api/v1/departments", json!({ "name": name })).await?;
            Ok(made["id"].as_str().context("no id")?.to_owned())
        };
        let ict = department("정보통신과").await?;
        let civil = department("민원여권과").await?;
        let safety = department("안전총괄과").await?;
        Ok(Self {
            ict_official: member(&admin, base, &ict, "jihun", "주무관", "official").await?,
            ict_manager: member(&admin, base, &ict, "taeho", "과장", "manager").await?,
            civil_official: member(&admin, base, &civil, "daeun", "주무관", "official").await?,
            civil_manager: member(&admin, base, &civil, "jeonga", "과장", "manager").await?,
            security: member(&admin, base, &safety, "sujin", "보안담당", "security").await?,
            admin,
            ict,
            civil,
        })
    }

    /// One more security officer.
    pub async fn officer(&self, base: &str, login: &str) -> anyhow::Result<Member> {
        member(&self.admin, base, &self.ict, login, &format!("보안담당 {login}"), "security").await
    }

    /// A collection of the ICT department made by its official, open to everyone or to its own department.
    pub async fn collection(&self, name: &str, grade: &str, everyone: bool) -> anyhow::Result<String> {
        let by = &self.ict_official.client;
        let body = json!({ "name": name, "description": "", "grade": grade, "department": self.ict });
        let made = by.ok(Method::POST, "/api/v1/collections", body).await?;
        let id = made["id"].as_str().context("no id")?.to_owned();
        if everyone {
            let path = format!("/api/v1/collections/{id}/readers");
            by.ok(Method::PUT, &path, json!({ "everyone": true, "departments": [] })).await?;
        }
        Ok(id)
    }
}

async fn member(
    admin: &Member,
    base: &str,
    department: &str,
    login: &str,
    title: &str,
    role: &str,
) -> anyhow::Result<Member> {
    let body = json!({ "department": department, "title": title, "roles": [role] });
    let post = admin.client.ok(Method::POST, "/api/v1/posts", body).await?["id"].as_str().context("no id")?.to_owned();
    let body = json!({ "login": login, "name": login, "password": PASSWORD, "posts": [post] });
    let id = admin.client.ok(Method::POST, "/api/v1/people", body).await?["id"].as_str().context("no id")?.to_owned();
    let mut client = Client::new(base)?;
    client.sign_in(login, PASSWORD).await?;
    Ok(Member { id, login: login.to_owned(), post, client })
}

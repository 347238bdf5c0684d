//! Ratings of apps: stars and a comment, one per person, by people who used the app and did not make it.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::sharing::checked_text;
use crate::{Result, Store, StoreError};
use madang_domain::{AppId, Scope};
use serde::Serialize;
use serde_json::json;

/// One person's rating, as everybody reads it.
#[derive(Debug, Clone, Serialize)]
pub struct Rating {
    /// 1 to 5.
    pub stars: u8,
    pub comment: String,
    pub name: String,
    /// Where the person works now; empty without a post.
    pub department: String,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// The reader's own.
    pub mine: bool,
}

/// Sum and number of the stars of an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stars {
    pub sum: i64,
    pub count: i64,
}

impl Stars {
    /// Mean with one decimal, halves up: "4.6"; `None` before the first rating.
    pub fn mean(self) -> Option<String> {
        if self.count <= 0 {
            return None;
        }
        let tenths = (self.sum * 20 + self.count) / (self.count * 2);
        Some(format!("{}.{}", tenths / 10, tenths % 10))
    }

    /// For sorting: the mean drawn towards 3 by five imagined ratings, so that a single 5 is not the best of all.
    pub fn weight(self) -> f64 {
        (self.sum as f64 + 15.0) / (self.count as f64 + 5.0)
    }
}

impl Store {
    /// Ratings of an app that the reader may see, latest first.
    pub async fn ratings(&self, scope: &Scope, app: AppId) -> Result<Vec<Rating>> {
        self.app(scope, app).await?;
        let rows = sqlx::query(
            "SELECT r.stars, r.comment, r.updated_at, r.person_id, p.name, \
             (SELECT MIN(d.name) FROM post_holders h JOIN posts o ON o.id = h.post_id AND o.deleted_at IS NULL \
              JOIN departments d ON d.id = o.department_id WHERE h.person_id = r.person_id) AS department \
             FROM ratings r JOIN people p ON p.id = r.person_id WHERE r.app_id = $1 ORDER BY r.updated_at DESC LIMIT 200",
        )
        .bind(app.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(Rating {
                    stars: u8::try_from(r.int("stars")?).map_err(|_| StoreError::Corrupt("stars"))?,
                    comment: r.text("comment")?,
                    name: r.text("name")?,
                    department: r.opt_text("department")?.unwrap_or_default(),
                    updated_at: r.int("updated_at")?,
                    mine: r.text("person_id")? == scope.person().to_string(),
                })
            })
            .collect()
    }

    /// May the reader rate the app: did they run it, and not make it?
    pub async fn may_rate(&self, scope: &Scope, app: AppId) -> Result<bool> {
        Ok(self.rating_hindrance(scope, app).await?.is_none())
    }

    /// Sets the reader's rating; a second one takes the place of the first.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for its author and for people who have not used it.
    pub async fn rate(&self, scope: &Scope, app: AppId, stars: u8, comment: &str) -> Result<()> {
        if !(1..=5).contains(&stars) {
            return Err(StoreError::invalid("stars", "별점을 1에서 5 사이로 골라 주세요."));
        }
        let comment = checked_text("comment", comment)?;
        if let Some(hindrance) = self.rating_hindrance(scope, app).await? {
            return Err(StoreError::denied(hindrance));
        }
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO ratings (app_id, person_id, stars, comment, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (app_id, person_id) DO UPDATE SET stars = excluded.stars, comment = excluded.comment, \
             updated_at = excluded.updated_at",
        )
        .bind(app.to_string())
        .bind(scope.person().to_string())
        .bind(i64::from(stars))
        .bind(comment)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        tx.append(Event::new("app_rated", Some(scope.person()), json!({ "app": app, "stars": stars }))).await?;
        tx.commit().await
    }

    async fn rating_hindrance(&self, scope: &Scope, app: AppId) -> Result<Option<&'static str>> {
        self.app(scope, app).await?;
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM apps a WHERE a.id = $1 AND a.created_by = $2) \
             + (SELECT COUNT(*) FROM app_versions v WHERE v.app_id = $1 AND v.created_by = $2) AS made, \
             (SELECT COUNT(*) FROM runs r WHERE r.app_id = $1 AND r.person_id = $2 AND r.version_id IS NOT NULL \
              AND r.state IN ('done', 'stopped')) AS used",
        )
        .bind(app.to_string())
        .bind(scope.person().to_string())
        .fetch_one(&self.pool)
        .await?;
        Ok(if row.int("made")? > 0 {
            Some("스스로 만든 앱에는 별점을 줄 수 없습니다.")
        } else if row.int("used")? == 0 {
            Some("한 번 써 본 뒤에 별점을 줄 수 있습니다.")
        } else {
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_has_one_decimal() {
        let mean = |sum, count| Stars { sum, count }.mean();
        assert_eq!(mean(0, 0), None);
        assert_eq!(mean(5, 1).as_deref(), Some("5.0"));
        assert_eq!(mean(14, 3).as_deref(), Some("4.7"));
        assert_eq!(mean(9, 2).as_deref(), Some("4.5"));
        assert_eq!(mean(13, 4).as_deref(), Some("3.3"), "3.25 goes up");
    }

    #[test]
    fn one_five_is_not_better_than_ten_fours_and_fives() {
        assert!(Stars { sum: 46, count: 10 }.weight() > Stars { sum: 5, count: 1 }.weight());
    }
}

//! The policy's page: what is in force in sentences, what is proposed, an editor, revisions and what changed between two
//! of them. And the part of the desk that shows proposals and absences.

use super::{page, when};
use crate::api::policy::PROPOSALS;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::frame::{Page, frame, render};
use crate::policies::read_stored;
use crate::views::policy::{
    AbsenceLine, ChangeRow, Compared, DeskOfficers, EndedProposal, LineGroup, PolicyLine, PolicyPage, ProposalCard,
    ProposalLine, RevisionRow,
};
use crate::views::{Choice, Lang};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{Role, Scope};
use madang_policy::diff::{Change, Direction, diff};
use madang_policy::{Line, LineKind};
use madang_store::policies::{PolicyRevision, StoredPolicy};
use madang_store::policy_proposals::{PolicyProposal, ProposalState};
use serde::Deserialize;

/// Revisions listed.
const REVISIONS: i64 = 200;
/// Ended proposals listed.
const ENDED: usize = 10;
/// First letters of a hash.
const HASH_SHOWN: usize = 12;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/review/policy", policy)]
}

#[derive(Deserialize)]
struct Comparing {
    /// Two revisions.
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

async fn policy(State(app): State<App>, reader: Reader, uri: Uri, Query(comparing): Query<Comparing>) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let revisions = app.store.policy_revisions(scope, None, REVISIONS).await?;
    let newest = revisions.first().ok_or_else(Failure::not_found)?.revision;
    let stored = app.store.policy_revision(scope, newest).await?;
    let policy = read_stored(&stored)?;
    let (waiting, ended): (Vec<_>, Vec<_>) = app
        .store
        .policy_proposals(scope, PROPOSALS)
        .await?
        .into_iter()
        .partition(|p| p.state == ProposalState::Waiting);
    let now = app.store.now();
    let compared = compared(&app, scope, &comparing).await?;
    let (from, to) = compared.as_ref().map_or((newest.saturating_sub(1), newest), |c| (c.from, c.to));
    render(PolicyPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        may_edit: scope.has_role(Role::Security),
        revision: stored.revision,
        title: policy.title().to_owned(),
        note: policy.note().to_owned(),
        since: since(&stored, l),
        reason: stored.reason.clone(),
        hash: first_letters(&stored.hash),
        groups: groups(policy.preview()),
        proposals: waiting.into_iter().map(|p| card(p, now, l)).collect(),
        ended: ended.into_iter().take(ENDED).map(ended_line).collect(),
        next_text: with_revision(&stored.text, stored.revision.saturating_add(1)),
        next_revision: stored.revision.saturating_add(1),
        text: stored.text,
        compare_from: choices(&revisions, from, l),
        compare_to: choices(&revisions, to, l),
        revisions: revisions.into_iter().map(row).collect(),
        compared,
    })
}

fn since(stored: &StoredPolicy, l: Lang) -> String {
    let at = when::date_time(stored.created_at);
    match &stored.by {
        Some(by) => l.f2("{a}부터 · {b}", at, by),
        None => l.f("{}부터 · 설치할 때의 정책", at),
    }
}

fn first_letters(hash: &str) -> String {
    hash.chars().take(HASH_SHOWN).collect()
}

/// Sentences of a kind together, in the order in which people ask: what never leaves, what may, at what price, when.
fn groups(lines: Vec<Line>) -> Vec<LineGroup> {
    let headings = [
        ("바닥 원칙", &[LineKind::Floor][..]),
        ("누가 무엇을 보낼 수 있나", &[LineKind::Rule, LineKind::Rest]),
        ("사전승인", &[LineKind::Preapproval]),
        ("예산", &[LineKind::Budget]),
        ("단가", &[LineKind::Price]),
        ("시간대와 공휴일", &[LineKind::Window, LineKind::Holidays]),
    ];
    let of = |kinds: &[LineKind]| -> Vec<PolicyLine> {
        let lines = lines.iter().filter(|line| kinds.contains(&line.kind));
        lines
            .map(|line| PolicyLine { id: line.id.clone(), title: line.title.clone(), sentence: line.sentence.clone() })
            .collect()
    };
    let groups = headings.into_iter().map(|(heading, kinds)| LineGroup {
        heading,
        is_floor: kinds.contains(&LineKind::Floor),
        lines: of(kinds),
    });
    groups.filter(|g| !g.lines.is_empty()).collect()
}

/// The text with its `revision = …` line counted up; as it is where that line is written otherwise.
fn with_revision(text: &str, revision: u32) -> String {
    let is_revision = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == "revision");
    let mut done = false;
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| {
            if done || !is_revision(line) {
                return line.to_owned();
            }
            done = true;
            format!("revision = {revision}")
        })
        .collect();
    lines.join("\n")
}

fn card(p: PolicyProposal, now: i64, l: Lang) -> ProposalCard {
    ProposalCard {
        id: p.id,
        revision: p.revision,
        by: p.by,
        when: when::ago(p.created_at, now, l),
        reason: p.reason,
        changes: p.changes,
        text: p.text,
        own: p.own,
        may_decide: p.may_decide,
    }
}

fn ended_line(p: PolicyProposal) -> EndedProposal {
    let mut decided =
        vec![p.decided_by.unwrap_or_default(), p.decided_at.map(when::date_time).unwrap_or_default(), p.decided_reason];
    decided.retain(|words| !words.is_empty());
    EndedProposal {
        revision: p.revision,
        reason: p.reason,
        by: p.by,
        state: p.state.korean(),
        decided: decided.join(" · "),
    }
}

fn row(r: PolicyRevision) -> RevisionRow {
    RevisionRow {
        revision: r.revision,
        when: when::date_time(r.created_at),
        by: r.by.unwrap_or_default(),
        confirmed_by: r.confirmed_by,
        reason: r.reason,
        hash: first_letters(&r.hash),
    }
}

fn choices(revisions: &[PolicyRevision], chosen: u32, l: Lang) -> Vec<Choice> {
    let choice = |r: &PolicyRevision| Choice {
        value: r.revision.to_string(),
        label: l.f2("{a}판 · {b}", r.revision, when::date(r.created_at)),
        selected: r.revision == chosen,
    };
    revisions.iter().map(choice).collect()
}

/// `None` where the address names no two revisions.
async fn compared(app: &App, scope: &Scope, comparing: &Comparing) -> Handled<Option<Compared>> {
    let (Ok(from), Ok(to)) = (comparing.from.parse(), comparing.to.parse()) else { return Ok(None) };
    let before = read_stored(&app.store.policy_revision(scope, from).await?)?;
    let after = read_stored(&app.store.policy_revision(scope, to).await?)?;
    let changes = diff(&before, &after).into_iter().map(change_row).collect();
    Ok(Some(Compared { from, to, changes }))
}

fn change_row(change: Change) -> ChangeRow {
    let (kind, direction) = match change.direction {
        Direction::Looser => ("looser", "느슨해짐"),
        Direction::Stricter => ("stricter", "엄격해짐"),
        Direction::Other if change.may_loosen() => ("other", "느슨해질 수 있음"),
        Direction::Other => ("none", "결정과 무관"),
    };
    ChangeRow { kind, direction, sentence: change.sentence }
}

/// Proposals whose second person the reader is, and who is away, for the desk.
pub async fn desk_officers(app: &App, reader: &Reader) -> Handled<DeskOfficers> {
    let (scope, l) = (reader.scope(), reader.lang);
    if reader.session().is_none() {
        return Ok(DeskOfficers { proposals: Vec::new(), absences: Vec::new() });
    }
    let now = app.store.now();
    let waiting = match app.store.policy_proposals_waiting(scope).await? {
        0 => Vec::new(),
        _ => app.store.policy_proposals(scope, PROPOSALS).await?,
    };
    let line = |p: PolicyProposal| ProposalLine {
        id: p.id,
        changes: p.changes.len(),
        reason: p.reason,
        by: p.by,
        when: when::ago(p.created_at, now, l),
    };
    let absences = app.store.absences(scope).await?.into_iter().map(|a| AbsenceLine {
        id: a.id,
        name: a.name,
        from: when::date_time(a.from_at),
        until: when::date_time(a.until_at),
        now: a.from_at <= now,
        own: a.own,
    });
    Ok(DeskOfficers {
        proposals: waiting.into_iter().filter(|p| p.may_decide).map(line).collect(),
        absences: absences.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editor_begins_with_the_next_revision() {
        let text = "# revision = 9\nformat = 1\nrevision = 1 # 판\ntitle = \"revision = 3\"\n";
        assert_eq!(with_revision(text, 2), "# revision = 9\nformat = 1\nrevision = 2\ntitle = \"revision = 3\"\n");
        assert_eq!(with_revision("format = 1\n", 2), "format = 1\n");
    }

    #[test]
    fn every_line_of_the_template_stands_in_a_group() {
        let lines = madang_policy::Policy::template().map(|p| p.preview()).unwrap_or_default();
        let (all, floor) = (lines.len(), lines[0].sentence.clone());
        let groups = groups(lines);
        assert_eq!(groups.iter().map(|g| g.lines.len()).sum::<usize>(), all);
        assert!(groups[0].is_floor && groups[0].lines[0].sentence == floor);
    }
}

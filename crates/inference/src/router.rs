//! Which engine answers: the admin's choice between the quoting engine, a local model and servers inside the network,
//! and what happens when the chosen one is not there. A busy one is never passed over: the reader is told to wait.

use crate::engine::{EngineCard, EngineError, EngineEvent, EngineTask, Finish, TextEngine};
use crate::shape::escape_markdown;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// The admin's setting, stored as `auto`, `quoting`, `model:<name>` or `server`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EngineChoice {
    /// A server that answers, else a local model that is loaded, else the quoting engine. Who sets up a server has
    /// outgrown the model on this machine.
    #[default]
    Auto,
    Quoting,
    /// The local model of this name.
    Model(String),
    Server,
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineChoice::Auto => f.write_str("auto"),
            EngineChoice::Quoting => f.write_str("quoting"),
            EngineChoice::Model(name) => write!(f, "model:{name}"),
            EngineChoice::Server => f.write_str("server"),
        }
    }
}

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(EngineChoice::Auto),
            "quoting" => Ok(EngineChoice::Quoting),
            "server" => Ok(EngineChoice::Server),
            other => match other.strip_prefix("model:").map(str::trim) {
                Some(name) if !name.is_empty() => Ok(EngineChoice::Model(name.to_owned())),
                _ => Err(format!(
                    "엔진 설정 ‘{other}’을(를) 읽을 수 없습니다. auto, quoting, model:<이름>, server 가운데 하나를 적어 주세요."
                )),
            },
        }
    }
}

impl TryFrom<String> for EngineChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EngineChoice> for String {
    fn from(choice: EngineChoice) -> String {
        choice.to_string()
    }
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Local,
    /// On a server inside the body's network.
    Server,
}

/// An engine over a model.
#[derive(Clone)]
pub struct Candidate {
    pub place: Place,
    pub engine: Arc<dyn TextEngine>,
    /// Loaded, or with at least one server that answers.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

struct Setting {
    choice: EngineChoice,
    candidates: Vec<Candidate>,
}

/// The engine that picks an engine for each answer.
pub struct EngineRouter {
    rules: Arc<dyn TextEngine>,
    setting: RwLock<Setting>,
}

/// An engine for one answer.
struct Picked {
    engine: Arc<dyn TextEngine>,
    /// It is not the one that the setting names: what the reader is told.
    instead_of: Option<String>,
}

impl EngineRouter {
    /// `rules` is the quoting engine, which is always there.
    pub fn new(rules: Arc<dyn TextEngine>, choice: EngineChoice, candidates: Vec<Candidate>) -> Self {
        Self { rules, setting: RwLock::new(Setting { choice, candidates }) }
    }

    /// The setting in force.
    pub fn choice(&self) -> EngineChoice {
        self.setting.read().unwrap_or_else(PoisonError::into_inner).choice.clone()
    }

    /// Another setting, from the next answer on.
    pub fn choose(&self, choice: EngineChoice) {
        self.setting.write().unwrap_or_else(PoisonError::into_inner).choice = choice;
    }

    /// Other models, from the next answer on: one was loaded or let go. Gives back those before, for the caller to drop
    /// where that may take its time: with the last handle a model unloads.
    #[must_use = "dropping the last handle of a model unloads it"]
    pub fn offer(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        std::mem::replace(&mut self.setting.write().unwrap_or_else(PoisonError::into_inner).candidates, candidates)
    }

    fn pick(&self) -> Picked {
        let setting = self.setting.read().unwrap_or_else(PoisonError::into_inner);
        let ready = |fits: &dyn Fn(&Candidate) -> bool| {
            setting.candidates.iter().find(|c| fits(c) && (c.ready)()).map(|c| Arc::clone(&c.engine))
        };
        let at = |place: Place| ready(&|c: &Candidate| c.place == place);
        let (found, missing) = match &setting.choice {
            EngineChoice::Quoting => (None, None),
            EngineChoice::Auto => (at(Place::Server).or_else(|| at(Place::Local)), None),
            EngineChoice::Server => (at(Place::Server), Some("모델 서버".to_owned())),
            EngineChoice::Model(name) => {
                let named = |c: &Candidate| c.place == Place::Local && c.engine.card().name == *name;
                (ready(&named), Some(format!("모델 {name}")))
            }
        };
        match found {
            Some(engine) => Picked { engine, instead_of: None },
            None => Picked { engine: Arc::clone(&self.rules), instead_of: missing },
        }
    }

    /// The quoting engine in place of `missing`, which the answer says.
    async fn by_rules(
        &self,
        missing: &str,
        task: &EngineTask,
        out: &mpsc::Sender<EngineEvent>,
    ) -> Result<Finish, EngineError> {
        let card = self.rules.card();
        let note = format!("{}을(를) 지금 쓸 수 없어 {}이(가) 답합니다.\n\n", escape_markdown(missing), card.label);
        send(out, EngineEvent::Speaker(card)).await?;
        send(out, EngineEvent::Text(note)).await?;
        self.rules.answer(task, out).await
    }
}

async fn send(out: &mpsc::Sender<EngineEvent>, event: EngineEvent) -> Result<(), EngineError> {
    out.send(event).await.map_err(|_| EngineError::Stopped)
}

#[async_trait]
impl TextEngine for EngineRouter {
    /// The engine that would answer now; which one did, an answer says with [`EngineEvent::Speaker`].
    fn card(&self) -> EngineCard {
        self.pick().engine.card()
    }

    async fn answer(&self, task: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        let picked = self.pick();
        if let Some(missing) = &picked.instead_of {
            return self.by_rules(missing, task, out).await;
        }
        let card = picked.engine.card();
        send(out, EngineEvent::Speaker(card.clone())).await?;
        match picked.engine.answer(task, out).await {
            Err(EngineError::Unavailable(error)) => {
                tracing::warn!(engine = card.name, error, "engine unavailable, the quoting engine answers");
                self.by_rules(&card.label, task, out).await
            }
            end => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::test_support::{hear, task};
    use madang_domain::{OutputForm, TaskKind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// Says its name, or fails.
    struct Named(&'static str, fn() -> Result<Finish, EngineError>);

    #[async_trait]
    impl TextEngine for Named {
        fn card(&self) -> EngineCard {
            EngineCard { name: self.0.into(), label: format!("{} 엔진", self.0), generates: true }
        }

        async fn answer(&self, _: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
            let end = (self.1)();
            if end.is_ok() {
                send(out, EngineEvent::Text(self.0.into())).await?;
            }
            end
        }
    }

    fn well() -> Result<Finish, EngineError> {
        Ok(Finish::default())
    }

    fn candidate(place: Place, name: &'static str, ready: &Arc<AtomicBool>) -> Candidate {
        let ready = Arc::clone(ready);
        Candidate { place, engine: Arc::new(Named(name, well)), ready: Arc::new(move || ready.load(Ordering::SeqCst)) }
    }

    async fn answered(router: &EngineRouter) -> (String, Vec<String>) {
        let t = task(TaskKind::QuestionAnswering, OutputForm::Answer, &[], vec![]);
        let (heard, end) = hear(router, &t).await;
        end.unwrap();
        (heard.text, heard.speakers)
    }

    #[tokio::test]
    async fn the_setting_decides_and_a_missing_model_is_said() {
        let (up, down) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let all = vec![candidate(Place::Local, "small", &up), candidate(Place::Server, "large", &down)];
        let router = EngineRouter::new(Arc::new(Named("quoting", well)), EngineChoice::Auto, all);
        assert_eq!(answered(&router).await, ("small".into(), vec!["small".into()]));
        down.store(true, Ordering::SeqCst);
        assert_eq!((answered(&router).await.0, router.card().name), ("large".into(), "large".into()));
        for (choice, text) in [("quoting", "quoting"), ("model:small", "small"), ("server", "large")] {
            router.choose(choice.parse().unwrap());
            assert_eq!(answered(&router).await.0, text);
        }
        router.choose(EngineChoice::Model("gone".into()));
        let (text, speakers) = answered(&router).await;
        assert_eq!(
            (text.as_str(), speakers),
            ("모델 gone을(를) 지금 쓸 수 없어 quoting 엔진이(가) 답합니다.\n\nquoting", vec!["quoting".into()])
        );
        router.choose(EngineChoice::Auto);
        assert_eq!(router.offer(vec![]).len(), 2, "those before are given back");
        assert_eq!(answered(&router).await, ("quoting".into(), vec!["quoting".into()]));
    }

    #[tokio::test]
    async fn only_an_engine_that_cannot_answer_is_replaced() {
        let with = |end: fn() -> Result<Finish, EngineError>| {
            let ready: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(|| true);
            let one = Candidate { place: Place::Local, engine: Arc::new(Named("small", end)), ready };
            EngineRouter::new(Arc::new(Named("quoting", well)), EngineChoice::Auto, vec![one])
        };
        let (text, speakers) = answered(&with(|| Err(EngineError::Unavailable("꺼짐".into())))).await;
        assert!(text.ends_with("\n\nquoting") && speakers == ["small", "quoting"], "{text}");
        let t = task(TaskKind::QuestionAnswering, OutputForm::Answer, &[], vec![]);
        let busy = with(|| Err(EngineError::Busy { message: "바쁨".into(), retry_after: Duration::from_secs(1) }));
        assert!(matches!(hear(&busy, &t).await.1, Err(EngineError::Busy { .. })));
    }

    #[test]
    fn settings_are_words() {
        for word in ["auto", "quoting", "server", "model:qwen3-0.6b"] {
            assert_eq!(word.parse::<EngineChoice>().unwrap().to_string(), word);
        }
        assert!("model:".parse::<EngineChoice>().is_err() && "gpt".parse::<EngineChoice>().is_err());
    }
}

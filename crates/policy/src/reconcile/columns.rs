//! Which column of a bill is which, by its heading.

use serde::Serialize;
use std::collections::BTreeMap;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    Time,
    /// Beside a time without its date.
    Date,
    Model,
    TokensIn,
    TokensOut,
    Cost,
    RequestId,
    /// How many calls a row sums up.
    Requests,
}

/// Headings by which providers name a column, folded as [`folded`] folds them; a better one stands first.
const NAMES: [(Column, &[&str]); 8] = [
    (
        Column::Time,
        &[
            "timestamp",
            "datetime",
            "createdat",
            "time",
            "starttime",
            "usagedate",
            "requesttime",
            "사용일시",
            "요청일시",
            "일시",
            "시각",
            "사용시각",
            "created",
            "시간",
        ],
    ),
    (Column::Date, &["date", "day", "날짜", "일자", "사용일", "사용일자"]),
    (Column::Model, &["model", "modelname", "modelid", "modelversion", "모델", "모델명", "snapshotid", "deployment"]),
    (
        Column::TokensIn,
        &[
            "inputtokens",
            "tokensin",
            "prompttokens",
            "usageinputtokens",
            "ncontexttokenstotal",
            "contexttokens",
            "입력토큰",
            "입력토큰수",
            "프롬프트토큰",
            "입력",
        ],
    ),
    (
        Column::TokensOut,
        &[
            "outputtokens",
            "tokensout",
            "completiontokens",
            "usageoutputtokens",
            "ngeneratedtokenstotal",
            "generatedtokens",
            "출력토큰",
            "출력토큰수",
            "응답토큰",
            "출력",
        ],
    ),
    (
        Column::Cost,
        &[
            "cost",
            "amount",
            "totalcost",
            "costkrw",
            "costusd",
            "amountkrw",
            "amountusd",
            "price",
            "charge",
            "금액",
            "요금",
            "비용",
            "청구금액",
            "사용금액",
            "이용요금",
        ],
    ),
    (
        Column::RequestId,
        &[
            "requestid",
            "providerrequestid",
            "callid",
            "responseid",
            "completionid",
            "id",
            "요청id",
            "요청번호",
            "호출번호",
            "요청식별자",
        ],
    ),
    (
        Column::Requests,
        &[
            "requests",
            "numrequests",
            "nrequests",
            "nummodelrequests",
            "requestcount",
            "calls",
            "count",
            "호출수",
            "요청수",
            "건수",
        ],
    ),
];

/// Positions of the columns that a bill has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns(pub BTreeMap<Column, usize>);

impl Columns {
    /// From the headings; what is named in `given` (by its heading) goes before what is guessed.
    pub fn of<'a>(headings: impl Iterator<Item = &'a str>, given: &BTreeMap<Column, String>) -> Self {
        let headings: Vec<String> = headings.map(folded).collect();
        let find = |name: &str| headings.iter().position(|h| h == name);
        let place = |(column, names): (Column, &[&str])| {
            let named = match given.get(&column) {
                Some(heading) => find(&folded(heading)),
                None => names.iter().find_map(|name| find(name)),
            };
            Some((column, named?))
        };
        Self(NAMES.into_iter().filter_map(place).collect())
    }

    pub(crate) fn get<'r>(&self, column: Column, row: &'r csv::StringRecord) -> Option<&'r str> {
        let cell = row.get(*self.0.get(&column)?)?.trim();
        (!cell.is_empty() && cell != "-").then_some(cell)
    }
}

/// Letters and digits alone, lower case, without what stands in brackets: `Input Tokens (uncached)` is `inputtokens`.
fn folded(heading: &str) -> String {
    let before = heading.split(['(', '[', '（']).next().unwrap_or(heading);
    before.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

//! A trial for programs: one object a route.

use bgp::Attrs;
use bgp::filter::{Condition, Verdict};
use config::model::Action;
use policy::RuleAt;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::attrs::{Value, rows};
use super::{Trial, key_of};

#[derive(Serialize)]
pub(super) struct TrialJson<'c> {
    filter: &'c str,
    prefix: String,
    verdict: &'static str,
    decided_by: Option<RuleJson<'c>>,
    rules: Vec<AskedJson<'c>>,
    before: Json,
    after: Option<Json>,
}

/// A rule: its filter and its place there, from 1.
#[derive(Serialize)]
struct RuleJson<'c> {
    filter: &'c str,
    rule: usize,
    name: Option<&'c str>,
}

#[derive(Serialize)]
struct AskedJson<'c> {
    #[serde(flatten)]
    rule: RuleJson<'c>,
    depth: usize,
    action: &'static str,
    call: Option<&'c str>,
    matched: bool,
    failed: Option<&'static str>,
}

pub(super) fn trial<'c>(filter: &'c str, trial: &Trial<'c>) -> TrialJson<'c> {
    let (verdict, after) = match &trial.verdict {
        Verdict::Accept(after) => ("accept", Some(attrs(after))),
        Verdict::Reject => ("reject", None),
    };
    TrialJson {
        filter,
        prefix: trial.prefix.to_string(),
        verdict,
        decided_by: trial.decided_by().map(rule),
        rules: trial.asked.iter().map(asked).collect(),
        before: attrs(&trial.before),
        after,
    }
}

fn rule(rule: RuleAt<'_>) -> RuleJson<'_> {
    RuleJson {
        filter: rule.filter,
        rule: rule.index + 1,
        name: rule.rule.name.as_deref(),
    }
}

fn asked<'c>((at, failed): &(RuleAt<'c>, Option<Condition>)) -> AskedJson<'c> {
    AskedJson {
        rule: rule(*at),
        depth: at.depth,
        action: match at.rule.action {
            Action::Accept => "accept",
            Action::Call(_) => "call",
            Action::Next => "next",
            Action::Reject => "reject",
        },
        call: at.rule.called(),
        matched: failed.is_none(),
        failed: failed.map(key_of),
    }
}

/// Numbers are numbers; what is absent is null.
fn attrs(attrs: &Attrs) -> Json {
    let mut object = Map::new();
    for row in rows(attrs) {
        let value = match row.value {
            Value::One(value) => json!(value),
            Value::Set(items) => json!(items),
        };
        object.insert(row.name.replace('-', "_"), value);
    }
    object.insert("med".to_owned(), json!(attrs.med));
    object.insert("local_pref".to_owned(), json!(attrs.local_pref));
    Json::Object(object)
}

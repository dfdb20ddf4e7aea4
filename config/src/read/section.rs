//! A table of the file while it is read: takes the keys it is asked for, and reports the rest.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::report::{Sink, Wrong};

use super::value::{self, kind};

pub(crate) struct Section<'a> {
    path: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn root(table: &'a DeTable<'a>) -> Self {
        Self {
            path: String::new(),
            span: 0..0,
            table,
            asked: Vec::new(),
        }
    }

    /// Where its name stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The span of a key's name, for what is wrong with having it at all.
    pub(crate) fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .map_or(self.span(), |(key, _)| key.span())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn child_path(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of a key that may be left out; `None` as well when it is wrong, which is noted.
    pub(crate) fn optional<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let found = self.ask(key)?;
        sink.mark(self.child_path(key), found.span());
        read(found.get_ref())
            .map_err(|wrong| sink.error(found.span(), wrong))
            .ok()
    }

    /// The value of a key with a default.
    pub(crate) fn or<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> T {
        self.optional(sink, key, read).unwrap_or(default)
    }

    /// The value of a key that must be there. `None` is noted.
    pub(crate) fn required<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(sink, key, example);
        }
        self.optional(sink, key, read)
    }

    pub(super) fn missing(&self, sink: &mut Sink<'_>, key: &str, example: &str) {
        let message = if self.path.is_empty() {
            format!("`[{key}]` is missing")
        } else {
            format!("`{}` has no `{key}`", self.path)
        };
        sink.error(
            self.span(),
            Wrong::new("key.missing", message, format!("add {example}")),
        );
    }

    /// Every element that is right; each that is wrong is noted by itself.
    pub(crate) fn list<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(found) = self.ask(key) else {
            return Vec::new();
        };
        let path = self.child_path(key);
        sink.mark(path.clone(), found.span());
        let DeValue::Array(items) = found.get_ref() else {
            sink.error(
                found.span(),
                value::not_a("a list", found.get_ref(), example),
            );
            return Vec::new();
        };
        right_ones(sink, &path, items.iter(), read)
    }

    /// The same where one element may stand without its brackets.
    pub(crate) fn one_or_list<T>(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(found) = self.ask(key) else {
            return Vec::new();
        };
        let path = self.child_path(key);
        sink.mark(path.clone(), found.span());
        match found.get_ref() {
            DeValue::Array(items) => right_ones(sink, &path, items.iter(), read),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => right_ones(sink, &path, std::iter::once(found), read),
        }
    }

    /// A table that may be left out.
    pub(crate) fn table(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<Self> {
        let found = self.ask(key)?;
        let span = self.key_span(key);
        self.enter(sink, key, span, found, example)
    }

    /// A table that must be there.
    pub(crate) fn required_table(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<Self> {
        if !self.has(key) {
            self.missing(sink, key, example);
        }
        self.table(sink, key, example)
    }

    /// The tables of `[key.NAME]`, with their names.
    pub(crate) fn named(&mut self, sink: &mut Sink<'_>, key: &'static str) -> Vec<(String, Self)> {
        let example = format!("[{key}.NAME]");
        let Some(all) = self.table(sink, key, &example) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, found) in all.table.iter() {
            let section = all.enter(sink, name.get_ref(), name.span(), found, &example);
            named.extend(section.map(|section| (name.get_ref().to_string(), section)));
        }
        named
    }

    /// The tables of `[[key.NAME]]`, with their names and the place of the name.
    pub(crate) fn named_lists(
        &mut self,
        sink: &mut Sink<'_>,
        key: &'static str,
    ) -> Vec<(String, Range<usize>, Vec<Self>)> {
        let Some(all) = self.table(sink, key, &format!("[[{key}.NAME]]")) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, found) in all.table.iter() {
            let path = all.child_path(name.get_ref());
            sink.mark(path.clone(), name.span());
            let sections = all.elements(sink, &path, name.get_ref(), found);
            named.push((name.get_ref().to_string(), name.span(), sections));
        }
        named
    }

    /// The tables of `[[key]]`.
    pub(crate) fn lists(&mut self, sink: &mut Sink<'_>, key: &'static str) -> Vec<Self> {
        let Some(found) = self.ask(key) else {
            return Vec::new();
        };
        let path = self.child_path(key);
        self.elements(sink, &path, key, found)
    }

    fn elements(
        &self,
        sink: &mut Sink<'_>,
        path: &str,
        name: &str,
        found: &'a Spanned<DeValue<'a>>,
    ) -> Vec<Self> {
        let example = format!("[[{path}]] before each of them");
        let DeValue::Array(items) = found.get_ref() else {
            let wrong = value::not_a("a list of tables", found.get_ref(), &example);
            sink.error(self.key_span(name), wrong);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                sink.error(
                    item.span(),
                    value::not_a("a table", item.get_ref(), &example),
                );
                continue;
            };
            let path = format!("{path}[{}]", sections.len());
            sink.mark(path.clone(), item.span());
            sections.push(Self {
                path,
                span: item.span(),
                table,
                asked: Vec::new(),
            });
        }
        sections
    }

    fn enter(
        &self,
        sink: &mut Sink<'_>,
        key: &str,
        span: Range<usize>,
        found: &'a Spanned<DeValue<'a>>,
        example: &str,
    ) -> Option<Self> {
        let path = self.child_path(key);
        sink.mark(path.clone(), span.clone());
        let DeValue::Table(table) = found.get_ref() else {
            sink.error(
                found.span(),
                value::not_a("a table", found.get_ref(), example),
            );
            return None;
        };
        Some(Self {
            path,
            span,
            table,
            asked: Vec::new(),
        })
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, sink: &mut Sink<'_>) {
        for (key, found) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                sink.error(key.span(), self.unknown(name, found.get_ref()));
            }
        }
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> Wrong {
        let place = if self.path.is_empty() {
            "the file"
        } else {
            self.path.as_str()
        };
        let what = if matches!(value, DeValue::Table(_)) && self.path.is_empty() {
            format!("there is no section `{name}`")
        } else {
            format!("`{name}` is not known in `{place}`")
        };
        let mut known = self.asked.clone();
        known.sort_unstable();
        let known = known.join("`, `");
        let fix = match nearest(name, self.asked.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known here: `{known}`"),
            None => format!("known here: `{known}`"),
        };
        Wrong::new("key.unknown", what, fix)
    }

    /// The keys that were asked for and whose lists have nothing in them.
    pub(crate) fn empty_lists(&self) -> impl Iterator<Item = &'static str> + '_ {
        let asked = self.asked.iter().copied();
        asked.filter(|key| self.is_empty_list(key))
    }

    /// The key is there and its list has nothing in it.
    pub(crate) fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Array(items)) if items.is_empty())
    }

    /// What kind of value a key has, for a message.
    pub(crate) fn kind_of(&self, key: &str) -> Option<&'static str> {
        self.table.get(key).map(|value| kind(value.get_ref()))
    }
}

/// Every element that is right; each that is wrong is noted by itself.
fn right_ones<'v, T>(
    sink: &mut Sink<'_>,
    path: &str,
    items: impl Iterator<Item = &'v Spanned<DeValue<'v>>>,
    read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Vec<T> {
    let mut list = Vec::new();
    for item in items {
        match read(item.get_ref()) {
            Ok(value) => {
                sink.mark(format!("{path}[{}]", list.len()), item.span());
                list.push(value);
            }
            Err(wrong) => sink.error(item.span(), wrong),
        }
    }
    list
}

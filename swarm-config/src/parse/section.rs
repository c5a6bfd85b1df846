//! One table of the file, read key by key; what nobody asked for is an unknown key.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::hint::closest;
use super::source::{At, Draft, Place};
use crate::error::ProblemKind;
use crate::value::{Role, ValueError};

/// What has been found wrong so far.
pub(super) type Found = Vec<Draft>;

/// A table that is being read.
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
    path: String,
    place: Place,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            table: table.get_ref(),
            path: String::new(),
            place: Place::START,
            asked: Vec::new(),
        }
    }

    /// The path of a key of this table.
    fn key(&self, name: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let shown: String = name.chars().take(80).collect();
        let shown = if !name.is_empty() && shown.chars().all(bare) {
            shown
        } else {
            format!("{shown:?}")
        };
        if self.path.is_empty() {
            shown
        } else {
            format!("{}.{shown}", self.path)
        }
    }

    fn find(&mut self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(name);
        self.table.get(name)
    }

    fn enter(
        &self,
        name: &str,
        value: &'a Spanned<DeValue<'a>>,
        found: &mut Found,
    ) -> Option<Section<'a>> {
        let place = Place::from(value.span());
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                table,
                path: self.key(name),
                place,
                asked: Vec::new(),
            }),
            other => {
                found.push(place.problem(self.key(name), wrong_type("a table", other)));
                None
            }
        }
    }

    /// The table under a key, when it is there.
    pub(super) fn table(&mut self, name: &'static str, found: &mut Found) -> Option<Section<'a>> {
        let value = self.find(name)?;
        self.enter(name, value, found)
    }

    /// Every key of this table as a name, with its own table, in the order of the text.
    pub(super) fn entries<T>(
        &self,
        parse: fn(&str) -> Result<T, ValueError>,
        found: &mut Found,
    ) -> Vec<(At<T>, Section<'a>)> {
        let mut rows: Vec<_> = self.table.iter().collect();
        rows.sort_by_key(|(key, _)| key.span().start);
        let mut entries = Vec::new();
        for (key, value) in rows {
            let place = Place::from(key.span());
            let name = parse(key.get_ref());
            let section = self.enter(key.get_ref(), value, found);
            match (name, section) {
                (Ok(value), Some(section)) => entries.push((At { value, place }, section)),
                (Ok(_), None) => {}
                (Err(error), _) => {
                    let kind = ProblemKind::Value(error);
                    found.push(place.problem(self.key(key.get_ref()), kind));
                }
            }
        }
        entries
    }

    /// The text under a key, parsed.
    pub(super) fn text<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
        found: &mut Found,
    ) -> Option<At<T>> {
        let value = self.find(name)?;
        let place = Place::from(value.span());
        let kind = match value.get_ref() {
            DeValue::String(text) => match parse(text) {
                Ok(value) => return Some(At { value, place }),
                Err(error) => ProblemKind::Value(error),
            },
            other => wrong_type("a string", other),
        };
        found.push(place.problem(self.key(name), kind));
        None
    }

    /// The whole number under a key, within bounds.
    pub(super) fn number<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        what: &'static str,
        bounds: RangeInclusive<u64>,
        found: &mut Found,
    ) -> Option<At<T>> {
        let value = self.find(name)?;
        let place = Place::from(value.span());
        let problem = match value.get_ref() {
            DeValue::Integer(integer) => {
                let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
                let fits = number
                    .filter(|n| bounds.contains(n))
                    .and_then(|n| T::try_from(n).ok());
                if let Some(value) = fits {
                    return Some(At { value, place });
                }
                let (least, most) = (bounds.start().to_string(), bounds.end().to_string());
                let kind = ProblemKind::Value(ValueError::Range { what, least, most });
                place.problem(self.key(name), kind)
            }
            other => {
                let problem = place.problem(self.key(name), wrong_type("a whole number", other));
                match other.as_str() {
                    Some(text) if text.parse::<u64>().is_ok() => {
                        problem.hint("write the number without quotes")
                    }
                    _ => problem,
                }
            }
        };
        found.push(problem);
        None
    }

    /// The yes or no under a key.
    pub(super) fn flag(&mut self, name: &'static str, found: &mut Found) -> Option<At<bool>> {
        let value = self.find(name)?;
        let place = Place::from(value.span());
        let DeValue::Boolean(flag) = value.get_ref() else {
            let kind = wrong_type("true or false", value.get_ref());
            found.push(place.problem(self.key(name), kind));
            return None;
        };
        Some(At {
            value: *flag,
            place,
        })
    }

    /// The list of texts under a key, each parsed.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Result<T, ValueError>,
        found: &mut Found,
    ) -> Option<Vec<At<T>>> {
        let value = self.find(name)?;
        let DeValue::Array(array) = value.get_ref() else {
            let place = Place::from(value.span());
            let kind = wrong_type("a list of strings", value.get_ref());
            let problem = place.problem(self.key(name), kind);
            found.push(match value.get_ref().as_str() {
                Some(text) if text.len() <= 63 => problem.hint(format!("write [{text:?}]")),
                _ => problem,
            });
            return None;
        };
        let mut list: Vec<At<T>> = Vec::new();
        // More entries than this are reported, not compared with each other.
        for item in array.iter().take(64) {
            let place = Place::from(item.span());
            let kind = match item.get_ref() {
                DeValue::String(text) => match parse(text) {
                    Ok(value) if list.iter().all(|other| other.value != value) => {
                        list.push(At { value, place });
                        continue;
                    }
                    Ok(_) => ProblemKind::Repeated,
                    Err(error) => ProblemKind::Value(error),
                },
                other => wrong_type("a string", other),
            };
            found.push(place.problem(self.key(name), kind));
        }
        if array.len() > 64 {
            let (least, most) = ("0".to_owned(), "64".to_owned());
            let kind = ProblemKind::Value(ValueError::Range {
                what: "length of list",
                least,
                most,
            });
            let place = Place::from(value.span());
            found.push(place.problem(self.key(name), kind));
        }
        Some(list)
    }

    /// Says that a key is missing.
    pub(super) fn missing(&self, name: &'static str, hint: &str, found: &mut Found) {
        let problem = self.place.problem(self.key(name), ProblemKind::Missing);
        found.push(problem.hint(hint).without_text());
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, found: &mut Found) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let place = Place::from(key.span());
            let problem = place.problem(self.key(name), ProblemKind::UnknownKey);
            found.push(
                problem.hint(match closest(name, self.asked.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if self.path.is_empty() && matches!(name, Role::HUB | Role::EDGE) => {
                        format!("a node is written [nodes.<id>] with roles = [\"{name}\"]")
                    }
                    None => format!("known here: {}", self.asked.join(", ")),
                }),
            );
        }
    }
}

fn wrong_type(expected: &'static str, actual: &DeValue<'_>) -> ProblemKind {
    ProblemKind::WrongType {
        expected,
        actual: actual.type_str(),
    }
}

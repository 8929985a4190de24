//! Payloads: the strings of a JSON object, redacted by what they hold and by the name they stand under.

use super::Redactor;
use super::encoding::Encoding;
use super::merge::{Group, Then};
use receipt_core::json::{Object, Text, Value};
use std::sync::Arc;

impl Redactor {
    /// Replaces every secret in the strings of a payload, and says how many.
    ///
    /// A string under the name of a secret (`password`, `client_secret`, `api-key`, …) is replaced whole, and so is
    /// each string of an array under one, and the string behind a flag (`--password`) in an array. An array with a flag in it
    /// is read as a line of a shell as well. A key is replaced where
    /// it is itself a secret.
    pub fn redact_object(&self, payload: &mut Object) -> usize {
        self.redact_object_by(payload, &mut |_| {})
    }

    /// The same; `found` is told the rule of each.
    pub fn redact_object_by(&self, payload: &mut Object, found: &mut dyn FnMut(&Arc<str>)) -> usize {
        let mut hits = 0;
        let mut count = |rule: usize| {
            hits += 1;
            found(self.rule(rule).0);
        };
        let mut open: Vec<(Option<Arc<[usize]>>, &mut Value)> = Vec::new();
        self.redact_keys(payload, &mut count);
        open.extend(payload.iter_mut().map(|(key, value)| (self.rules_of_name(key), value)));
        while let Some((rules, value)) = open.pop() {
            match value {
                Value::String(text) => self.redact_string(rules.as_deref().unwrap_or_default(), text, &mut count),
                Value::Array(items) => {
                    self.redact_arguments(items, &mut count);
                    // Behind the name of a flag stands its value, whatever is in it.
                    let mut flag = None;
                    open.extend(items.iter_mut().map(|item| {
                        let next = item.as_text().filter(|text| is_flag(text.as_bytes()));
                        let next = next.and_then(|text| self.rules_of_name(text));
                        let rules = std::mem::replace(&mut flag, next).or_else(|| rules.clone());
                        (rules, item)
                    }));
                }
                Value::Object(object) => {
                    self.redact_keys(object, &mut count);
                    open.extend(object.iter_mut().map(|(key, value)| (self.rules_of_name(key), value)));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        hits
    }

    /// Replaces the secrets in a list of arguments that show only where they stand in a line: `-u bob:…`, `sshpass -p …`.
    fn redact_arguments(&self, items: &mut [Value], count: &mut dyn FnMut(usize)) {
        let texts: Option<Vec<&[u8]>> = items.iter().map(|item| item.as_text().map(Text::as_bytes)).collect();
        let Some(texts) = texts.filter(|texts| texts.iter().any(|text| text.starts_with(b"-"))) else { return };
        let line = texts.join(&b' ');
        let groups = self.groups(&line, Encoding::Bytes, 0);
        let mut begin = 0;
        for item in items {
            let Value::String(text) = item else { continue };
            let end = begin + text.as_bytes().len();
            let inside = groups.iter().filter(|group| is_replaced(group) && group.start < end && group.end > begin);
            let inside: Vec<Group> = inside
                .map(|group| {
                    let (start, stop) = (group.start.max(begin) - begin, group.end.min(end) - begin);
                    Group { head: start, start, end: stop, rule: group.rule, then: Then::Replacement }
                })
                .collect();
            begin = end + 1;
            if !inside.is_empty() {
                for group in &inside {
                    count(group.rule);
                }
                *text = self.replaced(text, &inside);
            }
        }
    }

    /// The rules under which the value of a member is a secret because of its name, if any.
    fn rules_of_name(&self, key: &Text) -> Option<Arc<[usize]>> {
        let found = self.engine.as_ref()?.named(key.as_bytes());
        (!found.is_empty()).then(|| found.into())
    }

    fn redact_string(&self, rules: &[usize], text: &mut Text, count: &mut dyn FnMut(usize)) {
        let value = text.as_bytes();
        let secret = self.engine.as_ref().and_then(|engine| {
            rules.iter().find(|rule| engine.is_secret(**rule, value) && engine.allowed(**rule, value).is_none())
        });
        if let Some(rule) = secret {
            count(*rule);
            *text = (&**self.rule(*rule).1).into();
            return;
        }
        let groups = self.groups(value, Encoding::Bytes, 0);
        if groups.iter().any(is_replaced) {
            groups.iter().filter(|group| is_replaced(group)).for_each(|group| count(group.rule));
            *text = self.replaced(text, &groups);
        }
    }

    /// Replaces the secrets in an object's keys, keeping the keys distinct.
    fn redact_keys(&self, object: &mut Object, count: &mut dyn FnMut(usize)) {
        let dirty = |key: &Text| self.groups(key.as_bytes(), Encoding::Bytes, 0).iter().any(is_replaced);
        if !object.iter().any(|(key, _)| dirty(key)) {
            return;
        }
        let (mut hits, mut kept) = (0_usize, Object::new());
        for (key, value) in std::mem::take(object) {
            let groups = self.groups(key.as_bytes(), Encoding::Bytes, 0);
            for group in groups.iter().filter(|group| is_replaced(group)) {
                hits += 1;
                count(group.rule);
            }
            let name = if groups.is_empty() { key } else { self.replaced(&key, &groups) };
            let plain = name.to_string_lossy();
            let taken = |name: &Text| kept.get(&name.to_string_lossy()).is_some();
            let numbered = (hits..).map(|number| Text::from(format!("{plain} ({number})")));
            let name = std::iter::once(name).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
            kept.insert(name, value);
        }
        *object = kept;
    }

    /// A text with its secrets replaced, lone surrogates and all.
    pub(super) fn replaced(&self, text: &Text, groups: &[Group]) -> Text {
        let (mut out, mut at) = (Text::default(), 0);
        let mut groups = groups.iter().filter(|group| is_replaced(group)).peekable();
        let push = |out: &mut Text, text: &str| text.chars().for_each(|letter| out.push(u32::from(letter)));
        for point in text.code_points().map(Some).chain([None]) {
            while let Some(group) = groups.next_if(|group| group.end <= at) {
                let replacement = self.rule(group.rule).1;
                match &group.then {
                    Then::Encoded(bytes) => push(&mut out, &String::from_utf8_lossy(bytes)),
                    _ => push(&mut out, replacement),
                }
                match &group.then {
                    Then::Again(from, to) => push(&mut out, &String::from_utf8_lossy(&text.as_bytes()[*from..*to])),
                    Then::Text(close) => push(&mut out, close),
                    _ => {}
                }
            }
            let Some(point) = point else { break };
            if groups.peek().is_none_or(|group| at < group.start) {
                out.push(point);
            }
            at += char::from_u32(point).map_or(3, char::len_utf8);
        }
        out
    }
}

/// Whether an argument is a flag whose value is the next one.
fn is_flag(argument: &[u8]) -> bool {
    argument.starts_with(b"-") && !argument.contains(&b'=')
}

fn is_replaced(group: &Group) -> bool {
    !matches!(group.then, Then::Kept(_))
}

//! Payloads: the strings of a JSON object, redacted by what they hold and by the name they stand under.

use super::encoding::Encoding;
use super::merge::{Group, Then};
use super::references::is_reference;
use super::rules::is_marker;
use super::{Redactor, pairs, withheld};
use receipt_core::canonical;
use receipt_core::json::{Limits, Object, Text, Value};
use std::sync::Arc;

impl Redactor {
    /// Replaces every secret in the strings of a payload, and says how many.
    ///
    /// A string under the name of a secret (`password`, `client_secret`, `api-key`, …) is replaced whole, and so is
    /// each string of an array under one, and the string behind a flag (`--password`) in an array. So is the `value` beside a
    /// `name` of one, each side of a change and each `value` in an object below one, and each value of a cookie. A number in
    /// such a place becomes a string. An array with a flag in it is read as a line of a shell as well. A key is replaced
    /// where it is itself a secret.
    pub fn redact_object(&self, payload: &mut Object) -> usize {
        self.redact_object_by(payload, &mut |_| {})
    }

    /// The same; `found` is told the rule of each.
    pub fn redact_object_by(&self, payload: &mut Object, found: &mut dyn FnMut(&Arc<str>)) -> usize {
        let hits = withheld::guarded(|| self.redact_members(payload, found));
        hits.unwrap_or_else(|| {
            *payload = withheld::object();
            found(&withheld::RULE.into());
            1
        })
    }

    fn redact_members(&self, payload: &mut Object, found: &mut dyn FnMut(&Arc<str>)) -> usize {
        let mut hits = 0;
        let mut count = |rule: usize| {
            hits += 1;
            found(self.rule(rule).0);
        };
        let mut open: Vec<(Option<Arc<[usize]>>, &mut Value)> = Vec::new();
        self.redact_keys(payload, &mut count);
        self.open_members(payload, None, &mut count, &mut open);
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
                    self.open_members(object, rules.as_ref(), &mut count, &mut open);
                }
                Value::Number(_) => {
                    let text = canonical::to_bytes(value, Limits::READ).unwrap_or_default();
                    let secret = self.secret(rules.as_deref().unwrap_or_default(), &text);
                    if let Some(rule) = secret.filter(|_| text.len() > 1) {
                        count(rule);
                        *value = Value::from(&**self.rule(rule).1);
                    }
                }
                Value::Null | Value::Bool(_) => {}
            }
        }
        hits
    }

    /// Opens the members of an object, each with the rules under which it is a secret: because of its own name, of the name
    /// that stands beside it, or of that of the object.
    fn open_members<'v>(
        &self,
        object: &'v mut Object,
        above: Option<&Arc<[usize]>>,
        count: &mut dyn FnMut(usize),
        open: &mut Vec<(Option<Arc<[usize]>>, &'v mut Value)>,
    ) {
        let beside = object.iter().find_map(|(key, value)| {
            let name = value.as_text().filter(|_| pairs::holds_name(key.as_bytes()))?;
            self.rules_of_name(name)
        });
        let cookie = object.iter().any(|(key, _)| pairs::is_of_cookie(key.as_bytes()));
        for (key, value) in object.iter_mut() {
            let bytes = key.as_bytes();
            if cookie && pairs::holds_value(bytes) {
                self.redact_cookie(value, count);
            } else if bytes.eq_ignore_ascii_case(b"cookies") {
                self.redact_cookies(value, count);
            }
            let own = self.rules_of_name(key);
            let other = || beside.clone().filter(|_| pairs::holds_value(bytes));
            let above = || above.cloned().filter(|_| pairs::belongs_to_name(bytes));
            open.push((own.or_else(other).or_else(above), value));
        }
    }

    /// The values of what is called cookies: of a map all, of a list those of each of its members.
    fn redact_cookies(&self, cookies: &mut Value, count: &mut dyn FnMut(usize)) {
        match cookies {
            Value::Object(map) => map.iter_mut().for_each(|(_, value)| self.redact_cookie(value, count)),
            Value::Array(list) => {
                let members = list.iter_mut().filter_map(|item| match item {
                    Value::Object(cookie) => Some(cookie.iter_mut()),
                    _ => None,
                });
                let values = members.flatten().filter(|(key, _)| pairs::holds_value(key.as_bytes()));
                values.for_each(|(_, value)| self.redact_cookie(value, count));
            }
            _ => {}
        }
    }

    fn redact_cookie(&self, value: &mut Value, count: &mut dyn FnMut(usize)) {
        let rule = self.engine.as_ref().and_then(|engine| engine.rule_of_cookies());
        if let (Some(rule), Value::String(text)) = (rule, &mut *value)
            && text.as_bytes().len() >= 8
            && !is_marker(text.as_bytes())
            && !is_reference(text.as_bytes())
        {
            count(rule);
            *value = Value::from(&**self.rule(rule).1);
        }
    }

    /// Replaces the secrets in a list of arguments that show only where they stand in a line: `-u bob:…`, `sshpass -p …`.
    fn redact_arguments(&self, items: &mut [Value], count: &mut dyn FnMut(usize)) {
        let texts: Option<Vec<&[u8]>> = items.iter().map(|item| item.as_text().map(Text::as_bytes)).collect();
        let Some(texts) = texts.filter(|texts| texts.iter().any(|text| text.starts_with(b"-"))) else { return };
        let line = texts.join(&b' ');
        let groups = self.groups(&line);
        let mut begin = 0_u64;
        for item in items {
            let Value::String(text) = item else { continue };
            let end = begin + text.as_bytes().len() as u64;
            let inside = groups.iter().filter(|group| is_replaced(group) && group.start < end && group.end > begin);
            let inside: Vec<Group> = inside
                .map(|group| {
                    let (start, stop) = (group.start.max(begin) - begin, group.end.min(end) - begin);
                    Group { head: start, start, end: stop, rule: group.rule, then: Then::Replacement(Box::default()) }
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

    /// The first of these rules by which a value is a secret.
    fn secret(&self, rules: &[usize], value: &[u8]) -> Option<usize> {
        let engine = self.engine.as_ref()?;
        let found = |rule: &&usize| engine.is_secret(**rule, value) && engine.allowed(**rule, value).is_none();
        rules.iter().find(found).copied()
    }

    fn redact_string(&self, rules: &[usize], text: &mut Text, count: &mut dyn FnMut(usize)) {
        let value = text.as_bytes();
        if let Some(rule) = self.secret(rules, value) {
            count(rule);
            *text = (&**self.rule(rule).1).into();
            return;
        }
        let groups = self.groups(value);
        if groups.iter().any(is_replaced) {
            groups.iter().filter(|group| is_replaced(group)).for_each(|group| count(group.rule));
            *text = self.replaced(text, &groups);
        }
    }

    /// Replaces the secrets in an object's keys, keeping the keys distinct.
    fn redact_keys(&self, object: &mut Object, count: &mut dyn FnMut(usize)) {
        let dirty = |key: &Text| self.groups(key.as_bytes()).iter().any(is_replaced);
        if !object.iter().any(|(key, _)| dirty(key)) {
            return;
        }
        let (mut hits, mut kept) = (0_usize, Object::new());
        for (key, value) in std::mem::take(object) {
            let groups = self.groups(key.as_bytes());
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
        let (mut out, mut at) = (Text::default(), 0_u64);
        let mut groups = groups.iter().filter(|group| is_replaced(group)).peekable();
        for point in text.code_points().map(Some).chain([None]) {
            while let Some(group) = groups.next_if(|group| group.end <= at) {
                let mut written = Vec::new();
                group.then.write(self.rule(group.rule).1, Encoding::Bytes, &mut written);
                String::from_utf8_lossy(&written).chars().for_each(|letter| out.push(u32::from(letter)));
            }
            let Some(point) = point else { break };
            if groups.peek().is_none_or(|group| at < group.start) {
                out.push(point);
            }
            at += char::from_u32(point).map_or(3, char::len_utf8) as u64;
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

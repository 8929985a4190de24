//! Spans that overlap become one group, replaced once: nothing of a reported secret is left, and nothing next to it is lost.

use super::engine::{Close, Span};
use std::cmp::Reverse;

/// Secrets that overlap, as one.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Where the first keyword begins, the one whose rule counts.
    pub(super) head: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: usize,
    pub(super) then: Then,
}

/// What is written in the place of a group.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// The replacement of its rule.
    Replacement,
    /// The same, and these bytes of the data again.
    Again(usize, usize),
    /// The same between quotes, as they stand in these bytes of the data.
    Quoted(usize, usize),
    /// The same, and this.
    Text(&'static str),
    /// These bytes, which have the replacement in an encoding.
    Encoded(Vec<u8>),
    /// The group as it is, because of this exception.
    Kept(usize),
}

/// Joins the spans that overlap.
pub(super) fn merge(mut spans: Vec<Span>) -> Vec<Group> {
    if spans.is_empty() {
        return Vec::new();
    }
    spans.sort_unstable_by_key(|span| (span.allow.is_some(), span.start, Reverse(span.end), span.head, span.rule));
    let allowed = spans.split_off(spans.partition_point(|span| span.allow.is_none()));
    let mut groups: Vec<Group> = Vec::new();
    // What the first span of the group at hand needs if the group ends behind it.
    let mut needed = Close::Nothing;
    for Span { head, start, end, rule, close, .. } in spans {
        match groups.last_mut() {
            Some(group) if start < group.end => {
                if head < group.head {
                    (group.head, group.rule) = (head, rule);
                }
                if end > group.end {
                    group.end = end;
                    group.then = match needed {
                        Close::Opener(open) => Then::Again(open, group.start),
                        Close::Bytes(text) => Then::Text(text),
                        Close::Nothing | Close::Quotes(..) => Then::Replacement,
                    };
                }
            }
            _ => {
                needed = close;
                let then = match close {
                    Close::Quotes(from, to) => Then::Quoted(from, to),
                    _ => Then::Replacement,
                };
                groups.push(Group { head, start, end, rule, then });
            }
        }
    }
    let kept = allowed.into_iter().filter_map(|span| {
        let Span { head, start, end, rule, allow, .. } = span;
        allow.map(|allow| Group { head, start, end, rule, then: Then::Kept(allow) })
    });
    add(groups, kept)
}

/// Adds groups where none of those that are there stands in the way.
fn add(mut groups: Vec<Group>, more: impl Iterator<Item = Group>) -> Vec<Group> {
    for group in more {
        let place = groups.partition_point(|held| held.end <= group.start);
        if groups.get(place).is_none_or(|next| group.end <= next.start) {
            groups.insert(place, group);
        }
    }
    groups
}

/// Joins groups with those that were found in an encoding. Where two overlap, all that both cover is replaced.
pub(super) fn join(mut groups: Vec<Group>, encoded: Vec<Group>) -> Vec<Group> {
    if encoded.is_empty() {
        return groups;
    }
    groups.extend(encoded);
    groups.sort_unstable_by_key(|group| (group.start, Reverse(group.end), group.head, group.rule));
    let mut joined: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups {
        match joined.last_mut() {
            Some(last) if group.start < last.end => {
                let kept = matches!((&last.then, &group.then), (Then::Kept(_), Then::Kept(_)));
                if group.head < last.head || matches!(last.then, Then::Kept(_)) {
                    (last.head, last.rule) = (group.head.min(last.head), group.rule);
                }
                if matches!(group.then, Then::Kept(_)) && !kept && group.end <= last.end {
                    continue;
                }
                if !kept && (group.end > last.end || matches!(last.then, Then::Kept(_) | Then::Encoded(_))) {
                    last.then = Then::Replacement;
                }
                last.end = last.end.max(group.end);
            }
            _ => joined.push(group),
        }
    }
    joined
}

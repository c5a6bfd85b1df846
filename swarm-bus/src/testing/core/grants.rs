//! What a user may do, asked as a server asks it.

use crate::permissions::Permissions;
use crate::{Pattern, Subject};
use std::collections::HashMap;
use std::time::Duration;

/// How many requests may wait for their answers before old ones are forgotten.
const MAX_AWAITED: usize = 4096;

/// One entry of a list: a pattern, for subscriptions also `pattern queue`.
#[derive(Debug, Clone)]
struct Entry {
    pattern: Pattern,
    queue: Option<Pattern>,
}

/// Which answers are still allowed, to which subject.
#[derive(Debug, Clone)]
struct Answers {
    max: u32,
    expires: Duration,
    awaited: HashMap<String, (Duration, u32)>,
}

/// The permissions of one connection.
#[derive(Debug, Clone)]
pub(super) struct Grants {
    publish_allow: Option<Vec<Entry>>,
    publish_deny: Vec<Entry>,
    subscribe_allow: Option<Vec<Entry>>,
    subscribe_deny: Vec<Entry>,
    answers: Option<Answers>,
    /// Whether a subscription is wider than what is denied, so that each message is looked at.
    filters: bool,
}

/// Reads a list; an entry that is no pattern matches nothing, in a server as well.
fn entries(list: &[String]) -> Vec<Entry> {
    list.iter()
        .filter_map(|text| {
            let (pattern, queue) = match text.trim().split_once(' ') {
                Some((pattern, queue)) => (pattern, Some(queue.trim())),
                None => (text.trim(), None),
            };
            Some(Entry {
                pattern: Pattern::parse(pattern).ok()?,
                queue: queue.map(Pattern::parse).transpose().ok()?,
            })
        })
        .collect()
}

/// Says whether an entry covers what is asked for. To a server of 2.9 the wildcards of what is asked
/// for are tokens like others, so that `a.*` covers `a.>`, which is wider.
fn covers(entry: &Pattern, asked: &Pattern) -> bool {
    let mut asked = asked.elements();
    for element in entry.elements() {
        match (element, asked.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(token)) if literal == token => {}
            _ => return false,
        }
    }
    asked.next().is_none()
}

/// Says what a list says of a subject, or of a pattern that somebody wants to subscribe to.
fn lists(list: &[Entry], asked: &Pattern, queue: Option<&str>) -> bool {
    let matching = || list.iter().filter(|entry| covers(&entry.pattern, asked));
    let plain = matching().any(|entry| entry.queue.is_none());
    let mut queues = matching()
        .filter_map(|entry| entry.queue.as_ref())
        .peekable();
    match (queue.map(Pattern::parse), queues.peek()) {
        (Some(Ok(queue)), Some(_)) => queues.any(|listed| listed.contains(&queue)),
        _ => plain,
    }
}

impl Grants {
    pub(super) fn new(permissions: &Permissions) -> Self {
        // Nothing listed means everything, except where answers are allowed: then it means nothing.
        let list = |list: &[String], or_nothing: bool| {
            (!list.is_empty() || or_nothing).then(|| entries(list))
        };
        let answers = permissions.allow_responses.map(|responses| Answers {
            max: if responses.max == 0 { 1 } else { responses.max },
            expires: match responses.expires {
                Duration::ZERO => Duration::from_secs(120),
                expires => expires,
            },
            awaited: HashMap::new(),
        });
        Self {
            publish_allow: list(&permissions.publish_allow, answers.is_some()),
            publish_deny: entries(&permissions.publish_deny),
            subscribe_allow: list(&permissions.subscribe_allow, false),
            subscribe_deny: entries(&permissions.subscribe_deny),
            answers,
            filters: false,
        }
    }

    /// Says whether a subject may be published to. An answer uses its allowance up.
    pub(super) fn may_publish(&mut self, subject: &Subject, now: Duration) -> bool {
        let asked = Pattern::from(subject);
        let allow = self.publish_allow.as_deref();
        let listed = allow.is_none_or(|allow| lists(allow, &asked, None));
        if listed && !lists(&self.publish_deny, &asked, None) {
            return true;
        }
        let Some(answers) = &mut self.answers else {
            return false;
        };
        let Some((since, count)) = answers.awaited.get_mut(subject.as_str()) else {
            return false;
        };
        *count += 1;
        let allowed = *count <= answers.max && now.saturating_sub(*since) <= answers.expires;
        if !allowed {
            answers.awaited.remove(subject.as_str());
        }
        allowed
    }

    /// Says whether a pattern may be subscribed to.
    pub(super) fn may_subscribe(&mut self, pattern: &Pattern, queue: Option<&str>) -> bool {
        let allow = self.subscribe_allow.as_deref();
        if !allow.is_none_or(|allow| lists(allow, pattern, queue))
            || lists(&self.subscribe_deny, pattern, queue)
        {
            return false;
        }
        let mut denied = self.subscribe_deny.iter();
        if !pattern.is_literal() && denied.any(|entry| pattern.contains(&entry.pattern)) {
            self.filters = true;
        }
        true
    }

    /// Says whether a message may be delivered to a subscription that is wider than allowed.
    pub(super) fn may_receive(&self, subject: &Subject) -> bool {
        !self.filters || !lists(&self.subscribe_deny, &Pattern::from(subject), None)
    }

    /// Takes note of a request that was delivered, to allow its answer.
    pub(super) fn note_request(&mut self, reply: &str, now: Duration) {
        let Some(answers) = &mut self.answers else {
            return;
        };
        if answers.awaited.len() >= MAX_AWAITED {
            let (max, expires) = (answers.max, answers.expires);
            answers
                .awaited
                .retain(|_, (since, count)| *count < max && now.saturating_sub(*since) <= expires);
        }
        if answers.awaited.len() < MAX_AWAITED {
            answers.awaited.insert(reply.to_owned(), (now, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::AllowResponses;

    fn grants(publish: [&[&str]; 2], subscribe: [&[&str]; 2], max: Option<u32>) -> Grants {
        let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Grants::new(&Permissions {
            publish_allow: list(publish[0]),
            publish_deny: list(publish[1]),
            subscribe_allow: list(subscribe[0]),
            subscribe_deny: list(subscribe[1]),
            allow_responses: max.map(|max| AllowResponses {
                max,
                expires: Duration::from_secs(10),
            }),
        })
    }

    fn subject(text: &str) -> Subject {
        Subject::parse(text).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn nothing_listed_is_everything_but_where_answers_are_allowed() {
        let now = Duration::ZERO;
        assert!(grants([&[], &[]], [&[], &[]], None).may_publish(&subject("a"), now));
        let mut answering = grants([&[], &[]], [&[], &[]], Some(2));
        assert!(!answering.may_publish(&subject("a"), now));
        answering.note_request("a", now);
        assert!(answering.may_publish(&subject("a"), now));
        assert!(answering.may_publish(&subject("a"), Duration::from_secs(10)));
        assert!(!answering.may_publish(&subject("a"), now), "a third answer");
        answering.note_request("b", now);
        let late = Duration::from_millis(10_001);
        assert!(!answering.may_publish(&subject("b"), late));
    }

    #[test]
    fn a_wide_subscription_receives_nothing_that_is_denied() {
        let mut grants = grants([&[], &[]], [&["a.>"], &["a.x"]], None);
        assert!(!grants.may_subscribe(&pattern("a.x"), None));
        assert!(!grants.may_subscribe(&pattern("b"), None));
        assert!(grants.may_receive(&subject("a.x")), "nothing wide yet");
        assert!(grants.may_subscribe(&pattern("a.*"), None));
        assert!(!grants.may_receive(&subject("a.x")));
        assert!(grants.may_receive(&subject("a.y")));
    }

    #[test]
    fn an_entry_may_be_for_one_queue_alone() {
        let mut grants = grants([&[], &[]], [&["a workers", "b"], &[]], None);
        assert!(grants.may_subscribe(&pattern("a"), Some("workers")));
        assert!(!grants.may_subscribe(&pattern("a"), Some("others")));
        assert!(!grants.may_subscribe(&pattern("a"), None));
        assert!(grants.may_subscribe(&pattern("b"), Some("any")));
    }
}

//! A pattern that knows its topic.

use super::Topic;
use crate::subject::Pattern;
use std::fmt;
use std::marker::PhantomData;

/// The subjects of a topic that one wants: the whole family, one subject, or something between.
///
/// [`Topic::any`] makes the widest; the derived `filter` fixes some of the places; `&topic`
/// converts into the narrowest.
pub struct Filter<T> {
    pattern: Pattern,
    topic: PhantomData<fn() -> T>,
}

impl<T: Topic> Filter<T> {
    /// Wraps a pattern that is known to lie within the family.
    pub(crate) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            topic: PhantomData,
        }
    }

    /// Leaves open each place that has no value; values beyond the last place are ignored. The
    /// derived `filter` calls this with the places' own types.
    #[must_use]
    pub fn with(values: &[Option<crate::Token>]) -> Self {
        let values: Vec<_> = values.iter().map(Option::as_ref).collect();
        Self::new(T::TEMPLATE.pattern(&values))
    }

    /// Returns the pattern to subscribe to.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl<T: Topic> From<&T> for Filter<T> {
    fn from(topic: &T) -> Self {
        Self::new(topic.subject().into())
    }
}

impl<T> Clone for Filter<T> {
    fn clone(&self) -> Self {
        Self {
            pattern: self.pattern.clone(),
            topic: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Filter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.pattern).finish()
    }
}

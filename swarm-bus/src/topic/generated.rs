//! What the code written by `derive(Topic)` calls: a subject read and written piece by piece,
//! with the pieces known at compile time.

pub use crate::catalogue::probe::*;

use super::{Parameter, ParseTopicError, Template, Topic};
use crate::subject::{Subject, Token};
use arrayvec::ArrayString;

/// Reads the value `token` as the parameter `name`.
#[inline]
pub fn parameter<P: Parameter>(token: &str, name: &'static str) -> Result<P, ParseTopicError> {
    P::from_text(token).ok_or_else(|| ParseTopicError::Parameter {
        name,
        token: Token::from_checked(token),
    })
}

/// Takes the next value and reads it as the parameter `name`.
pub fn next_parameter<P: Parameter>(
    values: &mut std::slice::Iter<'_, Token>,
    name: &'static str,
) -> Result<P, ParseTopicError> {
    let token = values.next().ok_or(ParseTopicError::Missing { name })?;
    parameter(token.as_str(), name)
}

/// Returns the values at the places of a subject. `pieces` is what stands before each place in
/// the template, `last` what stands behind the last.
///
/// # Errors
/// [`ParseTopicError::OtherFamily`].
#[inline]
pub fn values<'a, T: Topic, const N: usize>(
    subject: &'a Subject,
    pieces: [&str; N],
    last: &str,
) -> Result<[&'a str; N], ParseTopicError> {
    let mut left = subject.as_str();
    let mut values = [""; N];
    for (piece, value) in pieces.into_iter().zip(&mut values) {
        let Some(rest) = left.strip_prefix(piece) else {
            return Err(other_family::<T>(subject));
        };
        let length = rest.bytes().position(|byte| byte == b'.');
        (*value, left) = rest.split_at(length.unwrap_or(rest.len()));
        if value.is_empty() || value.len() > Token::MAX_LENGTH {
            return Err(other_family::<T>(subject));
        }
    }
    match left == last {
        true => Ok(values),
        false => Err(other_family::<T>(subject)),
    }
}

#[cold]
fn other_family<T: Topic>(subject: &Subject) -> ParseTopicError {
    ParseTopicError::OtherFamily {
        subject: subject.clone(),
        template: T::TEMPLATE,
    }
}

/// A subject as it is written. It has room for the longest that a template can make.
#[derive(Debug, Default)]
pub struct SubjectText(ArrayString<{ Subject::MAX_LENGTH }>);

impl SubjectText {
    /// Begins with a piece of the template.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece of the template.
    #[inline]
    pub fn piece(&mut self, piece: &'static str) {
        self.0.push_str(piece);
    }

    /// Adds a value.
    #[inline]
    pub fn value(&mut self, value: &impl Parameter) {
        value.with_text(|token| self.0.push_str(token));
    }

    /// Returns the subject.
    #[inline]
    #[must_use]
    pub fn finish(&self) -> Subject {
        Subject::from_checked(self.0.as_str())
    }
}

// Values of the longest length at the most places, and the longest template: it fits.
const _: () = assert!(
    Template::MAX_LENGTH + Template::MAX_PARAMETERS * Token::MAX_LENGTH <= Subject::MAX_LENGTH
);

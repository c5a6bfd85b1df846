//! The PEM blocks of a text, one after the other (RFC 7468).

use super::GrantFileError;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block of a text, its borders included.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) text: &'a str,
}

/// Walks over the blocks of a text; what stands between them is passed over.
pub(super) struct Blocks<'a>(&'a str);

impl<'a> Blocks<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Takes the next block, which must be of this kind.
    pub(super) fn expect(
        &mut self,
        label: &'static str,
        what: &'static str,
    ) -> Result<&'a str, GrantFileError> {
        match self.next_block()? {
            Some(block) if block.label == label => Ok(block.text),
            Some(block) => Err(GrantFileError::UnexpectedBlock(shown(block.label))),
            None => Err(GrantFileError::Missing(what)),
        }
    }

    /// Takes the next block; `None` at the end of the text.
    pub(super) fn next_block(&mut self) -> Result<Option<Block<'a>>, GrantFileError> {
        let Some(start) = line_that_starts_with(self.0, BEGIN) else {
            return Ok(None);
        };
        let text = &self.0[start..];
        let (label, body) = text[BEGIN.len()..]
            .split_once(DASHES)
            .filter(|(label, _)| !label.contains('\n'))
            .ok_or(GrantFileError::CutOff)?;
        let end = format!("-----END {label}-----");
        let last = line_that_starts_with(body, &end).ok_or(GrantFileError::CutOff)?;
        let length = text.len() - body.len() + last + end.len();
        self.0 = &text[length..];
        Ok(Some(Block {
            label,
            text: &text[..length],
        }))
    }
}

/// Finds where a line begins with a text.
fn line_that_starts_with(text: &str, start: &str) -> Option<usize> {
    text.match_indices(start)
        .map(|(at, _)| at)
        .find(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')
}

/// A label of somebody else's making, for a message.
pub(super) fn shown(label: &str) -> String {
    label.chars().filter(|c| !c.is_control()).take(64).collect()
}

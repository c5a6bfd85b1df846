//! The template, checked where the error can point at it.

use syn::{Error, LitStr, Result};

/// `swarm_bus::Template::MAX_PARAMETERS` and `MAX_LENGTH`.
const MAX_PLACES: usize = 8;
const MAX_LENGTH: usize = 512;

/// Returns the names of the places in order.
///
/// `swarm_bus::Template::new` checks the same again at compile time; here it is for the sake of
/// errors that point at the attribute and speak of the place.
pub(crate) fn places(template: &LitStr) -> Result<Vec<String>> {
    let text = template.value();
    if text.len() > MAX_LENGTH {
        let length = text.len();
        return Err(Error::new(
            template.span(),
            format!("the template has {length} bytes, {MAX_LENGTH} are allowed"),
        ));
    }
    let fail = |message: String| Err(Error::new(template.span(), message));
    let mut places: Vec<String> = Vec::new();
    for token in text.split('.') {
        if token.is_empty() {
            return fail(format!("a token of `{text}` is empty"));
        }
        if let Some(name) = token.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            if syn::parse_str::<syn::Ident>(name).is_err() {
                return fail(format!("`{{{name}}}` does not name a field"));
            }
            if places.iter().any(|place| place == name) {
                return fail(format!("`{{{name}}}` stands twice in the template"));
            }
            places.push(name.to_owned());
            if places.len() > MAX_PLACES {
                return fail(format!("more than {MAX_PLACES} places"));
            }
            continue;
        }
        if token.contains(['{', '}']) {
            return fail(format!("in `{token}` a place must be the whole token"));
        }
        if let Some(bad) = token
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, '*' | '>'))
        {
            return fail(format!(
                "`{bad}` in `{token}` is not allowed; a place is written {{name}}"
            ));
        }
    }
    Ok(places)
}

/// Returns what stands before each place of a template that was checked, and what stands behind the
/// last.
pub(crate) fn pieces(template: &LitStr) -> (Vec<String>, String) {
    let text = template.value();
    let mut left = text.as_str();
    let mut pieces = Vec::new();
    while let Some((piece, (_, rest))) = left
        .split_once('{')
        .and_then(|(piece, rest)| Some((piece, rest.split_once('}')?)))
    {
        pieces.push(piece.to_owned());
        left = rest;
    }
    (pieces, left.to_owned())
}

//! A reader of nats-server's configuration language, lenient and bounded: it is there to look at
//! files that nats-server takes, and says of others only that it cannot.

/// A value, and the line that it begins in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A string, number, boolean, date or variable, without its quotes.
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The last value under a key, as nats-server takes it; keys know no case.
    pub(super) fn get(&self, names: &[&str]) -> Option<&Value> {
        let fits = |key: &String| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        self.entries()
            .iter()
            .rev()
            .find(|(key, _)| fits(key))
            .map(|(_, value)| value)
    }

    pub(super) fn entries(&self) -> &[(String, Value)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of another value, itself.
    pub(super) fn items(&self) -> &[Value] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        self.text().is_some_and(|text| {
            ["true", "yes", "on"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word))
        })
    }
}

/// Reads a configuration.
///
/// # Errors
/// The line at which it could not be read, and why.
pub(super) fn parse(text: &str) -> Result<Value, (usize, &'static str)> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        depth: 0,
    };
    let entries = reader.entries(None)?;
    Ok(Value {
        line: 1,
        kind: Kind::Map(entries),
    })
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    depth: usize,
}

type Read<T> = Result<T, (usize, &'static str)>;

impl<'t> Reader<'t> {
    /// Nested deeper than any configuration is.
    const DEPTH: usize = 64;

    fn fail<T>(&self, why: &'static str) -> Read<T> {
        Err((self.line, why))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.bytes().filter(|b| *b == b'\n').count();
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Skips space, separators between entries, and comments.
    fn skip(&mut self, separators: &str) {
        loop {
            self.take_while(|c| c.is_whitespace() || separators.contains(c));
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else {
                return;
            }
        }
    }

    /// Entries up to a closing brace, or to the end of the text.
    fn entries(&mut self, close: Option<char>) -> Read<Vec<(String, Value)>> {
        let mut entries = Vec::new();
        loop {
            self.skip(",;");
            match self.peek() {
                None if close.is_none() => return Ok(entries),
                None => return self.fail("a brace is not closed"),
                Some(c) if Some(c) == close => {
                    self.take(1);
                    return Ok(entries);
                }
                Some(_) => {}
            }
            let key = self.key()?;
            self.take_while(|c| c.is_whitespace() && c != '\n');
            if self.rest.starts_with([':', '=']) {
                self.take(1);
            }
            self.skip("");
            let value = self.value()?;
            entries.push((key, value));
        }
    }

    fn key(&mut self) -> Read<String> {
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            return self.quoted(quote);
        }
        let key = self.take_while(|c| !c.is_whitespace() && !":={}[],;#\"'".contains(c));
        if key.is_empty() {
            return self.fail("a key is expected");
        }
        Ok(key.to_owned())
    }

    fn quoted(&mut self, quote: char) -> Read<String> {
        self.take(1);
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote && c != '\\'));
            match self.peek() {
                Some('\\') if quote == '"' => {
                    self.take(1);
                    let Some(escaped) = self.peek() else { continue };
                    self.take(escaped.len_utf8());
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                Some('\\') => text.push_str(self.take(1)),
                Some(_) => {
                    self.take(1);
                    return Ok(text);
                }
                None => return self.fail("a string is not closed"),
            }
        }
    }

    fn value(&mut self) -> Read<Value> {
        if self.depth == Self::DEPTH {
            return self.fail("nested too deep");
        }
        self.depth += 1;
        let line = self.line;
        let kind = match self.peek() {
            None => return self.fail("a value is expected"),
            Some('{') => {
                self.take(1);
                Kind::Map(self.entries(Some('}'))?)
            }
            Some('[') => Kind::List(self.list()?),
            Some('(') => {
                self.take(1);
                let text = self.take_while(|c| c != ')').to_owned();
                self.take(usize::from(!self.rest.is_empty()));
                Kind::Text(text)
            }
            Some(quote @ ('"' | '\'')) => Kind::Text(self.quoted(quote)?),
            Some(_) => {
                let text = self.take_while(|c| !c.is_whitespace() && !"{}[],;#".contains(c));
                if text.is_empty() {
                    return self.fail("a value is expected");
                }
                Kind::Text(text.to_owned())
            }
        };
        self.depth -= 1;
        Ok(Value { line, kind })
    }

    fn list(&mut self) -> Read<Vec<Value>> {
        self.take(1);
        let mut items = Vec::new();
        loop {
            self.skip(",");
            match self.peek() {
                None => return self.fail("a bracket is not closed"),
                Some(']') => {
                    self.take(1);
                    return Ok(items);
                }
                Some(_) => items.push(self.value()?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_language_is_read_as_nats_server_reads_it() {
        let text = "# c\na: 1, b = \"x\\\"y\"; 'c' { d [1 2,\n3] // c\n e: $V }\nlisten: 127.0.0.1:4222\nA: 2\n";
        let value = parse(text).unwrap();
        assert_eq!(value.get(&["a"]).unwrap().text(), Some("2"));
        assert_eq!(value.get(&["B"]).unwrap().text(), Some("x\"y"));
        let c = value.get(&["c"]).unwrap();
        assert_eq!((c.line, c.get(&["d"]).unwrap().items().len()), (2, 3));
        assert_eq!(
            c.get(&["e"]).map(|e| (e.line, e.text())),
            Some((4, Some("$V")))
        );
        assert_eq!(
            value.get(&["listen"]).unwrap().text(),
            Some("127.0.0.1:4222")
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line() {
        assert_eq!(parse("a: 1\nb {\n"), Err((3, "a brace is not closed")));
        assert_eq!(parse("a: \"x"), Err((1, "a string is not closed")));
        assert_eq!(parse("a: 1\n}\n"), Err((2, "a key is expected")));
        assert_eq!(parse(&"a {".repeat(100)), Err((1, "nested too deep")));
        assert_eq!(parse(&"a [".repeat(100)), Err((1, "nested too deep")));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-c \\n{}\\[\\]:=\"'\\\\#/(),;é]{0,80}") {
            let _ = parse(&text);
        }
    }
}

//! What people hand to a command: texts from files or standard input, and passphrases.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::report::Failure;

/// Reads a text of at most `longest` bytes from a file; from standard input for `-` or nothing.
pub(crate) fn text(file: Option<&Path>, longest: usize) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let limit = longest as u64 + 1;
    let (name, read) = match file.filter(|path| path.as_os_str() != "-") {
        None => {
            let read = std::io::stdin()
                .lock()
                .take(limit)
                .read_to_string(&mut text);
            ("standard input".to_owned(), read)
        }
        Some(path) => {
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(limit).read_to_string(&mut text));
            (path.display().to_string(), read)
        }
    };
    read.map_err(|error| Failure::input(format!("cannot read {name}: {error}")))?;
    if text.len() > longest {
        return Err(Failure::input(format!(
            "{name} is longer than {longest} bytes"
        )));
    }
    Ok(text)
}

/// The most that is read of a value: what any server takes in one message.
const LONGEST: u64 = 64 << 20;

/// Takes a value from the command line; from standard input for `-` or nothing.
pub(crate) fn given(value: Option<String>) -> Result<Vec<u8>, Failure> {
    if let Some(value) = value.filter(|value| value != "-") {
        return Ok(value.into_bytes());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::input(format!("cannot read standard input: {error}")))?;
    match bytes.len() as u64 > LONGEST {
        true => Err(Failure::input(format!(
            "standard input is longer than {LONGEST} bytes"
        ))),
        false => Ok(bytes),
    }
}

/// Reads a passphrase: the first line of a file.
pub(crate) fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = text(Some(path), 64 * 1024)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Zeroizing::new(line.as_bytes().to_vec())),
        None => Err(Failure::input(format!(
            "{} has no passphrase on its first line",
            path.display()
        ))),
    }
}

//! Guesses at what was meant.

/// The candidate nearest to a text, when it is near enough to have been meant.
pub(crate) fn closest<'c>(
    text: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // No key is longer than this, and the distance costs the product of both lengths.
    if text.len() > 40 {
        return None;
    }
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The edits between two texts: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let keys = ["name", "domain", "network", "network6"];
        for (slip, meant) in [
            ("netwrok", "network"),
            ("Network", "network"),
            ("nam", "name"),
            ("network_6", "network6"),
        ] {
            assert_eq!(closest(slip, keys), Some(meant), "{slip}");
        }
        assert_eq!(closest("colour", keys), None);
        assert_eq!(closest("", ["a"]), Some("a"));
        assert_eq!(closest(&"n".repeat(1000), keys), None);
    }
}

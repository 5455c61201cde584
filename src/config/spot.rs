//! A place in a text file, to be shown to the person who wrote it.

use std::{ops::Range, path::PathBuf};

/// A stretch of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Characters, at least 1.
    pub length: usize,
    /// The whole line.
    pub text: String,
}

impl Spot {
    /// Finds the line of a byte range.
    pub fn new(path: PathBuf, text: &str, range: Range<usize>) -> Self {
        let start = floor_char_boundary(text, range.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let end = floor_char_boundary(text, range.end)
            .clamp(start, line_start + line.len().max(start - line_start));
        Self {
            path,
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            length: text[start..end].chars().count().max(1),
            text: line.to_owned(),
        }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_shown_by_line_column_and_length() {
        let text = "eins\nzwöi = drei\n";
        let at = text.find("drei").unwrap();

        let spot = Spot::new(PathBuf::new(), text, at..at + 4);

        assert_eq!((spot.line, spot.column, spot.length), (2, 8, 4));
        assert_eq!(spot.text, "zwöi = drei");
    }

    #[test]
    fn a_range_over_several_lines_or_beyond_the_end_stays_on_one_line() {
        let text = "a = [\n1\n]";

        assert_eq!(Spot::new(PathBuf::new(), text, 4..9).length, 1);
        assert_eq!(Spot::new(PathBuf::new(), text, 90..99).line, 3);
        assert_eq!(Spot::new(PathBuf::new(), "", 0..0).column, 1);
    }
}

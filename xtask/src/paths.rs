//! The names that a source speaks: `use a::{b, c::d}` speaks `a::b` and `a::c::d`.
//!
//! Invariant: a path is reported once, on the line of its last segment, with groups spelled out and `self` dropped.

/// One path of a source, not resolved: what stands there, no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Spoken<'a> {
    /// Its segments; a lone word is a path of one.
    pub segments: Vec<&'a str>,
    /// Line of the last segment, from 1.
    pub line: usize,
    /// It ends in `::*`.
    pub glob: bool,
    /// It is followed by `!`: a macro's call.
    pub called_as_macro: bool,
    /// It is followed by `as`.
    pub renamed: bool,
}

impl Spoken<'_> {
    /// The path as it would be written.
    pub fn written(&self) -> String {
        let glob = if self.glob { "::*" } else { "" };
        format!("{}{glob}", self.segments.join("::"))
    }

    /// Whether this reaches `path`: names it, something inside it, or (by a glob, or by naming a module whole) all around it.
    ///
    /// A `path` of one segment is reached wherever it stands in a path.
    pub fn reaches(&self, path: &str) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        if let [word] = wanted[..] {
            return self.segments.contains(&word);
        }
        let around = wanted.starts_with(&self.segments)
            && (self.glob || self.renamed || self.segments.len() > 1);
        self.segments.starts_with(&wanted) || around
    }
}

/// Lists the paths of stripped `code` in their order.
pub fn paths(code: &str) -> Vec<Spoken<'_>> {
    let mut reader = Reader {
        tokens: tokens(code),
        at: 0,
        spoken: Vec::new(),
    };
    while let Some((token, _)) = reader.peek(0) {
        if is_word(token) {
            reader.path(&[])
        } else {
            reader.at += 1
        }
    }
    reader.spoken
}

struct Reader<'a> {
    tokens: Vec<(&'a str, usize)>,
    at: usize,
    spoken: Vec<Spoken<'a>>,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> Option<(&'a str, usize)> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn next_is(&self, ahead: usize, token: &str) -> bool {
        self.peek(ahead).is_some_and(|(next, _)| next == token)
    }

    /// Reads the path that starts with the word at hand, inside the group of `prefix`.
    fn path(&mut self, prefix: &[&'a str]) {
        let mut segments = prefix.to_vec();
        let mut line = 0;
        while let Some((word, at)) = self.peek(0).filter(|(word, _)| is_word(word)) {
            segments.push(word);
            line = at;
            self.at += 1;
            if !self.next_is(0, "::") {
                break;
            }
            if self.next_is(1, "{") {
                self.at += 2;
                return self.group(&segments);
            }
            if self.next_is(1, "*") {
                self.at += 2;
                return self.speak(segments, line, true);
            }
            if !self.peek(1).is_some_and(|(word, _)| is_word(word)) {
                break;
            }
            self.at += 1;
        }
        if segments.len() > 1 && segments.last() == Some(&"self") {
            segments.pop();
        }
        self.speak(segments, line, false);
    }

    /// Reads the paths of a group whose brace is behind us.
    fn group(&mut self, prefix: &[&'a str]) {
        while let Some((token, line)) = self.peek(0) {
            match token {
                "}" => {
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    self.speak(prefix.to_vec(), line, true);
                }
                "as" => self.at += 2,
                word if is_word(word) => self.path(prefix),
                _ => self.at += 1,
            }
        }
    }

    fn speak(&mut self, segments: Vec<&'a str>, line: usize, glob: bool) {
        let (called_as_macro, renamed) = (self.next_is(0, "!"), self.next_is(0, "as"));
        self.spoken.push(Spoken {
            segments,
            line,
            glob,
            called_as_macro,
            renamed,
        });
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single characters, each with its line.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (code, 1);
    while let Some(first) = rest.chars().next() {
        let word: usize = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .map(char::len_utf8)
            .sum();
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        line += usize::from(first == '\n');
        if !first.is_whitespace() {
            tokens.push((&rest[..length], line));
        }
        rest = &rest[length..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(code: &str) -> Vec<String> {
        paths(code).iter().map(Spoken::written).collect()
    }

    fn any_reaches(code: &str, path: &str) -> bool {
        paths(code).iter().any(|spoken| spoken.reaches(path))
    }

    #[test]
    fn groups_are_spelled_out() {
        let spoken = written("use std::{self, fs::File, time::{Duration, Instant as Now}, io::*};");

        assert_eq!(
            spoken,
            [
                "use",
                "std",
                "std::fs::File",
                "std::time::Duration",
                "std::time::Instant",
                "std::io::*"
            ]
        );
    }

    #[test]
    fn a_path_in_an_expression_ends_before_its_type_arguments() {
        assert_eq!(
            written("std::iter::once::<u8>(b)"),
            ["std::iter::once", "u8", "b"]
        );
    }

    #[test]
    fn a_path_is_told_with_its_line() {
        let code = "use a::{\n    b,\n    c,\n};\n";

        let lines: Vec<_> = paths(code).iter().map(|spoken| spoken.line).collect();

        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn a_macro_is_told_from_a_function() {
        let code = "println!(x); print(x); a::dbg!(x)";

        let macros: Vec<_> = paths(code)
            .iter()
            .filter(|spoken| spoken.called_as_macro)
            .map(Spoken::written)
            .collect();

        assert_eq!(macros, ["println", "a::dbg"]);
    }

    #[test]
    fn an_item_inside_a_module_reaches_the_module() {
        assert!(any_reaches("::std::net::TcpStream::connect(a)", "std::net"));
        assert!(any_reaches("use std::{io, net};", "std::net"));
        assert!(!any_reaches("use std::{io, network};", "std::net"));
        assert!(!any_reaches("core::net::IpAddr", "std::net"));
    }

    #[test]
    fn a_module_taken_whole_reaches_what_is_inside() {
        assert!(any_reaches("use std::time;", "std::time::Instant"));
        assert!(any_reaches("use std::time::*;", "std::time::Instant"));
        assert!(any_reaches("use std::*;", "std::net"));
        assert!(any_reaches("use std as s;", "std::net"));
        assert!(!any_reaches(
            "use std::time::Duration;",
            "std::time::Instant"
        ));
        assert!(!any_reaches("extern crate std;", "std::net"));
    }

    #[test]
    fn a_lone_word_is_reached_in_any_position() {
        assert!(any_reaches(
            "std::arch::is_x86_feature_detected!(x)",
            "is_x86_feature_detected"
        ));
        assert!(any_reaches("tokio::spawn(x)", "tokio"));
    }

    #[test]
    fn an_unfinished_group_ends_with_the_file() {
        assert_eq!(written("use a::{b, c::{d"), ["use", "a::b", "a::c::d"]);
    }
}

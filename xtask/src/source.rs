//! A Rust source split into what runs, what only tests run, and what is mere text.
//!
//! Invariant: every view has as many lines as the file, so that a line number found in one is valid in all.
//! Source: lexical structure of the Rust reference: comments nest, raw strings count their hashes, `'a` is not a character.

use std::ops::{Range, RangeInclusive};

/// Where a source file lies in its package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Part of a library or a binary.
    Shipped,
    /// A build script.
    BuildScript,
    /// Under `tests/`, `benches/` or `examples/`, or a module that only tests include.
    Test,
}

/// The views of one source file.
#[derive(Debug)]
pub struct Source {
    /// Path under the workspace root.
    pub path: String,
    /// Where it lies.
    pub role: Role,
    /// The code: comments blanked, the contents of strings and characters replaced by quotes.
    pub code: String,
    /// The code that is not only for tests.
    pub shipped: String,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Source {
    /// Reads the source `text` found at `path`.
    pub fn new(path: &str, role: Role, text: &str) -> Self {
        let code = strip(text);
        let mut shipped = code.clone();
        let only_tests = if role == Role::Test {
            std::iter::once(0..code.len()).collect()
        } else {
            test_items(&code)
        };
        let line_at = |at: usize| code[..at].matches('\n').count() + 1;
        let test_lines = only_tests
            .iter()
            .map(|range| line_at(range.start)..=line_at(range.end))
            .collect();
        for range in only_tests {
            shipped.replace_range(range.clone(), &blanks(&code[range]));
        }
        Self {
            path: path.to_owned(),
            role,
            code,
            shipped,
            test_lines,
        }
    }

    /// The names of the modules in other files that only tests include: `#[cfg(test)] mod name;`.
    pub fn test_modules(&self) -> Vec<&str> {
        test_items(&self.code)
            .into_iter()
            .filter_map(|range| {
                self.code[range]
                    .trim_end()
                    .strip_suffix(';')?
                    .rsplit_once("mod ")
                    .map(|(_, name)| name.trim())
            })
            .collect()
    }

    /// Whether what stands on `line` (counted from 1) is for tests alone.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Turns the whole file into one that only tests include.
    pub fn leave_to_tests(&mut self) {
        *self = Self::new(&self.path, Role::Test, &self.code);
    }

    /// Lines of code that are shipped: neither blank, nor comment, nor test.
    pub fn shipped_lines(&self) -> usize {
        self.shipped
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
    }
}

/// `text` with every byte but the line ends replaced by a space.
fn blanks(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}

/// Blanks comments and fills literals with quotes.
fn strip(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let (end, fill) = match comment(bytes, at) {
            Some(end) => (end, ' '),
            None => match literal(bytes, at) {
                Some(end) => (end, '"'),
                None => {
                    let end = word(text, at);
                    code.push_str(&text[at..end]);
                    at = end;
                    continue;
                }
            },
        };
        code.extend(
            bytes[at..end]
                .iter()
                .map(|&byte| if byte == b'\n' { '\n' } else { fill }),
        );
        at = end;
    }
    code
}

/// The end of the word at `at`, or of the single character there. Words are kept whole so that `br` in `abbr"` starts no string.
fn word(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let letters: usize = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .map(char::len_utf8)
        .sum();
    at + if letters > 0 {
        letters
    } else {
        rest.chars().next().map_or(1, char::len_utf8)
    }
}

/// The end of the comment that starts at `at`, if one does.
fn comment(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(
            at + rest
                .iter()
                .position(|&byte| byte == b'\n')
                .unwrap_or(rest.len()),
        );
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut end) = (0_usize, at);
    loop {
        match bytes.get(end..end + 2) {
            Some(b"/*") => (depth, end) = (depth + 1, end + 2),
            Some(b"*/") => (depth, end) = (depth - 1, end + 2),
            Some(_) => end += 1,
            None => return Some(bytes.len()),
        }
        if depth == 0 {
            return Some(end);
        }
    }
}

/// The end of the string or character literal that starts at `at`, if one does.
fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let prefix = rest
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b'b' | b'c' | b'r'))
        .count();
    let raw = prefix > 0 && rest[prefix - 1] == b'r';
    let hashes = if raw {
        rest[prefix..]
            .iter()
            .take_while(|&&byte| byte == b'#')
            .count()
    } else {
        0
    };
    match rest.get(prefix + hashes)? {
        b'"' if raw => {
            let close: Vec<u8> = std::iter::once(b'"')
                .chain(std::iter::repeat_n(b'#', hashes))
                .collect();
            let body = prefix + hashes + 1;
            let length = rest[body..]
                .windows(close.len())
                .position(|window| window == close);
            Some(length.map_or(bytes.len(), |length| at + body + length + close.len()))
        }
        b'"' => Some(quoted(bytes, at + prefix + 1, b'"')),
        b'\'' if hashes == 0 && is_character(&rest[prefix + 1..]) => {
            Some(quoted(bytes, at + prefix + 1, b'\''))
        }
        _ => None,
    }
}

/// Tells `'a'` from the lifetime `'a`.
fn is_character(after_quote: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&after_quote[..after_quote.len().min(8)]);
    let mut characters = text.chars();
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn quoted(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The items of stripped `code` that stand under `#[cfg(test)]` or `#[cfg(all(test, …))]`, with the attribute.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("cfg(") {
        let arguments = at + found + "cfg(".len();
        at = arguments;
        let condition = code[arguments..].trim_start();
        let condition = condition
            .strip_prefix("all(")
            .unwrap_or(condition)
            .trim_start();
        let ends_word = condition
            .strip_prefix("test")
            .is_some_and(|rest| rest.trim_start().starts_with([')', ',']));
        let before = code[..arguments - "cfg(".len()].trim_end();
        if !ends_word {
            continue;
        }
        if before.ends_with("#![") {
            return std::iter::once(0..code.len()).collect();
        }
        if let Some(start) = before.strip_suffix("#[").map(str::len) {
            let end = item_end(code, arguments);
            items.push(start..end);
            at = end;
        }
    }
    items
}

/// The end of the item whose attribute's arguments start at `at`: its closing brace, or its semicolon outside all brackets.
fn item_end(code: &str, at: usize) -> usize {
    // Inside the attribute: one `[` and one `(` are open.
    let mut depth = 2_usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' if depth == 0 => return offset,
            b'}' if depth == 1 => return offset + 1 + semicolon(&code[offset + 1..]),
            b'}' => depth -= 1,
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The length of the semicolon that closes `use a::{b};` after its brace, with the space before it.
fn semicolon(after_brace: &str) -> usize {
    let space = after_brace.len() - after_brace.trim_start().len();
    if after_brace[space..].starts_with(';') {
        space + 1
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("room/src/lib.rs", Role::Shipped, text)
    }

    #[test]
    fn comments_vanish_and_lines_stay() {
        let source = source("a /* x /* y */\n z */ b // std::net\nc");

        assert_eq!(
            source.code.split_whitespace().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(source.code.lines().count(), 3);
    }

    #[test]
    fn what_strings_say_is_not_code() {
        for text in [
            r#"f("std::net \" x")"#,
            r###"f(r#"std::net " x"#)"###,
            r#"f(b"std::net")"#,
            r#"f(br"std::net\")"#,
            r#"f(c"std::net")"#,
        ] {
            let code = source(text).code;

            assert!(
                !code.contains("net") && code.starts_with("f(\"") && code.ends_with("\")"),
                "{text} became {code}"
            );
        }
    }

    #[test]
    fn a_lifetime_opens_no_character() {
        let source = source(
            "fn f<'a>(x: &'a str, c: char) -> bool { c == '\"' || c == '\\'' || c == 'é' || x == \"net\" }",
        );

        assert!(
            source.code.contains("&'a str")
                && source.code.ends_with("}")
                && !source.code.contains("net")
        );
    }

    #[test]
    fn a_word_that_ends_in_a_prefix_letter_is_a_word() {
        assert_eq!(source("abbr r#fn").code, "abbr r#fn");
    }

    #[test]
    fn an_unfinished_literal_or_comment_ends_with_the_file() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'\\", "\"abc\\"] {
            assert_eq!(source(text).code.len(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_test_module_is_not_shipped_and_what_follows_is() {
        let source =
            source("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { { } }\n}\nfn c() {}\n");

        assert_eq!(
            source.shipped.split_whitespace().collect::<String>(),
            "fna(){}fnc(){}"
        );
        assert_eq!(source.shipped_lines(), 2);
    }

    #[test]
    fn a_test_import_ends_at_its_semicolon() {
        let source = source("#[cfg(test)]\nuse std::{fs, env};\nfn c() {}\n");

        assert_eq!(source.shipped.trim(), "fn c() {}");
    }

    #[test]
    fn an_array_length_does_not_end_a_test_item() {
        let source = source("#[cfg(test)]\nconst A: [u8; 2] = [0; 2];\nfn c() {}\n");

        assert_eq!(source.shipped.trim(), "fn c() {}");
    }

    #[test]
    fn a_condition_that_also_holds_outside_tests_is_shipped() {
        for condition in ["any(test, feature = \"x\")", "not(test)", "testing"] {
            let source = source(&format!("#[cfg({condition})]\nmod m {{ fn f() {{}} }}\n"));

            assert!(source.shipped.contains("fn f"), "{condition}");
        }
    }

    #[test]
    fn a_file_under_an_inner_test_condition_is_not_shipped() {
        assert_eq!(source("#![cfg(test)]\nfn f() {}\n").shipped_lines(), 0);
    }

    #[test]
    fn a_module_that_only_tests_include_is_named() {
        let source = source(
            "#[cfg(test)]\nmod pair;\nmod real;\n#[cfg(all(test, unix))]\npub(crate) mod model;\n#[cfg(test)]\nmod inline { }\n",
        );

        assert_eq!(source.test_modules(), ["pair", "model"]);
    }

    #[test]
    fn the_lines_of_a_test_module_are_told_from_the_others() {
        let source = source("fn a() {}\n#[cfg(test)]\nmod tests {\n\n}\n\nfn c() {}\n");

        let lines: Vec<_> = (1..=7).filter(|line| source.is_test_line(*line)).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
    }
}

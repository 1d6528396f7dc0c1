//! A Rust file as the rules see it: text, code without comments and literals, tests told apart.

use std::ops::RangeInclusive;

/// A file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// The lines as they stand.
    pub(crate) text: Vec<String>,
    /// The same lines with comments and the insides of literals blanked; empty unless Rust.
    pub(crate) code: Vec<String>,
    /// Which lines are test code.
    pub(crate) test: Vec<bool>,
    /// Modules in files of their own that exist for tests only.
    pub(crate) test_modules: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let rust = path.ends_with(".rs");
        let code = if rust { lines(&blank(text)) } else { Vec::new() };
        let mut source = Self {
            path: path.to_owned(),
            text: lines(text),
            test: vec![is_test_path(path); code.len()],
            code,
            test_modules: Vec::new(),
        };
        source.mark_tests();
        source
    }

    /// Line numbers from 1 and code of everything that ships.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.test).enumerate();
        lines.filter(|(_, (_, test))| !**test).map(|(at, (code, _))| (at + 1, code.as_str()))
    }

    /// Line numbers from 1 and the text of every line.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// From the line at index `from` to the end of the block, or to the `;` if that comes first.
    pub(crate) fn item(&self, from: usize) -> RangeInclusive<usize> {
        let mut depth = 0_i32;
        let mut round = 0_i32;
        for (at, line) in self.code.iter().enumerate().skip(from) {
            for c in line.chars() {
                match c {
                    '(' | '[' => round += 1,
                    ')' | ']' => round -= 1,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                let ended = (c == '}' && depth <= 0) || (c == ';' && depth == 0);
                if ended && round <= 0 {
                    return from..=at;
                }
            }
        }
        from..=self.code.len().saturating_sub(1)
    }

    fn mark_tests(&mut self) {
        for at in 0..self.code.len() {
            if !is_test_cfg(&self.code[at]) {
                continue;
            }
            let start = (at + 1..self.code.len())
                .find(|&next| !self.code[next].trim_start().starts_with("#["))
                .unwrap_or(at);
            let item = self.item(start);
            if let Some(name) = module_file(&self.code[start]) {
                self.test_modules.extend(module_paths(&self.path, name));
            }
            for line in at..=*item.end() {
                self.test[line] = true;
            }
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(str::to_owned).collect()
}

fn is_test_path(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.starts_with("scripts/canaries/")
}

fn is_test_cfg(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[cfg(") && has_word(line, "test") && !line.contains("not(test")
}

/// The name in `mod name;`.
fn module_file(line: &str) -> Option<&str> {
    let (before, name) = line.split_once("mod ")?;
    let declared = before.is_empty() || before.ends_with(' ');
    declared.then(|| name.trim().strip_suffix(';')).flatten()
}

/// Where module `name`, declared in the file `path`, lies: its file, and the folder below it.
fn module_paths(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let base = match stem {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    [format!("{base}/{name}.rs"), format!("{base}/{name}/")]
}

/// Whether `word` stands in `line` and is no part of a longer word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

/// The text with comments and the insides of literals replaced by blanks, line by line.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`, if one does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1);
    match (chars[at], next) {
        ('/', Some('/')) => Some(find(chars, at, |c| c == '\n')),
        ('/', Some('*')) => Some(comment_end(chars, at)),
        ('"', _) => Some(string_end(chars, at)),
        ('r', Some('"' | '#')) if !in_word(chars, at) => raw_string_end(chars, at),
        ('\'', Some('\\')) => Some(find(chars, at + 3, |c| c == '\'') + 1),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// Whether the character before `at` continues a word; a `b` or `c` of a literal's prefix does not.
fn in_word(chars: &[char], at: usize) -> bool {
    let word = |at: usize| chars[at].is_alphanumeric() || chars[at] == '_';
    match at.checked_sub(1) {
        Some(before) if matches!(chars[before], 'b' | 'c') => before > 0 && word(before - 1),
        Some(before) => word(before),
        None => false,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| wanted(chars[at])).unwrap_or(chars.len())
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0_u32, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let quote = find(chars, start + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let hashes = quote - start - 1;
    let closes = |at: usize| {
        chars[at] == '"'
            && at + hashes < chars.len()
            && chars[at + 1..=at + hashes].iter().all(|&c| c == '#')
    };
    let end = (quote + 1..chars.len()).find(|&at| closes(at))?;
    Some(end + hashes + 1)
}

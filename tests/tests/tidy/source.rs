//! A source file as the rules see it: a flat list of tokens, each with its line, whether it is test
//! code, and how deep in inline modules it stands. Comments are not tokens, and a string is only `""`,
//! so a rule about names never trips over prose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// One broken rule at one place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Finding {
    /// Path from the workspace's root.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do instead.
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// One token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    /// Its text; `""` for any string, `1.0` for any float.
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Inside an item marked `#[cfg(test)]` or `#[test]`, or in a file of tests.
    pub(crate) test: bool,
    /// How many inline modules it stands in.
    pub(crate) inline_mods: usize,
}

/// One function with a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of `fn`.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub(crate) lines: usize,
    /// Test code.
    pub(crate) test: bool,
}

/// One Rust file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Path from the workspace's root, with forward slashes.
    pub(crate) file: String,
    /// The text.
    pub(crate) text: String,
    /// Its tokens in order.
    pub(crate) tokens: Vec<Token>,
    /// Its functions, closures not counted.
    pub(crate) functions: Vec<Function>,
    /// Names of modules declared as `#[cfg(test)] mod name;`.
    pub(crate) test_modules: BTreeSet<String>,
}

impl Source {
    /// Reads `text` as the file at `file`; `test` says that all of it is test code.
    ///
    /// # Errors
    /// The lexer's message when the text is not Rust.
    pub(crate) fn parse(file: &str, text: &str, test: bool) -> Result<Source, String> {
        let stream: TokenStream = text.parse().map_err(|e| format!("{file}: not Rust: {e}"))?;
        let mut source = Source { file: file.to_owned(), text: text.to_owned(), ..Source::default() };
        source.walk(stream, Scope { test, inline_mods: 0 });
        Ok(source)
    }

    /// Whether the whole file is test code, by its place.
    #[must_use]
    pub(crate) fn is_test_file(file: &str) -> bool {
        file.starts_with("tests/") || file.contains("/tests/") || file.ends_with("/tests.rs")
    }

    /// Whether a tool wrote the file: its first line says so.
    #[must_use]
    pub(crate) fn is_generated(&self) -> bool {
        self.text.lines().next().is_some_and(|line| line.starts_with("//") && line.contains("@generated"))
    }

    fn push(&mut self, text: &str, line: usize, scope: Scope) {
        self.tokens.push(Token {
            text: text.to_owned(),
            line,
            test: scope.test,
            inline_mods: scope.inline_mods,
        });
    }

    fn walk(&mut self, stream: TokenStream, scope: Scope) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut item = Item::default();
        for (index, tree) in trees.iter().enumerate() {
            let here = Scope { test: scope.test || item.test, ..scope };
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let after_hash = index > 0 && is_punct(trees.get(index - 1), '#');
                    item.test |= after_hash && marks_test(group);
                    self.group(group, here, &item);
                    if group.delimiter() == Delimiter::Brace {
                        item.end_body();
                    }
                }
                TokenTree::Ident(ident) => {
                    let text = ident.to_string();
                    item.note_ident(&text, line);
                    self.push(&text, line, here);
                }
                TokenTree::Punct(punct) => {
                    let first = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                    if first && is_punct(trees.get(index + 1), ':') {
                        continue;
                    }
                    let second = punct.as_char() == ':' && index > 0 && is_joint_colon(trees.get(index - 1));
                    if punct.as_char() == ';' {
                        self.end_item(&mut item, here);
                    }
                    let text = if second { "::".to_owned() } else { punct.as_char().to_string() };
                    self.push(&text, line, here);
                }
                TokenTree::Literal(literal) => {
                    let text = literal_text(&literal.to_string());
                    self.push(&text, line, here);
                }
            }
        }
    }

    fn group(&mut self, group: &Group, scope: Scope, item: &Item) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        let body = group.delimiter() == Delimiter::Brace;
        let is_mod = body && item.keyword == Some(Keyword::Mod);
        let end = group.span_close().start().line;
        if body && item.keyword == Some(Keyword::Fn) {
            let (name, line) = (item.name.clone(), item.line);
            self.functions.push(Function { name, line, lines: end + 1 - line, test: scope.test });
        }
        self.push(open, group.span_open().start().line, scope);
        let inside = Scope { inline_mods: scope.inline_mods + usize::from(is_mod), ..scope };
        self.walk(group.stream(), inside);
        self.push(close, end, scope);
    }

    fn end_item(&mut self, item: &mut Item, scope: Scope) {
        if item.keyword == Some(Keyword::Mod) && scope.test {
            self.test_modules.insert(item.name.clone());
        }
        *item = Item::default();
    }
}

#[derive(Clone, Copy)]
struct Scope {
    test: bool,
    inline_mods: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Mod,
    Fn,
}

/// What is known of the item that is being read: `mod name` or `fn name`, until its body or `;`.
#[derive(Default)]
struct Item {
    test: bool,
    keyword: Option<Keyword>,
    name: String,
    line: usize,
}

impl Item {
    fn note_ident(&mut self, text: &str, line: usize) {
        match (text, self.keyword) {
            ("mod", None) => (self.keyword, self.line) = (Some(Keyword::Mod), line),
            ("fn", None) => (self.keyword, self.line) = (Some(Keyword::Fn), line),
            (name, Some(_)) if self.name.is_empty() => self.name = name.to_owned(),
            (_, _) => {}
        }
    }

    fn end_body(&mut self) {
        *self = Item::default();
    }
}

fn is_punct(tree: Option<&TokenTree>, c: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(p)) if p.as_char() == c)
}

fn is_joint_colon(tree: Option<&TokenTree>) -> bool {
    matches!(tree, Some(TokenTree::Punct(p)) if p.as_char() == ':' && p.spacing() == Spacing::Joint)
}

/// `[cfg(test)]`, `[cfg(all(test, ..))]`, `[test]`; not `[cfg(not(test))]`.
fn marks_test(group: &Group) -> bool {
    let mut text = group.stream().to_string();
    text.retain(|c| !c.is_whitespace());
    text == "test" || (text.starts_with("cfg(") && text.contains("test") && !text.contains("not("))
}

fn literal_text(text: &str) -> String {
    let first = text.chars().next().unwrap_or(' ');
    if first.is_ascii_digit() {
        let digits = text.replace('_', "");
        let float = !digits.starts_with("0x")
            && (digits.contains('.') || digits.ends_with("f32") || digits.ends_with("f64"));
        return if float { "1.0".to_owned() } else { digits };
    }
    if text.contains('"') { "\"\"".to_owned() } else { text.to_owned() }
}

/// Every file under `root` that belongs to the project, as paths from `root` with forward slashes.
#[must_use]
pub(crate) fn project_files(root: &Path) -> Vec<String> {
    const SKIPPED: [&str; 6] = ["target", ".git", "artifacts", "corpus", "node_modules", "book"];
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if entry.path().is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file of the project, with the files of `#[cfg(test)] mod name;` marked as tests.
#[must_use]
pub(crate) fn rust_sources(root: &Path) -> Vec<Source> {
    let mut sources: Vec<Source> = project_files(root)
        .iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| {
            let text = std::fs::read_to_string(root.join(file)).expect("a listed file is readable");
            Source::parse(file, &text, Source::is_test_file(file)).expect("the workspace compiles")
        })
        .collect();
    let test_places: Vec<String> = sources.iter().flat_map(test_places).collect();
    for source in &mut sources {
        if test_places.iter().any(|place| {
            source.file == format!("{place}.rs") || source.file.starts_with(&format!("{place}/"))
        }) {
            source.tokens.iter_mut().for_each(|token| token.test = true);
            source.functions.iter_mut().for_each(|function| function.test = true);
        }
    }
    sources
}

/// Where the modules declared as `#[cfg(test)] mod name;` live, without `.rs`.
fn test_places(source: &Source) -> Vec<String> {
    let stem = source.file.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        Some(_) | None => stem,
    };
    source.test_modules.iter().map(|name| format!("{folder}/{name}")).collect()
}

#[test]
fn tokens_know_their_line_and_whether_they_are_tests() {
    let text =
        "use a::b;\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn live() -> f64 {\n    x.0.1 + 2.5\n}\n";
    let source = Source::parse("x.rs", text, false).unwrap();
    let find = |name: &str| source.tokens.iter().find(|t| t.text == name).unwrap().clone();
    assert_eq!((find("b").line, find("b").test), (1, false));
    assert_eq!((find("t").line, find("t").test, find("t").inline_mods), (4, true, 1));
    assert_eq!((find("f64").line, find("f64").test, find("f64").inline_mods), (6, false, 0));
    let lengths: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.lines, f.test)).collect();
    assert_eq!(lengths, [("t", 1, true), ("live", 3, false)]);
}

#[test]
fn files_of_test_modules_are_found() {
    let source = Source::parse("a/src/link/mod.rs", "#[cfg(test)] mod bench; mod path;", false).unwrap();
    assert_eq!(test_places(&source), ["a/src/link/bench"]);
    let source = Source::parse("a/src/link/path.rs", "#[cfg(all(test, unix))]\nmod model;", false).unwrap();
    assert_eq!(test_places(&source), ["a/src/link/path/model"]);
    let live = Source::parse("a/src/lib.rs", "#[cfg(not(test))] mod live;", false).unwrap();
    assert!(test_places(&live).is_empty());
}

//! The shape of the code: `ARCHITECTURE.md` draws it, and here it is held to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `runtime/src`, lowest first: each names itself and those before it.
const ROOMS: [&str; 15] = [
    "function", "error", "millis", "pages", "config", "blas", "random", "observe", "wire", "size",
    "store", "local", "cluster", "runtime", "api",
];

/// Where the code map stands in `ARCHITECTURE.md`.
const MAP: &str = "## Code map";

#[test]
fn no_room_names_one_above_it() {
    let source = root().join("runtime/src");
    let exports = exports(&read(&source.join("lib.rs")));
    let mut wrong = Vec::new();
    for file in files(&source, &["rs"]) {
        let path = file.strip_prefix(&source).unwrap();
        if path == Path::new("lib.rs") {
            continue;
        }
        let room = room_of(path);
        let Some(level) = level(&room) else {
            wrong.push(format!("runtime/src/{}: `{room}` is not among ROOMS", path.display()));
            continue;
        };
        for (line, name) in named_from_root(&code_of(&read(&file))) {
            // A re-export stands for the room that it comes from.
            let named = exports.get(&name).unwrap_or(&name);
            let place = format!("runtime/src/{}:{line}", path.display());
            match self::level(named) {
                Some(other) if other <= level => {}
                Some(_) => {
                    wrong.push(format!(
                        "{place}: `{room}` names `{name}`, of the room `{named}` above it"
                    ));
                }
                None => {
                    wrong.push(format!("{place}: `{room}` names `{name}`, which is in no room"))
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_code_map_names_every_file_and_none_that_is_gone() {
    let root = root();
    let listed = code_map(&read(&root.join("ARCHITECTURE.md")));
    let there: BTreeSet<PathBuf> = files(&root.join("runtime/src"), &["rs", "md"])
        .into_iter()
        .map(|file| file.strip_prefix(&root).unwrap().to_owned())
        .collect();
    let missing = there.iter().filter(|file| !listed.contains_key(*file));
    let missing =
        missing.map(|file| format!("ARCHITECTURE.md: the code map lacks {}", file.display()));
    let gone = listed.iter().filter(|(file, _)| !root.join(file).exists());
    let gone = gone.map(|(file, line)| {
        format!("ARCHITECTURE.md:{line}: the code map lists {}, which is gone", file.display())
    });
    let wrong: Vec<String> = missing.chain(gone).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn expansions_name_only_the_private_module() {
    let source = root().join("macros/src");
    let mut wrong = Vec::new();
    for file in files(&source, &["rs"]) {
        for (number, line) in (1..).zip(code_of(&read(&file)).lines()) {
            let mut rest = line;
            while let Some((_, after)) = rest.split_once("mobula::") {
                if !after.starts_with("__private") {
                    let name = file.strip_prefix(&source).unwrap().display();
                    wrong.push(format!("macros/src/{name}:{number}: {}", line.trim()));
                }
                rest = after;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn names_are_found_in_every_notation() {
    let source = r##"
        use crate::local::{pool, cell::Ref};  // and crate::comment
        use crate::{config::Config, error::{Error, Result}, api};
        pub(in crate::local) fn f<'a>(c: char) -> &'a str { if c == '"' { "crate::text" } else { r#"" crate::raw"# } }
        use super::super::runtime as r; /* crate::block
        */ mobula::get(1); $crate::failure!(); my_crate::no();
    "##;
    let names: Vec<_> = named_from_root(&code_of(source)).into_iter().collect();
    let expected = [
        (2, "local"),
        (3, "config"),
        (3, "error"),
        (3, "api"),
        (4, "local"),
        (5, "runtime"),
        (6, "failure"),
        (6, "get"),
    ];
    assert_eq!(names, expected.map(|(line, name)| (line, name.to_owned())));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The files under `folder` with one of these extensions, in order.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path.extension().is_some_and(|has| extensions.iter().any(|wanted| has == *wanted))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The room of a file: its folder, or the file itself where it lies in none.
fn room_of(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// What `lib.rs` re-exports from a room, by name.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let code = code_of(lib);
    let mut exports = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let room = path.split("::").next().unwrap().trim();
        if level(room).is_none() {
            continue;
        }
        let names = path.rsplit("::").next().unwrap();
        for name in names.split(|c: char| !is_word(c)).filter(|name| !name.is_empty()) {
            exports.insert(name.to_owned(), room.to_owned());
        }
    }
    exports
}

/// The files in the code map with their lines: items under headings that name their folders.
fn code_map(architecture: &str) -> BTreeMap<PathBuf, usize> {
    let mut folder = PathBuf::new();
    let mut listed = BTreeMap::new();
    let lines = (1..).zip(architecture.lines());
    let map = lines.skip_while(|(_, line)| *line != MAP).skip(1);
    for (number, line) in map.take_while(|(_, line)| !line.starts_with("## ")) {
        let in_backticks = |text: &str| text.split('`').nth(1).map(str::to_owned);
        if let Some(heading) = line.strip_prefix("### ") {
            folder = in_backticks(heading).unwrap_or_default().into();
        } else if let Some(item) = line.strip_prefix("- `") {
            listed.insert(folder.join(item.split('`').next().unwrap()), number);
        }
    }
    listed
}

/// Every name that the code takes from the root of the crate, with its line.
fn named_from_root(code: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for root in ["crate::", "mobula::", "super::super::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].chars().next_back().is_some_and(is_word) {
                continue;
            }
            let line = 1 + code[..at].matches('\n').count();
            let after = code[at + root.len()..].trim_start_matches("super::");
            names.extend(first_words(after).into_iter().map(|name| (line, name)));
        }
    }
    // In the order of the lines; those of one line in the order of `root`.
    names.sort_by_key(|(line, _)| *line);
    names
}

/// The first word of a path; of a list of paths in braces, that of each.
fn first_words(path: &str) -> Vec<String> {
    let word = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect();
    let Some(list) = path.strip_prefix('{') else { return vec![word(path)] };
    let mut words = vec![word(list)];
    let mut depth = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(word(&list[at + 1..])),
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The source without its comments and the insides of its literals; lines stay where they are.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest);
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (skipped, after) = rest.split_at(length);
            code.extend(skipped.chars().filter(|c| *c == '\n'));
            rest = after;
        }
    }
    code
}

/// How many bytes the comment, text or character takes with which `rest` begins; 0: it is none.
fn literal_or_comment(rest: &str) -> usize {
    let until = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    let quote = match rest.as_bytes() {
        [b'"', ..] => '"',
        [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => '\'',
        _ => return 0,
    };
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

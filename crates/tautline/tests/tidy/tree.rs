//! Every file of the repository that the rules read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// Folders that hold what a build or a tool made, wherever they are.
const MADE: [&str; 3] = ["target", ".git", "__pycache__"];
/// What mdBook makes. Elsewhere a folder of that name has sources.
const MADE_BOOK: &str = "docs/book";
const READ: [&str; 7] = ["rs", "toml", "md", "py", "sh", "yml", "sdp"];
/// Files without an ending.
const SCRIPTS: [&str; 3] = ["scripts/test", "scripts/rustc-for-tests", ".ci/run"];

/// Whether nobody has written what is in a folder.
pub(crate) fn is_made(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    path == MADE_BOOK || MADE.contains(&last)
}

/// The repository's files.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    /// Paths of everything there is, files and folders, from the root.
    pub(crate) paths: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn of_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tree = Self::default();
        tree.walk(&root, "");
        tree.finished()
    }

    /// A tree of these files alone.
    pub(crate) fn of_files(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path, text);
        }
        tree.finished()
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }

    fn walk(&mut self, folder: &Path, name: &str) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .unwrap_or_default()
            .iter()
            .map(fs::DirEntry::path)
            .collect();
        entries.sort();
        for entry in entries {
            let last = entry.file_name().unwrap_or_default().to_string_lossy();
            let path = if name.is_empty() { last.to_string() } else { format!("{name}/{last}") };
            if entry.is_dir() {
                if !is_made(&path) {
                    self.paths.insert(path.clone());
                    self.walk(&entry, &path);
                }
                continue;
            }
            let ending = entry.extension().unwrap_or_default().to_string_lossy();
            self.paths.insert(path.clone());
            if READ.contains(&&*ending) || SCRIPTS.contains(&&*path) {
                self.add(&path, &fs::read_to_string(&entry).unwrap_or_default());
            }
        }
    }

    fn add(&mut self, path: &str, text: &str) {
        self.paths.insert(path.to_owned());
        self.sources.push(Source::new(path, text));
    }

    /// Files of test modules are test code from end to end.
    fn finished(mut self) -> Self {
        let modules: Vec<String> =
            self.sources.iter().flat_map(|source| source.test_modules.clone()).collect();
        for source in &mut self.sources {
            let of_test = |module: &String| {
                source.path == *module || (module.ends_with('/') && source.path.starts_with(module))
            };
            if modules.iter().any(of_test) {
                source.test.fill(true);
            }
        }
        self
    }
}

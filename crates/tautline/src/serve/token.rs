//! The secret of whoever may change something, in a file that only its owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a token that is made here; it is written as hexadecimal digits.
const BYTES: usize = 32;
/// Characters of a token at least: fewer could be guessed.
const SHORTEST: usize = 16;

/// What must be said to change something.
#[derive(Clone)]
pub(super) struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("there is no home to keep a token in: name a file with --token-file")]
    NoHome,
    #[error("the token {path}: {error}; name another file with --token-file", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "the token {path} can be read by others (mode {mode:o}): make another, since they may know \
         it, and `chmod 600` that",
        path = .path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("the token {path} is no file of this user: name another with --token-file", path = .path.display())]
    NotOwn { path: PathBuf },
    #[error(
        "the token {path} is no line of {SHORTEST} letters and digits or more: delete it, and another \
         is made",
        path = .path.display()
    )]
    Malformed { path: PathBuf },
}

/// Where it is kept unless the user says otherwise.
pub(super) fn usual_place() -> Result<PathBuf, TokenError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(config.ok_or(TokenError::NoHome)?.join("tautline/token"))
}

impl Token {
    /// The one in that file, which is made if there is none.
    pub(super) fn at(path: &Path) -> Result<Self, TokenError> {
        let failed = |error| TokenError::Io { path: path.to_owned(), error };
        match Self::read(path) {
            Err(TokenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        match make(path) {
            // Another has made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed)?,
        }
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |error| TokenError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() {
            return Err(TokenError::NotOwn { path: path.to_owned() });
        }
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(1024).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end();
        if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether the header `Authorization` has it. Takes as long for every wrong one of its length.
    pub(super) fn is_in(&self, authorization: Option<&str>) -> bool {
        let Some(said) = authorization.and_then(|said| said.strip_prefix("Bearer ")) else {
            return false;
        };
        let differences = said.bytes().zip(self.0.bytes()).map(|(one, other)| one ^ other);
        said.len() == self.0.len() && differences.fold(0, |all, one| all | one) == 0
    }
}

/// Writes it whole before it has its name.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut random = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let linked = writeln!(file, "{token}").and_then(|()| fs::hard_link(&fresh, path));
    fs::remove_file(&fresh)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a token is made once, for its owner alone, and known by its header.
    #[test]
    fn a_token_is_made_and_found_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/token");
        let token = Token::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let header = format!("Bearer {}", text.trim());
        assert_eq!(text.len(), 2 * BYTES + 1);
        assert!(token.is_in(Some(&header)) && Token::at(&path).unwrap().is_in(Some(&header)));
        let cut = &header[..header.len() - 1];
        for wrong in [None, Some(""), Some("Bearer "), Some(text.trim()), Some(cut)] {
            assert!(!token.is_in(wrong), "{wrong:?}");
        }
        assert!(
            !token.is_in(Some(&format!("{cut}x"))) && !token.is_in(Some(&format!("{header}0")))
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    /// Proves that a token that others may know, or that could be guessed, is none.
    #[test]
    fn tokens_that_are_no_secret_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        Token::at(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Token::at(&path), Err(TokenError::Open { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "short\n", "with a space in it and long"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Token::at(&path), Err(TokenError::Malformed { .. })), "{text}");
        }
        assert!(matches!(Token::at(home.path()), Err(TokenError::NotOwn { .. })));
    }
}

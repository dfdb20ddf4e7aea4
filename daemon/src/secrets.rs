//! Reads secrets from where the intent says they are kept.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fmt, fs, io, thread};

use config::model::SecretSource;
use tunnels::spec::{Hidden, Secret};
use zeroize::Zeroizing;

/// A key is 44 characters; a file this long is something else.
const LONGEST: u64 = 4096;
/// A VICI value has at most so many octets.
const LONGEST_CERTIFICATE: u64 = 65_535;
/// How long a command may take to print a key.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a secret cannot be had. Never holds any of it.
#[derive(thiserror::Error, Debug)]
pub(crate) enum SecretError {
    #[error("cannot read {path}: {source}; the daemon's user must be able to read it")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} can be read by everyone: chmod 600 {path}")]
    Exposed { path: PathBuf },
    #[error("the environment variable {name} is not set")]
    Environment { name: String },
    #[error("the credential {name} was not passed on: add LoadCredential={name}:… to the unit")]
    Credential { name: String },
    #[error("{program} failed: {reason}")]
    Command { program: String, reason: String },
    #[error("{origin}: {source}")]
    Format {
        origin: String,
        source: tunnels::spec::SecretError,
    },
    #[error("{origin}: a pre-shared key is one line of text, this is empty")]
    Empty { origin: String },
    #[error(
        "{origin}: a key of TCP MD5 or TCP-AO has 1 to {} bytes, this one {length}",
        TcpKey::LONGEST
    )]
    Tcp { origin: String, length: usize },
    #[error("{origin}: for BFD {source}")]
    Bfd {
        origin: String,
        source: links::KeyError,
    },
    #[error("{origin}: for STAMP {source}; `openssl rand -base64 32` makes one")]
    Stamp {
        origin: String,
        source: links::KeyError,
    },
}

/// A key of TCP MD5 (RFC 2385 §4.5) or TCP-AO (RFC 5925 §3.1). Never shown, zeroed when it goes.
#[derive(PartialEq, Eq)]
pub(crate) struct TcpKey(Zeroizing<Vec<u8>>);

impl TcpKey {
    /// What the kernel takes, of either: 1 to 80 bytes.
    pub(crate) const LONGEST: usize = 80;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn for_tests(key: &[u8]) -> Self {
        Self(Zeroizing::new(key.to_vec()))
    }
}

impl fmt::Debug for TcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads a WireGuard key.
///
/// - `base`: the directory of the configuration file, which relative paths start from
///
/// # Errors
///
/// It is not there, not readable, readable by everyone, or not a key.
pub(crate) fn key(source: &SecretSource, base: &Path) -> Result<Secret, SecretError> {
    let (origin, text) = read(source, base)?;
    Secret::from_base64(text.trim()).map_err(|source| SecretError::Format { origin, source })
}

/// Reads a key of TCP MD5 or TCP-AO: the text as it stands there, without the end of its line.
///
/// # Errors
///
/// As [`key`]; and it is empty, or longer than the kernel takes.
pub(crate) fn tcp_key(source: &SecretSource, base: &Path) -> Result<TcpKey, SecretError> {
    let (origin, text) = read(source, base)?;
    let key = text.trim_end_matches(['\r', '\n']).as_bytes();
    if key.is_empty() || key.len() > TcpKey::LONGEST {
        let length = key.len();
        return Err(SecretError::Tcp { origin, length });
    }
    Ok(TcpKey(Zeroizing::new(key.to_vec())))
}

/// Reads a pre-shared key of IKE: the text as it stands there, without the end of its line.
///
/// # Errors
///
/// As [`key`]; and it is empty.
pub(crate) fn line(source: &SecretSource, base: &Path) -> Result<Hidden, SecretError> {
    let (origin, text) = read(source, base)?;
    let key = text.trim_end_matches(['\r', '\n']).as_bytes();
    if key.is_empty() {
        return Err(SecretError::Empty { origin });
    }
    Ok(Hidden::new(Zeroizing::new(key.to_vec())))
}

/// Reads a private key in PEM, all of it.
///
/// # Errors
///
/// As [`key`]; its format is for strongSwan to judge.
pub(crate) fn whole(source: &SecretSource, base: &Path) -> Result<Hidden, SecretError> {
    let (_, text) = read(source, base)?;
    Ok(Hidden::new(Zeroizing::new(text.as_bytes().to_vec())))
}

/// Reads a certificate, which is no secret.
///
/// # Errors
///
/// It is not there or not readable.
pub(crate) fn public(path: &Path, base: &Path) -> Result<Vec<u8>, SecretError> {
    let path = base.join(path);
    let file = fs::File::open(&path).and_then(|file| {
        let mut octets = Vec::new();
        file.take(LONGEST_CERTIFICATE).read_to_end(&mut octets)?;
        Ok(octets)
    });
    file.map_err(|source| SecretError::File { path, source })
}

/// Reads a key of BFD: the text as it stands there, without the end of its line.
///
/// # Errors
///
/// As [`key`]; and it is empty, or longer than RFC 5880 allows.
pub(crate) fn bfd_key(source: &SecretSource, base: &Path) -> Result<links::bfd::Key, SecretError> {
    let (origin, text) = read(source, base)?;
    let key = text.trim_end_matches(['\r', '\n']).as_bytes();
    links::bfd::Key::new(key).map_err(|source| SecretError::Bfd { origin, source })
}

/// Reads a key of STAMP: the text as it stands there, without the end of its line.
///
/// # Errors
///
/// As [`key`]; and it is so short that it could be guessed, or longer than HMAC uses.
pub(crate) fn stamp_key(
    source: &SecretSource,
    base: &Path,
) -> Result<links::stamp::Key, SecretError> {
    let (origin, text) = read(source, base)?;
    let key = text.trim_end_matches(['\r', '\n']).as_bytes();
    links::stamp::Key::new(key).map_err(|source| SecretError::Stamp { origin, source })
}

/// What is kept there, and where that is in words.
fn read(source: &SecretSource, base: &Path) -> Result<(String, Zeroizing<String>), SecretError> {
    Ok(match source {
        SecretSource::File(path) => {
            let path = base.join(path);
            (path.display().to_string(), file(&path)?)
        }
        SecretSource::Env(name) => {
            let text =
                env::var(name).map_err(|_| SecretError::Environment { name: name.clone() })?;
            (format!("environment variable {name}"), Zeroizing::new(text))
        }
        SecretSource::Credential(name) => {
            let absent = || SecretError::Credential { name: name.clone() };
            let directory = env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(absent)?;
            let path = Path::new(&directory).join(name);
            (format!("credential {name}"), credential(&path)?)
        }
        SecretSource::Command(command) => {
            let program = command.first().cloned().unwrap_or_default();
            (format!("output of {program}"), output(command, PATIENCE)?)
        }
    })
}

fn file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::File {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    // Of the open file: the one at that path may be another by then.
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(SecretError::Exposed {
            path: path.to_owned(),
        });
    }
    text(file).map_err(failed)
}

fn credential(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    fs::File::open(path)
        .and_then(text)
        .map_err(|source| SecretError::File {
            path: path.to_owned(),
            source,
        })
}

fn text(from: impl Read) -> io::Result<Zeroizing<String>> {
    // With room for all of it, so that no copy of a part stays behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 64));
    from.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// What a program prints, which has to end in time: a router that waits for a vault hears no signal.
fn output(command: &[String], patience: Duration) -> Result<Zeroizing<String>, SecretError> {
    let (program, arguments) = command.split_first().ok_or_else(|| SecretError::Command {
        program: String::new(),
        reason: "no program is named".to_owned(),
    })?;
    let failed = |reason: String| SecretError::Command {
        program: program.clone(),
        reason,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let printed = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // The one who waits may have given up.
        let _ = sender.send(printed.map_or_else(|| Ok(Zeroizing::default()), text));
    });
    let printed = receiver.recv_timeout(patience);
    if printed.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let printed = printed.map_err(|_| failed(format!("it took longer than {patience:?}")))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    printed.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::Instant;

    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

    /// A directory that goes with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("skybridge-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory of our own");
            Self(path)
        }

        fn write(&self, name: &str, mode: u32, text: &str) {
            use std::io::Write;
            let mut file = fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(self.0.join(name))
                .expect("a file of our own");
            file.set_permissions(fs::Permissions::from_mode(mode))
                .and_then(|()| file.write_all(text.as_bytes()))
                .expect("a file of our own");
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn command(words: &[&str]) -> SecretSource {
        SecretSource::Command(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn from_file(directory: &Directory, name: &str) -> Result<Secret, SecretError> {
        key(&SecretSource::File(name.into()), &directory.0)
    }

    fn said(result: Result<Secret, SecretError>) -> String {
        match result {
            Ok(_) => panic!("a key was found"),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    #[test]
    fn a_key_is_read_from_a_file_beside_the_configuration() {
        let directory = Directory::new("key-file");
        directory.write("key", 0o600, &format!("{KEY}\n"));
        assert!(from_file(&directory, "key").is_ok());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_the_remedy_named() {
        let directory = Directory::new("key-exposed");
        for mode in [0o604, 0o602, 0o601, 0o644] {
            let name = format!("{mode:o}");
            directory.write(&name, mode, KEY);
            let said = said(from_file(&directory, &name));
            assert!(said.contains("chmod 600"), "{mode:o}: {said}");
        }
        directory.write("group", 0o640, KEY);
        assert!(from_file(&directory, "group").is_ok());
    }

    #[test]
    fn no_error_holds_what_was_read() {
        let directory = Directory::new("key-format");
        let almost = &KEY[..40];
        directory.write("short", 0o600, almost);
        directory.write("exposed", 0o644, KEY);
        directory.write("long", 0o600, &KEY.repeat(1000));
        for name in ["short", "exposed", "long"] {
            let said = said(from_file(&directory, name));
            assert!(!said.contains(&KEY[..8]), "{name}: {said}");
        }
        let said = said(key(&command(&["echo", almost]), Path::new("/")));
        assert!(!said.contains(&KEY[..8]), "{said}");
    }

    #[test]
    fn a_key_of_tcp_is_a_line_as_it_stands_and_never_shown() {
        let directory = Directory::new("md5");
        directory.write("key", 0o600, " hunter 2 \r\n");
        let read = |name: &str| tcp_key(&SecretSource::File(name.into()), &directory.0);
        let found = read("key").unwrap();
        assert_eq!(found.as_bytes(), b" hunter 2 ");
        assert_eq!(format!("{found:?}"), "***");
        directory.write("empty", 0o600, "\n");
        directory.write("long", 0o600, &"x".repeat(81));
        directory.write("longest", 0o600, &"x".repeat(80));
        assert!(read("longest").is_ok());
        for name in ["empty", "long"] {
            let said = read(name).unwrap_err().to_string();
            assert!(
                said.contains("1 to 80 bytes") && !said.contains("xx"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_key_of_stamp_that_could_be_guessed_is_refused_and_never_shown() {
        let directory = Directory::new("stamp");
        let read = |name: &str| stamp_key(&SecretSource::File(name.into()), &directory.0);
        directory.write("key", 0o600, &format!("{KEY}\n"));
        assert_eq!(format!("{:?}", read("key").unwrap()), "Key(..)");
        directory.write("short", 0o600, "hunter2\n");
        directory.write("long", 0o600, &KEY.repeat(2));
        for name in ["short", "long"] {
            let said = read(name).unwrap_err().to_string();
            assert!(said.contains("16 to 64 octets"), "{said}");
            assert!(!said.contains("hunter") && !said.contains(&KEY[..8]));
        }
    }

    #[test]
    fn a_key_is_what_a_command_prints() {
        assert!(key(&command(&["echo", KEY]), Path::new("/")).is_ok());
    }

    #[test]
    fn a_command_that_fails_gives_no_key_although_it_prints_one() {
        let script = format!("echo {KEY}; exit 3");
        let said = said(key(&command(&["sh", "-c", &script]), Path::new("/")));
        assert!(said.contains('3') && !said.contains(&KEY[..8]), "{said}");
    }

    #[test]
    fn a_command_that_does_not_end_is_given_up() {
        let started = Instant::now();
        let words = ["sleep".to_owned(), "60".to_owned()];
        let result = output(&words, Duration::from_millis(100));
        assert!(matches!(result, Err(SecretError::Command { .. })));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_command_that_prints_without_end_is_not_kept() {
        let result = output(&["yes".to_owned()], Duration::from_secs(10));
        assert!(matches!(result, Err(SecretError::Command { .. })));
    }
}

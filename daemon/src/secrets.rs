//! Reads secrets from where the intent says they are kept.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use config::model::SecretSource;
use tunnels::spec::Secret;
use zeroize::Zeroizing;

/// A key is 44 characters; a file this long is something else.
const LONGEST: u64 = 4096;

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
}

/// Reads a key.
///
/// - `base`: the directory of the configuration file, which relative paths start from
///
/// # Errors
///
/// It is not there, not readable, readable by everyone, or not a key.
pub(crate) fn key(source: &SecretSource, base: &Path) -> Result<Secret, SecretError> {
    let (origin, text) = match source {
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
            (format!("credential {name}"), read(&path)?)
        }
        SecretSource::Command(command) => {
            let program = command.first().cloned().unwrap_or_default();
            (format!("output of {program}"), output(command)?)
        }
    };
    Secret::from_base64(text.trim()).map_err(|source| SecretError::Format { origin, source })
}

fn file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::File {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(SecretError::Exposed {
            path: path.to_owned(),
        });
    }
    read(path)
}

fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::File {
        path: path.to_owned(),
        source,
    };
    let mut text = Zeroizing::new(String::new());
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

fn output(command: &[String]) -> Result<Zeroizing<String>, SecretError> {
    let (program, arguments) = command.split_first().ok_or_else(|| SecretError::Command {
        program: String::new(),
        reason: "no program is named".to_owned(),
    })?;
    let failed = |reason| SecretError::Command {
        program: program.clone(),
        reason,
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let bytes = Zeroizing::new(output.stdout);
    let text = str::from_utf8(&bytes).map_err(|_| failed("it did not print text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

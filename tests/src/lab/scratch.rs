//! Namespaces and files of one test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::netns::Namespace;

/// Namespaces and a directory that end with this value, whatever happened.
#[derive(Debug)]
pub struct Scratch {
    name: String,
    namespaces: Vec<Namespace>,
    directory: PathBuf,
}

impl Scratch {
    /// One with an empty directory; `test` keeps those of one process apart.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn new(test: &str) -> Result<Self> {
        let name = format!("sb{}{test}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir(&directory)?;
        Ok(Self {
            name,
            namespaces: Vec::new(),
            directory,
        })
    }

    /// Makes a namespace.
    ///
    /// # Errors
    ///
    /// See [`Namespace::create`].
    pub fn namespace(&mut self, node: &str) -> Result<Namespace> {
        let namespace = Namespace::create(&format!("{}-{node}", self.name))?;
        self.namespaces.push(namespace.clone());
        Ok(namespace)
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let removed: Vec<_> = self.namespaces.iter().map(Namespace::remove).collect();
        let cleared = fs::remove_dir_all(&self.directory);
        // A second panic would abort and hide the first.
        if !std::thread::panicking() {
            for namespace in removed {
                namespace.expect("what a test made can be removed");
            }
            cleared.expect("the directory is ours");
        }
    }
}

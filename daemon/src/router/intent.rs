//! A file with everything that had to be read from elsewhere for it.

use std::path::Path;

use config::Config;
use tracing::warn;

use crate::convert::{self, Keys, Modes};
use crate::drivers::bfd::Sessions;
use crate::drivers::messages::Wanted;

/// An intent with everything that had to be read from elsewhere for it.
pub(crate) struct Intent {
    pub(crate) config: Config,
    pub(super) tunnels: Vec<Wanted>,
    pub(super) bfd: Sessions,
    pub(super) modes: Modes,
    pub(super) keys: Keys,
    warnings: config::Report,
}

impl Intent {
    /// Reads and checks a file, and the secrets that it names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, ready to be shown.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let loaded = config::load(&text, &file.display().to_string())
            .map_err(|report| report.to_string())?;
        let base = file.parent().unwrap_or(Path::new("."));
        let tunnels = convert::tunnels(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        let bfd = convert::bfd(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        let modes = convert::modes(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        let keys = convert::keys(&loaded.config, base).map_err(|errors| errors.join("\n"))?;
        Ok(Self {
            config: loaded.config,
            tunnels,
            bfd,
            modes,
            keys,
            warnings: loaded.warnings,
        })
    }

    /// Says what is allowed and yet doubtful. The file has to be read before there is a log.
    pub(super) fn warn(&self) {
        for finding in self.warnings.findings() {
            warn!(
                rule = finding.rule,
                line = finding.line,
                "{}",
                finding.message
            );
        }
    }
}

//! Settings of the cold tier: where its files go, and how their stores are used.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tidelog_storage::cold::{ColdOptions, StoreAt};

use super::SettingsError;

/// What the command line and the environment say.
#[derive(Args, Debug, Default)]
pub(crate) struct ColdFlags {
    /// Where cold files go: a folder, s3://BUCKET/PREFIX, gs://…, az://… or file:///…; credentials come from the
    /// environment (AWS_…, GOOGLE_…, AZURE_…) [default: DIR/cold]
    #[arg(long, env = "TIDELOG_COLD", value_name = "URL")]
    cold: Option<String>,
    /// A further place for cold files, for tables WITH (storage = 'NAME'); may be given more than once
    #[arg(
        long,
        env = "TIDELOG_STORAGE",
        value_name = "NAME=URL",
        value_delimiter = ','
    )]
    storage: Vec<String>,
    /// How long a request to an object store may take, retries included [default: 30s]
    #[arg(long, env = "TIDELOG_COLD_TIMEOUT", value_name = "TIME")]
    cold_timeout: Option<String>,
    /// Memory for footers of cold files, rows of them that were read by key, and parts of remote ones; 0 for none [default: 256MB]
    #[arg(long, env = "TIDELOG_COLD_CACHE", value_name = "SIZE")]
    cold_cache: Option<String>,
}

/// `[storages.NAME]` in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Storage {
    url: String,
    /// Options of the store's client, such as `endpoint` and `region`, over those of the environment.
    #[serde(flatten)]
    options: BTreeMap<String, String>,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct ColdFile {
    pub(super) cold: Option<String>,
    pub(super) storages: BTreeMap<String, Storage>,
    pub(super) cold_timeout: Option<String>,
    pub(super) cold_cache: Option<String>,
}

/// The settings that hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cold {
    url: Option<String>,
    storages: BTreeMap<String, Storage>,
    timeout: Duration,
    cache_bytes: u64,
}

impl Cold {
    pub(super) fn load(flags: ColdFlags, file: ColdFile) -> Result<Cold, SettingsError> {
        let mut storages = file.storages;
        for given in flags.storage {
            let Some((name, url)) = given.split_once('=') else {
                return Err(SettingsError::Value {
                    key: "storage",
                    value: given,
                    expected: "a name and a URL such as archive=s3://bucket/prefix",
                });
            };
            let storage = Storage {
                url: url.trim().to_string(),
                options: BTreeMap::new(),
            };
            storages.insert(name.trim().to_string(), storage);
        }
        let defaults = ColdOptions::default();
        let timeout = flags.cold_timeout.or(file.cold_timeout);
        let cache = flags.cold_cache.or(file.cold_cache);
        Ok(Cold {
            url: flags.cold.or(file.cold),
            storages,
            timeout: timeout.map_or(Ok(defaults.timeout), |text| duration("cold_timeout", text))?,
            cache_bytes: cache.map_or(Ok(defaults.cache_bytes), |text| size("cold_cache", text))?,
        })
    }

    /// As storage takes it.
    pub(crate) fn options(&self) -> ColdOptions {
        let at = |url: &str, options: &BTreeMap<String, String>| StoreAt::Url {
            url: url.to_string(),
            options: options.clone(),
        };
        let named = |(name, storage): (&String, &Storage)| {
            (name.clone(), at(&storage.url, &storage.options))
        };
        ColdOptions {
            default: match &self.url {
                Some(url) => at(url, &BTreeMap::new()),
                None => StoreAt::DataDir,
            },
            named: self.storages.iter().map(named).collect(),
            timeout: self.timeout,
            cache_bytes: self.cache_bytes,
            ..ColdOptions::default()
        }
    }
}

/// `30s`, `500ms`, `2min`, `1h`.
fn duration(key: &'static str, text: String) -> Result<Duration, SettingsError> {
    let units = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];
    match scaled(&text, &units).filter(|ms| *ms > 0) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(SettingsError::Value {
            key,
            value: text,
            expected: "a time such as 30s (ms, s, min, h)",
        }),
    }
}

/// `256MB`, in PostgreSQL's units.
pub(super) fn size(key: &'static str, text: String) -> Result<u64, SettingsError> {
    let units = [
        ("", 1),
        ("B", 1),
        ("kB", 1 << 10),
        ("MB", 1 << 20),
        ("GB", 1 << 30),
    ];
    scaled(&text, &units).ok_or(SettingsError::Value {
        key,
        value: text,
        expected: "a size such as 256MB (B, kB, MB, GB)",
    })
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_over_the_file() {
        let file = ColdFile {
            cold: Some("s3://b/file".to_string()),
            storages: BTreeMap::from([(
                "archive".to_string(),
                Storage {
                    url: "s3://b/archive".to_string(),
                    options: BTreeMap::from([("region".to_string(), "r".to_string())]),
                },
            )]),
            cold_timeout: Some("500ms".to_string()),
            cold_cache: None,
        };
        let flags = ColdFlags {
            cold: Some("/mnt/cold".to_string()),
            storage: vec!["fast=file:///mnt/fast".to_string()],
            ..ColdFlags::default()
        };
        let cold = Cold::load(flags, file).expect("well formed");
        assert_eq!(cold.url.as_deref(), Some("/mnt/cold"));
        let names: Vec<_> = cold.storages.keys().map(String::as_str).collect();
        assert_eq!(names, ["archive", "fast"]);
        assert_eq!(cold.timeout, Duration::from_millis(500));
        assert_eq!(cold.cache_bytes, ColdOptions::default().cache_bytes);
    }

    #[test]
    fn errors_name_the_key() {
        let error = |flags| {
            Cold::load(flags, ColdFile::default())
                .expect_err("malformed")
                .to_string()
        };
        let storage = error(ColdFlags {
            storage: vec!["s3://b".to_string()],
            ..ColdFlags::default()
        });
        assert!(
            storage.starts_with("storage must be a name and a URL"),
            "{storage}"
        );
        for text in ["0s", "soon", "5", "-1s"] {
            let timeout = error(ColdFlags {
                cold_timeout: Some(text.to_string()),
                ..ColdFlags::default()
            });
            assert!(timeout.starts_with("cold_timeout must be"), "{timeout}");
        }
        assert_eq!(size("cold_cache", "3MB".to_string()).ok(), Some(3 << 20));
        assert!(size("cold_cache", "3XB".to_string()).is_err());
    }
}

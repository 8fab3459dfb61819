//! From a URL to an object store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

/// How long at most a request waits before it is tried again.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// The time ends the retries, not their number.
const RETRIES_MAX: usize = 1000;

/// A store that a URL names.
pub(crate) struct Place {
    /// The URL, without secrets.
    pub(crate) shown: String,
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Where it is on this machine, if it is.
    pub(crate) folder: Option<PathBuf>,
    /// What to set where no credentials were given: only a machine of the store's own vendor has others.
    pub(crate) missing: Option<&'static str>,
}

/// A URL without what may be secret in it.
pub(crate) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        // A folder, or nothing that can be parsed: what stands before an @ might be a password.
        Err(_) => url.rsplit('@').next().unwrap_or_default().to_string(),
    }
}

/// The folder that a URL or path names, without links as far as it exists; `None` where it is none of this machine.
pub(crate) fn real_folder(text: &str) -> Option<PathBuf> {
    let path = match Url::parse(text) {
        Ok(url) => (url.scheme() == "file").then(|| url.to_file_path().ok())??,
        Err(_) => PathBuf::from(text),
    };
    let real = path.ancestors().find_map(|above| {
        let below = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(below))
    });
    Some(real.unwrap_or(path))
}

/// A folder of this machine, made if it does not exist.
pub(crate) fn folder(folder: &Path) -> Result<Place, String> {
    let reason = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(folder).map_err(reason)?;
    let folder = folder.canonicalize().map_err(reason)?;
    let objects = LocalFileSystem::new_with_prefix(&folder).map_err(|error| error.to_string())?;
    Ok(Place {
        shown: folder.display().to_string(),
        objects: Arc::new(objects),
        folder: Some(folder),
        missing: None,
    })
}

/// The store of a URL, with the environment's credentials and these options over them. Blocking.
pub(crate) fn open(
    text: &str,
    options: &BTreeMap<String, String>,
    timeout: Duration,
) -> Result<Place, String> {
    if !text.contains("://") {
        return match text.trim() {
            "" => Err("the URL is empty".to_string()),
            path => folder(Path::new(path)),
        };
    }
    let url = Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(
            "credentials and options do not belong in the URL; they come from the environment"
                .to_string(),
        );
    }
    let unknown = || "the URL must begin with s3://, gs://, az:// or file:///".to_string();
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
    let limit = format!("{}ms", timeout.as_millis());
    let limit = limit.as_str();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            max_backoff: RETRY_WAIT_MAX,
            ..BackoffConfig::default()
        },
        max_retries: RETRIES_MAX,
        retry_timeout: timeout,
    };
    let mut missing = None;
    let reason = |error: object_store::Error| error.to_string();
    let objects: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => {
            let path = url.to_file_path().map_err(|()| unknown())?;
            if !options.is_empty() {
                return Err("a folder has no options".to_string());
            }
            return folder(&path);
        }
        ObjectStoreScheme::AmazonS3 => {
            let mut builder = AmazonS3Builder::from_env()
                .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), limit)
                .with_url(url.as_str())
                .with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(key.parse().map_err(reason)?, value);
            }
            use AmazonS3ConfigKey::*;
            let given = [
                AccessKeyId,
                WebIdentityTokenFile,
                ContainerCredentialsRelativeUri,
                ContainerCredentialsFullUri,
            ];
            let given = given
                .iter()
                .any(|key| builder.get_config_value(key).is_some());
            if !given
                && builder
                    .get_config_value(&SkipSignature)
                    .is_none_or(|skip| skip != "true")
            {
                missing = Some("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
            }
            Arc::new(builder.build().map_err(reason)?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), limit)
                .with_url(url.as_str())
                .with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(key.parse().map_err(reason)?, value);
            }
            use GoogleConfigKey::*;
            let given = [ServiceAccount, ServiceAccountKey, ApplicationCredentials];
            if !given
                .iter()
                .any(|key| builder.get_config_value(key).is_some())
            {
                missing = Some("GOOGLE_SERVICE_ACCOUNT");
            }
            Arc::new(builder.build().map_err(reason)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), limit)
                .with_url(url.as_str())
                .with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(key.parse().map_err(reason)?, value);
            }
            Arc::new(builder.build().map_err(reason)?)
        }
        _ => return Err(unknown()),
    };
    let objects = match prefix.as_ref() {
        "" => objects,
        _ => Arc::new(PrefixStore::new(objects, prefix)),
    };
    Ok(Place {
        shown: shown(text),
        objects,
        folder: None,
        missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        match open(url, &BTreeMap::new(), Duration::from_secs(1)) {
            Ok(_) => panic!("{url} was opened"),
            Err(reason) => reason,
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_its_reason() {
        assert!(refused("").contains("empty"));
        assert!(refused("ftp://host/x").contains("must begin with"));
        assert!(refused("https://host/x").contains("must begin with"));
        assert!(refused("s3://key:secret@bucket/x").contains("environment"));
        assert!(
            refused("s3://").contains("must begin with"),
            "{}",
            refused("s3://")
        );
        let options = BTreeMap::from([("colour".to_string(), "red".to_string())]);
        let unknown = open("s3://b/x", &options, Duration::from_secs(1));
        assert!(unknown.is_err_and(|reason| reason.contains("colour")));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("s3://key:secret@bucket/x?sig=1#2"), "s3://bucket/x");
        assert_eq!(shown("/mnt/cold"), "/mnt/cold");
    }

    #[test]
    fn stores_of_every_kind_open_without_the_network() {
        let s3 = BTreeMap::from([("region".to_string(), "eu-west-1".to_string())]);
        let place = open("s3://bucket/some/prefix", &s3, Duration::from_secs(1)).expect("S3");
        assert_eq!(
            (place.shown.as_str(), place.folder),
            ("s3://bucket/some/prefix", None)
        );
        let azure = BTreeMap::from([("account_name".to_string(), "a".to_string())]);
        open("az://container/p", &azure, Duration::from_secs(1)).expect("Azure");
        open("gs://bucket", &BTreeMap::new(), Duration::from_secs(1)).expect("Google");
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("file://{}/made", dir.path().display());
        let place = open(&url, &BTreeMap::new(), Duration::from_secs(1)).expect("a folder");
        assert!(place.folder.is_some_and(|folder| folder.is_dir()));
    }
}

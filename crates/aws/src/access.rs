//! Who asks and where: credentials, region and endpoints, found as AWS's own programs find them.

use std::{fmt, sync::Arc, time::Duration, time::SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::sync::Mutex;

use crate::{Api, AwsError, api::Place};

/// Credentials are asked for anew when this much of their time is left.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Where an account's global APIs are, if nobody names a region.
const REGION: &str = "us-east-1";

/// Credentials, region and endpoints.
///
/// Found in the order of AWS's SDKs
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>): variables,
/// profile files (with roles to assume and `credential_process`; not with IAM Identity Center),
/// web identity, containers, the machine's role. Endpoints are `AWS_ENDPOINT_URL_COST_EXPLORER`
/// and the like, then `AWS_ENDPOINT_URL`, both also from a profile.
#[derive(Clone)]
pub struct Access {
    config: Arc<SdkConfig>,
    known: Arc<Mutex<Option<Credentials>>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("region", &self.region()).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads variables and profile files; credentials are asked for when they are needed.
    pub async fn load(profile: Option<&str>) -> Self {
        // The workspace's TLS, as all other clients of Bursar have it.
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        Self { config: Arc::new(loader.load().await), known: Arc::default() }
    }

    /// Keys of nobody, and one endpoint for everything.
    #[cfg(test)]
    pub(crate) fn fixed(endpoint: &str) -> Self {
        use aws_credential_types::provider::SharedCredentialsProvider;
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "tests");
        let config = SdkConfig::builder()
            .region(Region::from_static("eu-central-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .build();
        Self { config: Arc::new(config), known: Arc::default() }
    }

    /// The region that was named, or else `us-east-1`.
    pub fn region(&self) -> &str {
        self.config.region().map_or(REGION, Region::as_ref)
    }

    /// Where an API is, in a region or else in the one that was named.
    pub(crate) fn place(&self, api: Api, region: Option<&str>) -> Place {
        let place = api.place(region.unwrap_or_else(|| self.region()));
        let key = aws_types::service_config::ServiceConfigKey::builder()
            .service_id(api.service_id())
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let named = self.config.service_config();
        let named = named.zip(key.ok()).and_then(|(config, key)| config.load_config(key));
        let named = named.or_else(|| self.config.endpoint_url().map(str::to_owned));
        match named {
            Some(url) => Place { url: url.trim_end_matches('/').to_owned(), ..place },
            None => place,
        }
    }

    /// Credentials that hold for some minutes.
    pub(crate) async fn credentials(&self) -> Result<Credentials, AwsError> {
        let mut known = self.known.lock().await;
        let until = SystemTime::now() + EARLY;
        let holds = |known: &&Credentials| known.expiry().is_none_or(|expiry| expiry > until);
        if let Some(known) = known.as_ref().filter(holds) {
            return Ok(known.clone());
        }
        let provider = self.config.credentials_provider();
        let provider = provider.ok_or_else(|| AwsError::Credentials("none found".to_owned()))?;
        let found = provider.provide_credentials().await;
        let found = found.map_err(|error| AwsError::Credentials(innermost(&error)))?;
        *known = Some(found.clone());
        Ok(found)
    }
}

/// The innermost cause: what is around it says no more than that something has failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

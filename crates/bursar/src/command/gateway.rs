//! `bursar gateway`.

use std::net::SocketAddr;

use crate::{
    command::serve,
    config,
    context::{Context, block_on},
    exit::Exit,
};

/// Run the gateway alone, without the API and the pages
///
/// Callers change their base URL: of Anthropic's SDKs to http://HOST:3010, of OpenAI's to
/// http://HOST:3010/v1, and send a tenant's key (`bursar key create`) as their API key. The vendors
/// stand in the config file, as [upstream.NAME]. `bursar serve` has a gateway, too, once there is an
/// upstream; several gateways may share a Postgres database.
///
/// Example: bursar --config bursar.toml gateway --listen 127.0.0.1:3011
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port, instead of the configured ones
    #[arg(long, value_name = "ADDRESS", value_parser = config::address)]
    listen: Option<SocketAddr>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut config = context.config()?;
        config.listen = self.listen.unwrap_or(config.listen);
        if config.upstreams.is_empty() {
            anyhow::bail!(
                "no upstream is configured: add one to the config file, as\n\n  \
                 [upstream.anthropic]\n  api = \"anthropic\"\n  \
                 url = \"https://api.anthropic.com\"\n  key_env = \"ANTHROPIC_API_KEY\"\n  \
                 models = \"claude-*\""
            );
        }
        serve::start_log(&config)?;
        block_on(serve::serve(config, true))?;
        Ok(Exit::Done)
    }
}

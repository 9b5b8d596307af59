//! moto, which answers as AWS does, on loopback; and Bursar with its lakes and bills there.
//!
//! It refuses a second object of a name as S3 does.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::Stage;
use crate::workspace::Process;
use crate::{contract, shell};

/// Words of `bursar cost` that ask something.
pub(super) type Question = &'static [&'static str];

/// A server that goes when this does.
pub(super) struct Moto<'a> {
    pub(super) stage: &'a Stage,
    pub(super) endpoint: String,
    _server: Process,
}

impl<'a> Moto<'a> {
    pub(super) fn start(stage: &'a Stage, folder: &Path) -> Result<Self> {
        let port = shell::free_port()?;
        let mut server = Command::new(stage.python.with_file_name("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let _server = contract::start(server, folder, "moto", port)?;
        Ok(Self { stage, endpoint: format!("http://127.0.0.1:{port}"), _server })
    }

    /// The same with a bucket.
    pub(super) fn with_bucket(self, name: &str) -> Result<Self> {
        let mut make = self.stage.script("bucket.py");
        shell::run(self.keys(make.args([&self.endpoint, name])))?;
        Ok(self)
    }

    /// Tells a command of the server, as AWS's own programs are told.
    pub(super) fn keys<'b>(&self, command: &'b mut Command) -> &'b mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ALLOW_HTTP", "true")
    }

    pub(super) fn ask(&self, lake: &Path, words: &[&str]) -> Result<String> {
        let words = [words, &["--output", "csv"]].concat();
        shell::output(self.keys(&mut self.stage.cost(lake, &words)))
    }

    pub(super) fn ingest(&self, lake: &Path, source: &str, at: &Path) -> Result<()> {
        let mut ingest = self.stage.cost(lake, &["ingest"]);
        ingest.arg(at).args(["--source", source]);
        shell::output(self.keys(&mut ingest)).map(drop)
    }

    /// Two lakes have to answer the same.
    pub(super) fn compare(&self, one: &Path, other: &Path, questions: &[Question]) -> Result<()> {
        for question in questions {
            let (ours, theirs) = (self.ask(one, question)?, self.ask(other, question)?);
            let (one, other) = (one.display(), other.display());
            ensure!(ours == theirs, "{question:?} of {one}: {ours}\nof {other}: {theirs}");
        }
        Ok(())
    }
}

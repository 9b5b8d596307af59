//! The vendors' own SDKs, unmodified, through the gateway to the scripted upstream.
//!
//! Owns: the upstream, Bursar and its tenants for the tests in `clients/sdk`, which check what was charged.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context, Result};

use crate::workspace::Process;
use crate::{clients, contract, shell, suite, upstream, workspace};

/// Which language's tests.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// One language alone.
    #[arg(long)]
    only: Option<Language>,
    /// Words for the language's own runner.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Python,
    Node,
}

impl Language {
    const ALL: [Self; 2] = [Self::Python, Self::Node];

    const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }
}

/// Only this run's server knows it.
const TOKEN: &str = "sdk-test-admin-token";
/// A tenant with room, one that no call fits, and one that a call brings beyond 80 %.
const TENANTS: [(&str, &str); 3] = [("", "1000"), ("POOR_", "0.00001"), ("NEAR_", "0.02")];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    suite::build()?;
    let folder = workspace::target()?.join("sdk");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("failed to clear the last run")?;
    }
    std::fs::create_dir_all(&folder)?;
    let house = House::start(&folder)?;
    for language in Language::ALL {
        if arguments.only.is_some_and(|only| only != language) {
            continue;
        }
        let mut tests = match language {
            Language::Python => python()?,
            Language::Node => node()?,
        };
        contract::clear_settings(&mut tests);
        tests.args(&arguments.rest).envs(house.variables(language)?);
        shell::run(&mut tests).with_context(|| {
            let log = shell::tail(&house.log);
            format!("failed with the SDKs for {}; Bursar's log ends:\n{log}", language.name())
        })?;
    }
    Ok(())
}

/// The upstream, Bursar in front of it, and where they are.
struct House {
    config: PathBuf,
    log: PathBuf,
    upstream: u16,
    gateway: u16,
    _processes: [Process; 2],
}

impl House {
    fn start(folder: &Path) -> Result<Self> {
        let (upstream, gateway) = (shell::free_port()?, shell::free_port()?);
        let mut vendor = Program::new(std::env::current_exe()?);
        vendor.args(["upstream", "--listen", &format!("127.0.0.1:{upstream}")]);
        let vendor = contract::start(vendor, folder, "upstream", upstream)?;
        let config = folder.join("bursar.toml");
        std::fs::write(&config, settings(folder, upstream, gateway))?;
        let mut serve = bursar(&config)?;
        serve.arg("serve");
        let served = contract::start(serve, folder, "bursar", gateway)?;
        let log = folder.join("bursar.log");
        Ok(Self { config, log, upstream, gateway, _processes: [vendor, served] })
    }

    /// Makes a language's tenants; what its tests need to know.
    fn variables(&self, language: Language) -> Result<Vec<(String, String)>> {
        let mut variables = vec![
            ("BURSAR_SDK_GATEWAY".to_owned(), format!("http://127.0.0.1:{}", self.gateway)),
            ("BURSAR_SDK_UPSTREAM".to_owned(), format!("http://127.0.0.1:{}", self.upstream)),
            ("BURSAR_SDK_ADMIN_TOKEN".to_owned(), TOKEN.to_owned()),
        ];
        for (prefix, limit) in TENANTS {
            let tenant =
                format!("sdk-{prefix}{}", language.name()).to_lowercase().replace('_', "-");
            let mut set = bursar(&self.config)?;
            shell::output(set.args(["budget", "set", &tenant, limit]))?;
            let mut create = bursar(&self.config)?;
            let made = shell::output(create.args(["key", "create", &tenant, "--output", "json"]))?;
            let made: serde_json::Value = serde_json::from_str(&made)?;
            let secret = made["keys"][0]["secret"].as_str().or(made[0]["secret"].as_str());
            let secret = secret.with_context(|| format!("no secret in {made}"))?.to_owned();
            variables.push((format!("BURSAR_SDK_{prefix}KEY"), secret));
            variables.push((format!("BURSAR_SDK_{prefix}TENANT"), tenant));
        }
        Ok(variables)
    }
}

fn settings(folder: &Path, upstream: u16, gateway: u16) -> String {
    format!(
        r#"listen = "127.0.0.1:{gateway}"
data_dir = {folder:?}
admin_token = "{TOKEN}"

[gateway]
trusted_networks = "127.0.0.0/8"
wait = "2s"
drain = "2s"
fail = "closed"

[upstream.anthropic]
api = "anthropic"
url = "http://127.0.0.1:{upstream}"
key = "{key}"
models = "claude-*"
timeout = "5s"
idle_timeout = "2s"

[upstream.openai]
api = "openai"
url = "http://127.0.0.1:{upstream}/v1"
key = "{key}"
models = "*"
timeout = "5s"
idle_timeout = "2s"
"#,
        key = upstream::KEY
    )
}

fn bursar(config: &Path) -> Result<Program> {
    let mut command = Program::new(workspace::target()?.join("debug").join("bursar"));
    contract::clear_settings(&mut command);
    command.arg("--config").arg(config);
    Ok(command)
}

/// Pytest in an environment of our own, filled anew when the requirements have changed.
fn python() -> Result<Program> {
    let folder = workspace::root().join("clients/sdk/python");
    let wanted = std::fs::read_to_string(folder.join("requirements.txt"))?;
    let environment = workspace::target()?.join("venv-sdk");
    let (program, stamp) = (environment.join("bin/python"), environment.join("requirements.txt"));
    if std::fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        shell::python_environment(&environment)?;
        let mut install = Program::new(&program);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        shell::run(install.current_dir(&folder).args(["--requirement", "requirements.txt"]))?;
        std::fs::write(&stamp, wanted)?;
    }
    let mut tests = Program::new(&program);
    tests.current_dir(folder).args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    Ok(tests)
}

fn node() -> Result<Program> {
    clients::node()?;
    let folder = workspace::root().join("clients/sdk/node");
    shell::run(Program::new("npm").current_dir(&folder).arg("ci"))?;
    let mut tests = Program::new("npm");
    tests.current_dir(folder).arg("test");
    Ok(tests)
}

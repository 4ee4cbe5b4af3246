//! What commands share: the manifest, the chosen backend, every backend.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use claude_bottle_plugin_api::abi::host::HostServices;
use claude_bottle_plugin_api::{Context, Owner};

use super::{App, Command};
use crate::egress::choose_proxy;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{Agent, Bottle, DEFAULTS_FILE, Defaults, Manifest, ManifestErrors, TokenSource};
use crate::plugins::registry::{self, Entry, Status};
use crate::plugins::{Identity, Pins, SearchInputs, SearchPath, pin};
use crate::results::store::Store;
use crate::run::backend::Backend;
use crate::run::plugin_services::PluginLog;
use crate::run::records::Runs;
use crate::run::token::Granted;
use crate::ui::Answer;
use crate::ui::interrupt::Interrupt;
use crate::ui::output;
use crate::ui::progress::Progress;

/// The backend that is used when nobody chose.
pub(super) const DEFAULT_BACKEND: &str = "docker";

impl App {
    /// Loads the manifest of this directory and of the home directory.
    pub(super) fn manifest(&self) -> CliResult<Manifest> {
        super::trust::load_manifest(self)
    }

    /// Gives an agent's bottle the user's token.
    pub(super) fn granted(&self, agent: &Agent, bottle: &Bottle) -> Granted {
        let proxy = choose_proxy(bottle, self.invocation.setting("PIPELOCK_IMAGE"));
        Granted::new(self.token().as_ref(), agent, bottle, proxy)
    }

    /// Returns where the user's token for agents is: the environment's wins over that of `config.yaml`.
    pub(super) fn token(&self) -> Option<TokenSource> {
        self.invocation.token().or_else(|| self.defaults.token.clone())
    }

    /// Asks a yes-or-no question; without a terminal that is an error with the hint, and an interrupt is one too.
    pub(super) fn confirm(&self, question: &str, hint: &str, interrupt: &Interrupt) -> CliResult<bool> {
        Ok(Answer::of(&self.choose(question, "y/N", hint, interrupt)?) == Answer::Yes)
    }

    /// The same with these choices; returns what was typed.
    pub(super) fn choose(
        &self,
        question: &str,
        choices: &str,
        hint: &str,
        interrupt: &Interrupt,
    ) -> CliResult<String> {
        if !self.ui.interactive {
            return Err(CliError::new(Exit::Failed, self.ui.cannot_ask()).hint(hint));
        }
        let typed = self.ui.choose(question, choices, interrupt)?;
        typed.ok_or_else(|| CliError::new(Exit::Interrupted, "interrupted"))
    }

    /// Returns the records of runs.
    pub(super) fn runs(&self) -> Runs {
        Runs::new(&self.invocation.state_dir)
    }

    /// Returns the saved results.
    pub(super) fn results(&self) -> Store {
        Store::new(&self.invocation.state_dir)
    }

    /// Returns the name of the backend: the flag's, else the environment's, else that of `config.yaml`, else the default.
    pub(super) fn backend_name<'a>(&'a self, flag: Option<&'a str>) -> &'a str {
        let chosen = flag.or_else(|| self.invocation.setting("BACKEND"));
        chosen.or(self.defaults.backend.as_deref()).unwrap_or(DEFAULT_BACKEND)
    }

    /// Reads the user's defaults for a command that goes by them.
    ///
    /// What is wrong with them ends a command that would do something else than was meant. One that looks at bottles, or ends
    /// them, has to work all the same.
    pub(super) fn read_defaults(&mut self, command: &Command) -> CliResult {
        let is_needed = match command {
            Command::Start(_)
            | Command::Resume(_)
            | Command::Doctor(_)
            | Command::Verify(_)
            | Command::Edit(_)
            | Command::Init(_) => true,
            Command::Info(_)
            | Command::Policy(_)
            | Command::List(_)
            | Command::Ps(_)
            | Command::Exec(_)
            | Command::Attach(_)
            | Command::Stop(_)
            | Command::Cleanup(_) => false,
            _ => return Ok(()),
        };
        match Defaults::read(&self.invocation.config_dir, &self.invocation.home) {
            Ok(defaults) => self.defaults = defaults,
            Err(errors) if is_needed => {
                let is_start = matches!(command, Command::Start(_) | Command::Resume(_));
                return Err(unfit(&errors).exit(if is_start { Exit::Start } else { Exit::Failed }));
            }
            Err(errors) => self.ui.warning(&format!("{DEFAULTS_FILE} is left out: {}", errors.report())),
        }
        Ok(())
    }

    /// Returns where plug-ins are looked for.
    pub(super) fn search_path(&self) -> SearchPath {
        SearchPath::new(SearchInputs {
            plugin_path: self.invocation.plugin_path.clone(),
            data_dir: Some(self.invocation.data_dir.clone()),
            executable: Some(self.invocation.exe.clone()),
            identity: Identity::current(),
        })
    }

    /// Returns the file in which plug-ins are pinned.
    pub(super) fn pins_file(&self) -> PathBuf {
        self.invocation.data_dir.join(pin::PINS_FILE)
    }

    /// Returns which plug-ins are pinned to one content.
    pub(super) fn pins(&self) -> CliResult<Pins> {
        Ok(Pins::read(&self.pins_file())?)
    }

    /// Returns the plug-ins that could be loaded; none of their code runs.
    pub(super) fn loadable(&self) -> CliResult<Vec<String>> {
        let entries = registry::list(&self.search_path(), &self.pins()?);
        let usable = |entry: &Entry| matches!(entry.status, Status::Usable);
        Ok(entries.into_iter().filter(usable).map(|entry| entry.name).collect())
    }

    /// Loads and opens a backend.
    pub(super) fn open(&self, name: &str, calls: &Calls) -> CliResult<Backend> {
        output::keep_from_plugins().context("cannot move standard output away from plug-ins")?;
        let loaded = registry::load(&self.search_path(), &self.pins()?, name)?;
        let description = loaded.module.describe()?;
        let log: Arc<dyn HostServices> =
            Arc::new(PluginLog { backend: name.to_owned(), dead: calls.dead.clone() });
        let mut context = Context::default();
        context.host_version = env!("CARGO_PKG_VERSION").to_owned();
        context.settings.clone_from(&self.invocation.settings);
        context.data_dir = self.invocation.data_dir.join("backends").join(name);
        let opened = loaded.module.open(log, &context)?;
        tracing::debug!(backend = name, path = %loaded.path.display(), "opened");
        Ok(Backend::new(description, opened, &calls.interrupt, &calls.progress))
    }
}

/// Makes the error of defaults that cannot be understood.
fn unfit(errors: &ManifestErrors) -> CliError {
    let mut error = CliError::new(Exit::Failed, format!("{DEFAULTS_FILE} cannot be used"));
    error.details = Some(errors.report());
    errors.hints().into_iter().fold(error, CliError::hint)
}

/// What the calls of one command share.
pub(super) struct Calls {
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) progress: Arc<Progress>,
    /// An owner that counts as dead.
    pub(super) dead: Option<Owner>,
}

impl Calls {
    /// Installs signal handlers, and shows progress on a terminal.
    pub(super) fn new(app: &App) -> CliResult<Self> {
        let progress = Arc::new(Progress::new(app.ui.stderr_terminal && !app.ui.is_quiet()));
        Ok(Self { interrupt: Interrupt::install()?, progress, dead: None })
    }

    /// Shows nothing and listens to no signal.
    pub(super) fn silent(dead: Option<Owner>) -> CliResult<Self> {
        Ok(Self { interrupt: Interrupt::silent()?, progress: Arc::new(Progress::new(false)), dead })
    }
}

//! `nonnocere console account`: who may use the console. The first account is made so.

use crate::audit::key::Signing;
use crate::audit::store::Store;
use crate::config::{Audit, Config};
use crate::console::account::{Passwords, Refusal, Role, Wish, named};
use crate::console::language::Language;
use clap::Subcommand;
use std::io::{IsTerminal, Write};

/// Who acts where nobody is signed in: no account can have this name.
pub const BY: &str = "command line";

/// What is to be done with accounts. Passwords are read from the standard input, a line.
#[derive(Subcommand)]
pub enum AccountCommand {
    /// Make an account.
    Add {
        /// Its name: a-z, 0-9 and . _ @ -
        name: String,
        /// What it may do: viewer, reviewer, editor, approver, admin.
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// Show all accounts.
    List,
    /// Give an account another role; its sessions end.
    Role {
        /// Its name.
        name: String,
        /// What it may do: viewer, reviewer, editor, approver, admin.
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Give an account another password; its sessions end.
    Password {
        /// Its name.
        name: String,
    },
    /// Remove an account; its sessions end.
    Remove {
        /// Its name.
        name: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    let names = || Role::ALL.map(Role::id).join(", ");
    Role::from_id(text).ok_or_else(|| format!("expected one of {}", names()))
}

/// Does it.
///
/// # Errors
/// When it cannot be done, and what to do instead.
pub async fn run(config: &Config, command: AccountCommand) -> anyhow::Result<()> {
    let none = || anyhow::anyhow!("audit.url is none: accounts are kept in the audit store");
    let audit = config.audit.as_ref().ok_or_else(none)?;
    let mut out = std::io::stdout().lock();
    match command {
        AccountCommand::List => {
            for account in super::find_store(audit).await?.accounts().await? {
                writeln!(out, "{}: {}", account.name, account.role.id())?;
            }
        }
        AccountCommand::Add { name, role } => {
            let name = named(&name).map_err(shown)?;
            let wish = Wish::Add(role, Some(password(&name).await?));
            // The first account may be there before the first decision is.
            change(&super::open_store(audit).await?, audit, (&name, &wish)).await?;
            writeln!(out, "{name}: {}", role.id())?;
        }
        AccountCommand::Role { name, role } => {
            change(&super::find_store(audit).await?, audit, (&name, &Wish::Role(role))).await?;
            writeln!(out, "{name}: {}", role.id())?;
        }
        AccountCommand::Password { name } => {
            let wish = Wish::Password(password(&name).await?);
            change(&super::find_store(audit).await?, audit, (&name, &wish)).await?;
            writeln!(out, "{name}: a new password")?;
        }
        AccountCommand::Remove { name } => {
            change(&super::find_store(audit).await?, audit, (&name, &Wish::Remove)).await?;
            writeln!(out, "{name}: removed")?;
        }
    }
    Ok(())
}

async fn change(store: &Store, audit: &Audit, (name, wish): (&str, &Wish)) -> anyhow::Result<()> {
    let key = key(store, audit).await?;
    store.change_account(name, wish, (BY, &key)).await.map_err(shown)
}

/// The key that signs: the one that signs already, or where nothing is kept yet, one that is made.
async fn key(store: &Store, audit: &Audit) -> anyhow::Result<Signing> {
    let shown = audit.key.display();
    // A proxy signs a little after it has started.
    let is_unsigned = store.last_act().await?.is_none() && store.checkpoints().await?.is_empty();
    let is_empty = is_unsigned && store.oldest().await?.is_none();
    anyhow::ensure!(
        is_empty || audit.key.exists(),
        "audit.key: {shown} is not there; accounts are changed by the key that signs the record"
    );
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    // Signed by a key that nobody knows, it would break the chain for all.
    anyhow::ensure!(
        is_unsigned || store.knows(&key.public()).await?,
        "audit.key: {shown} has signed nothing here yet; accounts are changed by the key that signs the record"
    );
    Ok(key)
}

async fn password(name: &str) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        writeln!(std::io::stderr(), "the password of {name}, a line (it is shown as you type):")?;
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    Passwords::default().hash(password, name).await.map_err(shown)
}

fn shown(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Store(error) => error.into(),
        refusal => anyhow::anyhow!("{}", refusal.told(Language::En)),
    }
}

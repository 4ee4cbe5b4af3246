//! The agent's user in an image that is not this plug-in's: the manifest's `user`, or else the image's, and never root.
//!
//! An image that says root or nothing gets its own user with the number 1000 or, where there is none, one that is added to the
//! container. What an image has of users is read from its `/etc/passwd`, out of a container that is never started.

use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig};
use claude_bottle_kit::Labels;
use claude_bottle_kit::agent_image::AgentImage;
use claude_bottle_kit::tree::{Entry, TarWriter, TreeError};
use claude_bottle_plugin_api::{Call, Result};
use serde::{Deserialize, Serialize};

use super::{Renew, agent};
use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::names::PREFIX;
use crate::plan::{Planned, labels, role};

/// The user of this plug-in's own image.
const OWN: &str = "node";
/// The number of that user, and of the first ordinary one of most systems.
const USUAL: u32 = 1000;
/// A user that is added.
const ADDED: &str = "agent";
/// Homes that are not a user's own.
const SYSTEM: [&str; 10] =
    ["/bin", "/dev", "/etc", "/lib", "/nonexistent", "/proc", "/root", "/sbin", "/sys", "/usr"];

/// The agent's user in its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentUser {
    /// As the engine takes it.
    pub(crate) engine: String,
    pub(crate) ids: (u32, u32),
    pub(crate) home: String,
    /// `/etc/passwd` as it is to be, when the user is not in it.
    passwd: Option<String>,
    /// Whether the image is ours, and has all that this user needs.
    pub(crate) is_own: bool,
}

impl AgentUser {
    /// Returns the user of this plug-in's own image.
    pub(crate) fn own(home: &str) -> Self {
        let (engine, ids) = (OWN.to_owned(), (USUAL, USUAL));
        Self { engine, ids, home: home.to_owned(), passwd: None, is_own: true }
    }

    /// Writes what is put into the container before it starts, when the image may lack it: the home and the user's entry.
    /// `state` is the directory of the home with what the agent remembers.
    pub(crate) fn write(&self, writer: &mut TarWriter<'_>, state: &str) -> Result<(), TreeError> {
        let dir = |mode| Entry { owner: self.ids, mode, mtime: 0 };
        writer.dir(Path::new(&self.home), dir(0o755))?;
        let mut place = Path::new(&self.home).to_owned();
        for part in Path::new(state) {
            place.push(part);
            writer.dir(&place, dir(0o700))?;
        }
        if let Some(passwd) = &self.passwd {
            let entry = Entry { owner: (0, 0), mode: 0o644, mtime: 0 };
            writer.file(Path::new("/etc/passwd"), entry, passwd.as_bytes())?;
        }
        Ok(())
    }
}

/// Finds the agent's user in an image of the user's own, which is pulled when it is not there.
pub(crate) async fn find(
    engine: &impl Engine,
    call: &Call,
    plan: &mut Planned,
    owner: &Labels,
    home: Option<&str>,
) -> Result<()> {
    let AgentImage::Given { reference } = &plan.image else { return Ok(()) };
    let reference = reference.clone();
    agent::ensure(engine, call, (&plan.image, plan.renew)).await?;
    let says = engine.image_user(&reference).await;
    let says = says.map_err(|source| DockerError::FindImage { reference: reference.clone(), source })?;
    let passwd = passwd(engine, &reference, &plan.spec.id, owner).await?;
    let asked = plan.spec.bottle.user.as_deref();
    plan.user = choose(asked, &says, &passwd, &reference)?;
    if let Some(home) = home {
        home.clone_into(&mut plan.user.home);
    }
    // It has just been pulled, where that was asked for.
    plan.renew = Renew::default();
    Ok(())
}

/// Reads an image's list of users; empty when it has none.
async fn passwd(engine: &impl Engine, reference: &str, run: &str, owner: &Labels) -> Result<String> {
    let name = format!("{PREFIX}look-{run}");
    let body = ContainerCreateBody {
        image: Some(reference.to_owned()),
        // An engine asks for some command, also of a container that is never started.
        entrypoint: Some(vec!["/never".to_owned()]),
        labels: labels(owner, role::LOOK),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let made = engine.create_container(&name, body).await;
    let id = made.map_err(|source| DockerError::CreateContainer { name: name.clone(), source })?;
    let found = engine.file(&id, "/etc/passwd").await;
    let removed = engine.remove(Kind::Container, &id).await;
    removed.map_err(|source| DockerError::Remove { kind: Kind::Container.noun(), name, source })?;
    let found = found.map_err(|source| DockerError::FindImage { reference: reference.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&found.unwrap_or_default()).into_owned())
}

/// A line of `/etc/passwd`: <https://man7.org/linux/man-pages/man5/passwd.5.html>.
struct Line<'p> {
    name: &'p str,
    ids: (u32, u32),
    home: &'p str,
}

fn lines(passwd: &str) -> impl Iterator<Item = Line<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, user, group, _, home, ..] = fields[..] else { return None };
        Some(Line { name, ids: (user.parse().ok()?, group.parse().ok()?), home })
    })
}

/// Chooses the user. The manifest's is used or refused; an image's root is treated like no user.
fn choose(asked: Option<&str>, says: &str, passwd: &str, image: &str) -> Result<AgentUser, DockerError> {
    let is_root = |word: &str| {
        let user = word.split(':').next().unwrap_or_default();
        user.parse() == Ok(0_u32) || lines(passwd).any(|line| line.name == user && line.ids.0 == 0)
    };
    let usual = USUAL.to_string();
    let word = match asked {
        Some(asked) if is_root(asked) => {
            return Err(DockerError::AgentAsRoot { user: asked.to_owned(), image: image.to_owned() });
        }
        Some(asked) => asked,
        None if says.is_empty() || is_root(says) => &usual,
        None => says,
    };
    let (user, group) = word.split_once(':').map_or((word, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let line = lines(passwd).find(|line| line.name == user || Some(line.ids.0) == number);
    match (line, number) {
        (Some(line), _) => Ok(known(&line, group)),
        (None, Some(number)) => Ok(added(number, group, passwd)),
        (None, None) => {
            let users = lines(passwd).filter(|line| line.ids.0 >= USUAL && line.ids.0 < 65_534);
            let users = users.map(|line| line.name.to_owned()).collect();
            Err(DockerError::NoUser { user: user.to_owned(), image: image.to_owned(), users })
        }
    }
}

fn known(line: &Line<'_>, group: Option<&str>) -> AgentUser {
    let group_id = group.and_then(|group| group.parse().ok()).unwrap_or(line.ids.1);
    let is_own_home = line.home.starts_with('/')
        && Path::new(line.home).components().count() > 1
        && !line.home.split('/').any(|part| part == "..")
        && !SYSTEM.iter().any(|system| Path::new(line.home).starts_with(system));
    let home = if is_own_home { line.home.to_owned() } else { format!("/home/{ADDED}") };
    // By its name it keeps the groups that the image gives it.
    let engine = group.map_or_else(|| line.name.to_owned(), |group| format!("{}:{group}", line.name));
    AgentUser { engine, ids: (line.ids.0, group_id), home, passwd: None, is_own: false }
}

fn added(user: u32, group: Option<&str>, passwd: &str) -> AgentUser {
    let group = group.and_then(|group| group.parse().ok()).unwrap_or(user);
    let home = format!("/home/{ADDED}");
    let name = if lines(passwd).any(|line| line.name == ADDED) { "claude-bottle-agent" } else { ADDED };
    let end = if passwd.is_empty() || passwd.ends_with('\n') { "" } else { "\n" };
    let passwd = format!("{passwd}{end}{name}:x:{user}:{group}::{home}:/bin/sh\n");
    let engine = format!("{user}:{group}");
    AgentUser { engine, ids: (user, group), home, passwd: Some(passwd), is_own: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/root:/bin/sh\n\
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nubuntu:x:1000:1001::/home/ubuntu:/bin/bash\n\
        app:x:5000:5000::/opt/app:/bin/sh";

    #[track_caller]
    fn check(asked: Option<&str>, says: &str, engine: &str, ids: (u32, u32), home: &str) {
        let user = choose(asked, says, PASSWD, "image").unwrap();
        assert_eq!((user.engine.as_str(), user.ids, user.home.as_str()), (engine, ids, home));
    }

    #[test]
    fn what_is_asked_for_goes_before_what_the_image_says() {
        check(None, "app", "app", (5000, 5000), "/opt/app");
        check(Some("ubuntu"), "app", "ubuntu", (1000, 1001), "/home/ubuntu");
        check(Some("5000"), "", "app", (5000, 5000), "/opt/app");
        check(Some("1000:7"), "", "ubuntu:7", (1000, 7), "/home/ubuntu");
        check(None, "app:app", "app:app", (5000, 5000), "/opt/app");
        // A home of the system's is not made the agent's.
        check(Some("daemon"), "", "daemon", (1, 1), "/home/agent");
    }

    #[test]
    fn root_in_an_image_is_its_first_ordinary_user_or_one_that_is_added() {
        for says in ["", "root", "0", "0:0", "toor"] {
            check(None, says, "ubuntu", (1000, 1001), "/home/ubuntu");
        }
        let user = choose(None, "root", "root:x:0:0::/root:/bin/sh", "image").unwrap();
        assert_eq!((user.engine.as_str(), user.ids), ("1000:1000", (1000, 1000)));
        let passwd = user.passwd.unwrap();
        assert_eq!(passwd, "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n");
        let user = choose(Some("1234:56"), "", "", "image").unwrap();
        assert_eq!((user.engine.as_str(), user.ids), ("1234:56", (1234, 56)));
    }

    #[test]
    fn root_and_nobody_there_are_refused() {
        for asked in ["toor", "root", "0"] {
            let error = choose(Some(asked), "", PASSWD, "image").unwrap_err();
            assert!(matches!(error, DockerError::AgentAsRoot { .. }), "{error}");
        }
        let error = choose(Some("dev"), "", PASSWD, "image").unwrap_err().to_string();
        assert_eq!(error, "the image `image` has no user `dev`");
    }
}

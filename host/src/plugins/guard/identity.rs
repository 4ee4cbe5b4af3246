//! Whose files count as the user's own.

use std::fs;

/// Who runs this process, as far as trust in files is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The effective user.
    pub uid: u32,
    /// The group that has no other member than the user, when there is one.
    ///
    /// Many distributions give each user such a group and a umask of 002, so that a file of the user's is writable by
    /// it. Any other group is taken for other people.
    pub private_group: Option<u32>,
    /// Whether the process has more rights than its caller, so that the caller's environment must not steer it.
    pub elevated: bool,
}

impl Identity {
    /// Returns the identity of this process.
    pub fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let real = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let files = fs::read_to_string("/etc/passwd").ok().zip(fs::read_to_string("/etc/group").ok());
        let private = files.is_some_and(|(passwd, group)| is_private_group(uid, gid, &passwd, &group));
        let secure = fs::read("/proc/self/auxv").map_or(true, |auxv| is_secure(&auxv));
        Self { uid, private_group: private.then_some(gid), elevated: real != (uid, gid) || secure }
    }

    /// Returns whether a file of this user is trusted.
    pub(super) fn trusts(&self, owner: u32) -> bool {
        owner == 0 || owner == self.uid
    }
}

/// Returns whether `gid` is the primary group of `uid`, called like the user, and nobody else is in it.
///
/// A user or group that is not in these files (but in a directory service, say) has no private group.
fn is_private_group(uid: u32, gid: u32, passwd: &str, group: &str) -> bool {
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        Some((name, uid, gid))
    });
    let primary: Vec<_> = users.filter(|(_, _, primary)| *primary == gid).collect();
    let [(name, owner, _)] = primary[..] else { return false };
    let mut groups = group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, number, members] = fields[..] else { return None };
        (number.parse::<u32>().ok()? == gid).then_some((name, members))
    });
    let Some((group_name, members)) = groups.next() else { return false };
    let alone = members.split(',').map(str::trim).all(|member| member.is_empty() || member == name);
    owner == uid && group_name == name && alone && groups.next().is_none()
}

/// Returns whether the kernel flagged this process as one with raised rights.
///
/// `AT_SECURE` is 23 (getauxval(3)); an entry is two machine words (proc(5), `/proc/pid/auxv`).
fn is_secure(auxv: &[u8]) -> bool {
    const AT_SECURE: usize = 23;
    let (words, _) = auxv.as_chunks::<{ size_of::<usize>() }>();
    let mut entries = words.chunks_exact(2);
    let entry = entries.find(|entry| usize::from_ne_bytes(entry[0]) == AT_SECURE);
    entry.is_none_or(|entry| usize::from_ne_bytes(entry[1]) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_group_is_the_users_alone() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\n";
        let group = "root:x:0:\nann:x:1000:\nusers:x:100:\nlent:x:7:ann\n";
        let private = |uid, gid, group: &str| is_private_group(uid, gid, passwd, group);
        assert!(private(1000, 1000, group));
        assert!(private(1000, 1000, "ann:x:1000:ann\n"));
        assert!(!private(1000, 1000, "ann:x:1000:ann,bob\n"), "another member");
        assert!(!private(1000, 1000, "ann:x:1000:\nalso:x:1000:bob\n"), "two names for one group");
        assert!(!private(1000, 1000, "staff:x:1000:\n"), "not called like the user");
        assert!(!private(1001, 100, group), "a shared primary group");
        assert!(!private(1000, 7, group), "nobody's primary group");
        assert!(!private(5000, 5000, group), "a user from elsewhere");
        let shared = format!("{passwd}eve:x:1002:1000::/:/bin/sh\n");
        assert!(!is_private_group(1000, 1000, &shared, group), "another user's primary group");
    }

    #[test]
    fn raised_rights_are_seen_in_the_auxiliary_vector() {
        let auxv = |secure: usize| [6, 4096, 23, secure, 0, 0].map(usize::to_ne_bytes).concat();
        assert!(!is_secure(&auxv(0)));
        assert!(is_secure(&auxv(1)));
        assert!(is_secure(&[]), "a vector that does not say so is not trusted");
        assert!(!Identity::current().elevated);
    }
}

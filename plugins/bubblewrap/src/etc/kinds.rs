//! Kinds of files in `/etc` that stay out of every bottle, wherever they come from.
//!
//! What a package brought unchanged holds no secret. These stay out nevertheless: a program in a bottle does not need
//! them, and they may hold what is specific to this machine.

/// Names in `/etc` and their kind. A star at the end stands for any ending of the name.
const OUT: [(&str, &str); 5] = [
    (
        "users",
        "doas* group* gshadow* ipa krb5* ldap* nslcd* openldap pam* passwd* polkit-1 samba security shadow* sssd \
         subgid* subuid* sudo*",
    ),
    (
        "the machine",
        "adjtime auto.* crypttab* default exports* fstab* hostname* lvm machine-id machine-info mdadm* modprobe.d \
         modules* sysctl* udev",
    ),
    (
        "its network",
        "NetworkManager cni dhcp* firewalld frr hosts* ipsec* iptables* netplan network* nftables* nsswitch* openvpn \
         ppp proxychains* resolv* strongswan* swanctl tor ufw wireguard wpa_supplicant",
    ),
    (
        "its services",
        "aliases* amazon anacrontab ansible apparmor* at.* audit* azure chef cloud containerd containers cron* cups \
         docker* exim4 google* init.d kubernetes logrotate* mailname msmtprc mysql nginx postfix postgresql puppet* \
         rancher rc* redis rsyslog* runit salt selinux snmp ssh sv systemd",
    ),
    (
        "secrets",
        "acme* apt credstore* dnf environment* gitconfig keys letsencrypt netrc npmrc pacman.d pip.conf \
         secrets vault* yum* zypp",
    ),
];

/// Paths below directories that come in. The certificate has the machine's name in it.
const OUT_BELOW: [&str; 3] = ["pki/tls/private", "ssl/certs/ssl-cert-snakeoil.pem", "ssl/private"];

/// Returns `true` if a path below `/etc` is of a kind that stays out.
pub(super) fn is_out(name: &str) -> bool {
    if name.contains('/') {
        return OUT_BELOW.contains(&name);
    }
    let is = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    OUT.iter().any(|(_, patterns)| patterns.split(' ').any(is))
}

//! Call numbers: which are refused whatever their arguments, on x86-64 and on arm64.
//!
//! Sources: `arch/x86/entry/syscalls/syscall_64.tbl` and `scripts/syscall.tbl` of Linux 6.18,
//! <https://github.com/torvalds/linux/blob/v6.18/arch/x86/entry/syscalls/syscall_64.tbl>.

/// An architecture the filter is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86,
    Arm,
}

/// The newest call this filter knows, `file_setattr`; from 424 on both architectures number alike.
pub const NEWEST: u32 = 469;

pub(super) const CLONE3: u32 = 435;

/// Marks a call an architecture does not have.
const NONE: u32 = u32::MAX;

/// Refused calls: name, number on x86-64, number on arm64; the name is the one a profile has for it as well.
pub const REFUSED: &[(&str, u32, u32)] = &[
    // Key rings are not per namespace.
    ("add_key", 248, 217),
    ("request_key", 249, 218),
    ("keyctl", 250, 219),
    // Large attack surfaces of the kernel.
    ("io_uring_setup", 425, 425),
    ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427),
    ("userfaultfd", 323, 282),
    ("bpf", 321, 280),
    ("perf_event_open", 298, 241),
    ("fanotify_init", 300, 262),
    ("modify_ldt", 154, NONE),
    ("lookup_dcookie", 212, 18),
    ("kcmp", 312, 272),
    // Namespaces and mounts.
    ("unshare", 272, 97),
    ("setns", 308, 268),
    ("mount", 165, 40),
    ("umount2", 166, 39),
    ("pivot_root", 155, 41),
    ("chroot", 161, 51),
    ("open_tree", 428, 428),
    ("move_mount", 429, 429),
    ("fsopen", 430, 430),
    ("fsconfig", 431, 431),
    ("fsmount", 432, 432),
    ("fspick", 433, 433),
    ("mount_setattr", 442, 442),
    ("open_tree_attr", 467, 467),
    ("open_by_handle_at", 304, 265),
    ("name_to_handle_at", 303, 264),
    // The machine as a whole.
    ("acct", 163, 89),
    ("settimeofday", 164, 170),
    ("clock_settime", 227, 112),
    ("sethostname", 170, 161),
    ("setdomainname", 171, 162),
    ("swapon", 167, 224),
    ("swapoff", 168, 225),
    ("reboot", 169, 142),
    ("kexec_load", 246, 104),
    ("kexec_file_load", 320, 294),
    ("init_module", 175, 105),
    ("finit_module", 313, 273),
    ("delete_module", 176, 106),
    ("create_module", 174, NONE),
    ("get_kernel_syms", 177, NONE),
    ("query_module", 178, NONE),
    ("nfsservctl", 180, 42),
    ("quotactl", 179, 60),
    ("quotactl_fd", 443, 443),
    ("syslog", 103, 116),
    ("vhangup", 153, 58),
    ("ioperm", 173, NONE),
    ("iopl", 172, NONE),
    ("uselib", 134, NONE),
    ("ustat", 136, NONE),
    ("sysfs", 139, NONE),
    ("_sysctl", 156, NONE),
    // The placing of memory of other processes.
    ("migrate_pages", 256, 238),
    ("move_pages", 279, 239),
    ("get_mempolicy", 239, 236),
    ("mbind", 237, 235),
    ("set_mempolicy", 238, 237),
    ("set_mempolicy_home_node", 450, 450),
    ("process_madvise", 440, 440),
    // The settings of security modules.
    ("lsm_get_self_attr", 459, 459),
    ("lsm_set_self_attr", 460, 460),
    ("lsm_list_modules", 461, 461),
    // Takes descriptors out of other processes.
    ("pidfd_getfd", 438, 438),
];

impl Arch {
    /// Finds it by the name Rust has for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86),
            "aarch64" => Some(Self::Arm),
            _ => None,
        }
    }

    fn pick(self, x86: u32, arm: u32) -> u32 {
        match self {
            Self::X86 => x86,
            Self::Arm => arm,
        }
    }

    /// `AUDIT_ARCH_X86_64` or `AUDIT_ARCH_AARCH64`.
    pub(super) fn audit(self) -> u32 {
        self.pick(0xc000_003e, 0xc000_00b7)
    }

    pub(super) fn clone(self) -> u32 {
        self.pick(56, 220)
    }

    pub(super) fn ioctl(self) -> u32 {
        self.pick(16, 29)
    }

    pub(super) fn personality(self) -> u32 {
        self.pick(135, 92)
    }

    pub(super) fn socket(self) -> u32 {
        self.pick(41, 198)
    }

    pub(super) fn socketpair(self) -> u32 {
        self.pick(53, 199)
    }

    pub(super) fn refused(self) -> impl Iterator<Item = u32> {
        REFUSED.iter().map(move |(_, x86, arm)| self.pick(*x86, *arm)).filter(|number| *number != NONE)
    }
}

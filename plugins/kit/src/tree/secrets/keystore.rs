//! Java's own keystores: those that hold certificates alone, as a JDK's `cacerts` does, are not secrets.
//!
//! The format has no document but its reader:
//! <https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/sun/security/provider/JavaKeyStore.java>

const MAGIC: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];
/// The tag of an entry that is a certificate.
const CERTIFICATE: u32 = 2;
/// More than any store has; an entry is at least 16 bytes long.
const MAX_ENTRIES: u32 = 1 << 18;

/// Returns `true` if a file is a keystore by how it begins.
pub(super) fn is_one(head: &[u8]) -> bool {
    MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// Returns `true` if a file is a keystore, whole, in which every entry is a certificate.
pub(super) fn holds_certificates_alone(bytes: &[u8]) -> bool {
    is_one(bytes) && certificates(&mut &bytes[4..]).is_some()
}

fn certificates(rest: &mut &[u8]) -> Option<()> {
    let version = number(rest)?;
    let count = number(rest).filter(|count| *count <= MAX_ENTRIES)?;
    for _ in 0..count {
        (number(rest)? == CERTIFICATE).then_some(())?;
        name(rest)?;
        rest.split_off(..8)?;
        if version > 1 {
            name(rest)?;
        }
        let length = number(rest)?;
        rest.split_off(..usize::try_from(length).ok()?)?;
    }
    Some(())
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?))
}

fn name(rest: &mut &[u8]) -> Option<()> {
    let length = u16::from_be_bytes(rest.split_off(..2)?.try_into().ok()?);
    rest.split_off(..usize::from(length)).map(drop)
}

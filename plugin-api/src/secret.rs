//! A secret value on its way from the host into a bottle.

use zeroize::Zeroizing;

/// The bytes of a secret, wiped when dropped.
///
/// Invariant: no `Debug`, `Display`, `Serialize` or `Clone`. A secret goes from the host into the bottle by a
/// file in the bottle's memory or by standard input, never by an argument list, a label or a file on a disk.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

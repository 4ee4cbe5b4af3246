//! A stream that is masked in pieces, for the fuzz target of the mask.

use bytes::Bytes;
use claude_bottle_egress_policy::GuardSecrets;

use super::mask::{Mask, Masking};
use crate::error::GuardError;

/// A mask for the secrets of a trial.
pub struct Trial(Mask);

impl Trial {
    /// Makes it.
    ///
    /// # Errors
    /// Fails when the secrets are more than can be looked for.
    pub fn new(secrets: &GuardSecrets) -> Result<Self, GuardError> {
        Mask::of_all(secrets).map(Self)
    }

    /// Returns what is overwritten.
    pub fn forms(&self) -> &[Vec<u8>] {
        self.0.needles()
    }

    /// Returns what comes out of pieces that come one after the other, with a pause behind some.
    pub fn in_pieces<'p>(&self, pieces: impl Iterator<Item = (&'p [u8], bool)>) -> Vec<u8> {
        let (mut masking, mut out) = (Masking::new(&self.0), Vec::new());
        for (piece, pauses) in pieces {
            out.extend_from_slice(&masking.push(Bytes::copy_from_slice(piece)));
            if pauses {
                out.extend_from_slice(&masking.pause());
            }
        }
        out.extend_from_slice(&masking.finish());
        out
    }
}

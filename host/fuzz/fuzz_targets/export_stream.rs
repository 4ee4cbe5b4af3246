//! Any bytes as the export of a bottle: read whole or refused, without a panic, and never more of a file than its header says.
#![no_main]

use std::io::Read;

use claude_bottle::results::stream::{Content, Place, Sink, read};
use libfuzzer_sys::fuzz_target;

/// Reads every other file, so that what is not read has to be passed over.
#[derive(Default)]
struct Half(bool);

impl Sink for Half {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        assert!(!place.path().is_absolute() && !place.path().as_os_str().is_empty());
        self.0 = !self.0;
        if let (Content::File { size, .. }, true) = (content, self.0) {
            let read = std::io::copy(contents, &mut std::io::sink())?;
            assert!(read == size);
        }
        Ok(())
    }
}

fuzz_target!(|archive: &[u8]| {
    drop(read(archive, &mut Half::default()));
});

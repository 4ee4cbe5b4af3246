//! What the engine tells while it builds or loads an image.

use bollard::errors::Error;
use bollard::models::BuildInfo;
use futures_util::{Stream, StreamExt};

use super::error::understand;
use super::{EngineError, Result};

/// Reads what a build or a pull tells, line by line; the engine hands a build's output on in pieces of its own making.
pub(super) async fn follow(
    stream: impl Stream<Item = Result<BuildInfo, Error>>,
    line: &mut dyn FnMut(String),
) -> Result<()> {
    let mut stream = std::pin::pin!(stream);
    let mut begun = String::new();
    let mut failed = None;
    while let (Some(info), None) = (stream.next().await, &failed) {
        let info = info.map_err(understand)?;
        failed = info.error_detail.and_then(|detail| detail.message);
        begun.push_str(&info.stream.unwrap_or_default());
        if let Some(status) = info.status {
            begun.push_str(&status);
            begun.push('\n');
        }
        while let Some((whole, rest)) = begun.split_once('\n') {
            tell(whole, line);
            begun = rest.to_owned();
        }
    }
    tell(&begun, line);
    failed.map_or(Ok(()), |message| Err(EngineError::Failed { message }))
}

fn tell(text: &str, line: &mut dyn FnMut(String)) {
    let text = text.trim_end();
    if !text.is_empty() {
        line(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_and_a_failure_comes_last() {
        let piece = |text: &str| BuildInfo { stream: Some(text.to_owned()), ..BuildInfo::default() };
        let detail = bollard::models::ErrorDetail { code: None, message: Some("broken".to_owned()) };
        let error = BuildInfo { error_detail: Some(detail), ..BuildInfo::default() };
        let status = BuildInfo { status: Some("Pulling".to_owned()), ..BuildInfo::default() };
        let pieces = [piece("Step 1\n\nid: "), piece("no such user\n"), status, piece("last"), error];
        let mut lines = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stream = futures_util::stream::iter(pieces.map(Ok));
        let failed = runtime.block_on(follow(stream, &mut |line| lines.push(line))).unwrap_err();
        assert_eq!(lines, ["Step 1", "id: no such user", "Pulling", "last"]);
        assert!(failed.to_string().contains("broken"), "{failed}");
    }
}

//! The progress of an engine that builds, loads or pulls an image.

use http_body_util::BodyExt;
use serde_json::Value;

use claude_bottle_kit::printable;

use crate::{Answer, EngineError, Result};

/// Reads an answer of documents, one a line, and hands on what they say, line by line.
///
/// # Errors
/// Fails when one of them says that it failed, and when the connection ends before the answer does.
pub async fn follow(answer: Answer, line: &mut dyn FnMut(String)) -> Result<()> {
    let (mut body, mut document, mut progress) = (answer.into_body(), Vec::new(), Progress::default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(EngineError::protocol)?.into_data() else { continue };
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            document.extend_from_slice(part);
            if part.ends_with(b"\n") {
                progress.take(&std::mem::take(&mut document), line)?;
            }
        }
    }
    progress.take(&document, line)?;
    progress.end(line);
    Ok(())
}

/// The line that is not complete: an engine hands a program's output on in pieces of its own making.
#[derive(Default)]
struct Progress(String);

impl Progress {
    fn take(&mut self, document: &[u8], line: &mut dyn FnMut(String)) -> Result<()> {
        let Ok(said) = serde_json::from_slice::<Value>(document) else { return Ok(()) };
        self.0.push_str(said["stream"].as_str().unwrap_or_default());
        if let Some(status) = said["status"].as_str() {
            self.0.push_str(status);
            self.0.push('\n');
        }
        while let Some((whole, rest)) = self.0.split_once('\n') {
            tell(whole, line);
            self.0 = rest.to_owned();
        }
        let failed = said["errorDetail"]["message"].as_str().or(said["error"].as_str());
        match failed.filter(|message| !message.is_empty()) {
            None => Ok(()),
            Some(message) => {
                self.end(line);
                Err(EngineError::Failed { message: printable(message.trim()) })
            }
        }
    }

    fn end(&mut self, line: &mut dyn FnMut(String)) {
        tell(&std::mem::take(&mut self.0), line);
    }
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

    fn told(documents: &[&str]) -> (Vec<String>, Result<()>) {
        let (mut lines, mut progress) = (Vec::new(), Progress::default());
        let mut line = |text| lines.push(text);
        let mut heard = documents.iter().map(|document| progress.take(document.as_bytes(), &mut line));
        let heard = heard.find(Result::is_err).unwrap_or(Ok(()));
        progress.end(&mut line);
        (lines, heard)
    }

    #[test]
    fn pieces_become_lines_and_a_failure_comes_last() {
        let (lines, failed) = told(&[
            r#"{"stream":"Step 1\n\nid: "}"#,
            r#"{"stream":"no such user\n"}"#,
            r#"{"status":"Pulling"}"#,
            r#"{"stream":"last"}"#,
            r#"{"errorDetail":{"message":"broken"},"error":"broken"}"#,
            r#"{"stream":"never"}"#,
        ]);
        assert_eq!(lines, ["Step 1", "id: no such user", "Pulling", "last"]);
        assert!(failed.unwrap_err().to_string().contains("broken"));
    }

    #[test]
    fn an_engine_may_say_an_error_in_one_word_and_other_things_as_well() {
        let (lines, failed) =
            told(&[r#"{"stream":"STEP 1\nSTEP 2\n"}"#, r#"{"id":"x"}"#, "", r#"{"error":"no space"}"#]);
        assert_eq!(lines, ["STEP 1", "STEP 2"]);
        assert!(failed.unwrap_err().to_string().contains("no space"));
    }
}

//! What a process says once it is ready. A line that merely holds such a word is not taken for it.

/// The line that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// A line that is this and nothing else.
    Line(String),
    /// A line that is a JSON document with this `event`, as the egress guard writes them.
    Event(&'static str),
    /// A line that begins with this, as `ssh-agent` writes where it listens.
    Begins(&'static str),
}

impl Ready {
    /// Returns `true` if a line, with or without its end, is the one.
    pub fn is(&self, line: &str) -> bool {
        let line = line.strip_suffix('\n').unwrap_or(line);
        match self {
            Self::Line(word) => line == word,
            Self::Begins(begin) => line.starts_with(begin),
            Self::Event(event) => {
                let document = serde_json::from_str::<serde_json::Value>(line);
                document.is_ok_and(|document| document["event"] == *event)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_holds_the_word_is_not_the_word() {
        let line = Ready::Line("ready".to_owned());
        assert!(line.is("ready\n") && line.is("ready"));
        for other in ["already\n", "not ready\n", "ready.\n", " ready", "ready\r\n", ""] {
            assert!(!line.is(other), "{other:?}");
        }
        let event = Ready::Event("listening");
        assert!(event.is("{\"address\":\"x\",\"event\":\"listening\"}\n"));
        for other in [
            "listening\n",
            "\"event\":\"listening\"",
            r#"{"event":"refused","host":"\"event\":\"listening\""}"#,
            r#"{"event":"listening"} {"event":"listening"}"#,
        ] {
            assert!(!event.is(other), "{other}");
        }
    }
}

//! What the guard answers, and how it is said.

use serde::Deserialize;

/// What may be reached.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reach {
    rules: Vec<Rule>,
    /// For how long a question waits; 0 where nothing is asked.
    pub(super) ask_seconds: u64,
}

#[derive(Debug, Deserialize)]
struct Rule {
    rule: String,
    #[serde(default)]
    until: Option<u64>,
    #[serde(default)]
    given: bool,
}

impl Reach {
    pub(super) fn text(&self, now: u64) -> String {
        let (denied, allowed): (Vec<_>, Vec<_>) =
            self.rules.iter().partition(|rule| rule.rule.starts_with("deny "));
        let mut lines = vec!["may be reached:".to_owned()];
        if allowed.is_empty() {
            lines.push("  nothing".to_owned());
        }
        lines.extend(allowed.iter().map(|rule| rule.text(now)));
        if !denied.is_empty() {
            lines.push("refused, whatever else allows it:".to_owned());
            lines.extend(denied.iter().map(|rule| rule.text(now)));
        }
        lines.push(match self.ask_seconds {
            0 => "Nothing else may be reached. This bottle does not ask: tell the user what is needed.".to_owned(),
            seconds => format!(
                "Nothing else may be reached. To ask the user, who has {seconds} s: bottle ask HOST --why TEXT"
            ),
        });
        lines.join("\n") + "\n"
    }
}

impl Rule {
    fn text(&self, now: u64) -> String {
        let text = self.rule.strip_prefix("deny ").unwrap_or(&self.rule);
        let end = self.until.map(|until| format!("for {} more", length(until.saturating_sub(now))));
        let given = self.given.then(|| "allowed while this bottle runs".to_owned());
        match [given, end].into_iter().flatten().collect::<Vec<_>>().join(", ") {
            notes if notes.is_empty() => format!("  {text}"),
            notes => format!("  {text}  ({notes})"),
        }
    }
}

fn length(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// What came of a question.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    answer: Answer,
    host: String,
    port: u16,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Allowed,
    Refused,
    Unanswered,
    Off,
    #[serde(other)]
    Unknown,
}

impl Said {
    pub(super) fn text(&self) -> String {
        let Self { answer, host, port, reason } = self;
        let place = format!("{host}:{port}");
        match answer {
            Answer::Allowed => format!("{place} may be reached\n"),
            Answer::Refused => format!("{place} is refused: {reason}; do not ask again\n"),
            Answer::Unanswered => format!("no answer came about {place}: {reason}\n"),
            Answer::Off => {
                format!(
                    "this bottle does not ask: tell the user that {place} is needed, and why ({reason})\n"
                )
            }
            Answer::Unknown => format!("the guard gave an unknown answer about {place}: {reason}\n"),
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self.answer {
            Answer::Allowed => 0,
            Answer::Refused => 1,
            // What is not known is not allowed.
            Answer::Unanswered | Answer::Unknown => 3,
            Answer::Off => 4,
        }
    }
}

/// What was given back.
#[derive(Debug, Deserialize)]
pub(super) struct GivenBack {
    given_back: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl GivenBack {
    pub(super) fn text(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{reason}\n"),
            None => format!("given back: {}\n", self.given_back.join(", ")),
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        u8::from(self.given_back.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_by_people_too() {
        let text = r#"{"rules":[{"rule":"a.test","given":false},{"rule":"b.test:22","given":true,"until":5000},
            {"rule":"deny c.test","given":false}],"ask_seconds":60}"#;
        let reach: Reach = serde_json::from_str(text).unwrap();
        assert_eq!(
            reach.text(1000),
            "may be reached:\n  a.test\n  b.test:22  (allowed while this bottle runs, for 66 min more)\n\
             refused, whatever else allows it:\n  c.test\n\
             Nothing else may be reached. To ask the user, who has 60 s: bottle ask HOST --why TEXT\n"
        );
        let nothing = Reach::default().text(0);
        assert!(nothing.contains("  nothing\n") && nothing.contains("does not ask"), "{nothing}");
    }

    #[test]
    fn an_answer_is_told_by_its_code_and_an_unknown_one_allows_nothing() {
        for (answer, code) in [("allowed", 0), ("refused", 1), ("unanswered", 3), ("off", 4), ("else", 3)] {
            let text = format!(r#"{{"answer":"{answer}","host":"a.test","port":443,"reason":"r"}}"#);
            let said: Said = serde_json::from_str(&text).unwrap();
            assert_eq!(said.exit_code(), code, "{answer}");
            assert!(said.text().contains("a.test:443"), "{}", said.text());
        }
    }
}

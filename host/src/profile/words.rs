//! The words that are put after an agent's command, as its profile has them.

use super::Profile;

/// What stands for the user's own arguments.
const ARGUMENTS: &str = "{arguments}";
/// What stands for the end of options, where the prompt would be taken for one.
const END: &str = "{--}";
/// What stands for the prompt.
const PROMPT: &str = "{prompt}";

/// What is asked of a program on the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The user's own arguments.
    pub arguments: &'a [String],
    /// The prompt of a run without a terminal.
    pub headless: Option<&'a str>,
    /// Whether it is controlled from elsewhere.
    pub remote_control: bool,
    /// Whether it goes on with its last session.
    pub resumes: bool,
}

impl Profile {
    /// Returns the words after those of the command.
    pub fn words(&self, ask: Ask<'_>) -> Vec<String> {
        let resume = self.resume.as_ref().filter(|_| ask.resumes && !self.says_session(ask.arguments));
        let mut arguments = ask.arguments.to_vec();
        arguments.extend(self.remote_control.iter().filter(|_| ask.remote_control).cloned());
        let Some(prompt) = ask.headless else {
            let resume = resume.iter().flat_map(|resume| &resume.arguments).cloned();
            return resume.chain(arguments).collect();
        };
        match resume {
            Some(resume) if !resume.headless.is_empty() => filled(&resume.headless, &arguments, prompt),
            Some(resume) => {
                let headless = filled(&self.headless, &arguments, prompt);
                resume.arguments.iter().cloned().chain(headless).collect()
            }
            None => filled(&self.headless, &arguments, prompt),
        }
    }

    /// Returns `true` if the user's arguments say which session it goes on with.
    fn says_session(&self, arguments: &[String]) -> bool {
        let options = self.resume.iter().flat_map(|resume| &resume.options);
        let name = |argument: &String| argument.split('=').next().unwrap_or_default().to_owned();
        let said: Vec<_> = arguments.iter().map(name).collect();
        options.into_iter().any(|option| said.contains(option))
    }
}

fn filled(words: &[String], arguments: &[String], prompt: &str) -> Vec<String> {
    let mut filled = Vec::new();
    for word in words {
        match word.as_str() {
            ARGUMENTS => filled.extend_from_slice(arguments),
            END => filled.extend(prompt.starts_with('-').then(|| "--".to_owned())),
            _ => filled.push(word.replace(PROMPT, prompt)),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::super::Profiles;
    use super::*;

    fn words(profile: &str, arguments: &[&str], headless: Option<&str>, resumes: bool) -> String {
        let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
        let ask = Ask { arguments: &arguments, headless, resumes, ..Ask::default() };
        Profiles::default().find(profile).unwrap().words(ask).join(" ")
    }

    #[test]
    fn each_program_is_told_a_prompt_in_its_own_words() {
        for (profile, expected) in [
            ("claude", "-x --print say it"),
            ("codex", "exec --skip-git-repo-check -x say it"),
            ("gemini", "-x --prompt=say it"),
            ("opencode", "run -x say it"),
            ("aider", "-x --message=say it"),
            ("shell", "-x -c say it"),
        ] {
            assert_eq!(words(profile, &["-x"], Some("say it"), false), expected);
            assert_eq!(words(profile, &["-x"], None, false), "-x");
        }
        assert_eq!(words("claude", &[], Some("-y"), false), "--print -- -y");
        assert_eq!(words("codex", &[], Some("-y"), false), "exec --skip-git-repo-check -- -y");
        assert_eq!(words("gemini", &[], Some("-y"), false), "--prompt=-y");
    }

    #[test]
    fn each_program_goes_on_in_its_own_words_unless_the_user_says_which_session() {
        for (profile, with_terminal, without) in [
            ("claude", "--continue -x", "--continue -x --print p"),
            ("codex", "resume --last -x", "exec --skip-git-repo-check -x resume --last p"),
            ("gemini", "--resume latest -x", "--resume latest -x --prompt=p"),
            ("opencode", "--continue -x", "run --continue -x p"),
            ("aider", "--restore-chat-history -x", "--restore-chat-history -x --message=p"),
            ("shell", "-x", "-x -c p"),
        ] {
            assert_eq!(words(profile, &["-x"], None, true), with_terminal);
            assert_eq!(words(profile, &["-x"], Some("p"), true), without);
        }
        assert_eq!(words("claude", &["--resume=1"], None, true), "--resume=1");
        assert_eq!(words("codex", &["resume", "1"], None, true), "resume 1");
    }

    #[test]
    fn a_program_is_controlled_from_elsewhere_in_its_own_words() {
        let claude = Profiles::ours();
        let ask = Ask { remote_control: true, headless: Some("p"), ..Ask::default() };
        assert_eq!(claude.words(ask).join(" "), "--remote-control --print p");
        assert!(Profiles::default().find("codex").unwrap().remote_control.is_empty());
    }
}

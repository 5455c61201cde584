//! Questions that only a person can answer.

use std::io::{self, BufRead, IsTerminal};

use crate::cli::{context::Context, error::Error};

/// Whether the command line said yes already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Yes,
    Nothing,
}

/// Asks for a yes.
///
/// # Errors
/// [`Error::Declined`] if the answer is another one, [`Error::NoYes`] if nobody can answer.
pub fn confirm(context: &Context, said: Said, question: &str) -> Result<(), Error> {
    if said == Said::Yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if context.global.no_input || !stdin.is_terminal() {
        return Err(Error::NoYes { question: question.to_owned() });
    }
    context.output.hide_progress();
    context.output.prompt(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    match read {
        Ok(_) if is_yes(&answer) => Ok(()),
        _ => Err(Error::Declined),
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for answer in ["y\n", "Yes\r\n", " YES "] {
            assert!(is_yes(answer), "{answer}");
        }
        for answer in ["", "\n", "n\n", "yesterday\n", "ja\n"] {
            assert!(!is_yes(answer), "{answer}");
        }
    }
}

//! What the shell is told. Scripts rely on these numbers: they are never given another meaning.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Done, but something is missing: a file was unreadable, a database damaged.
    Incomplete = 3,
    /// A store far away asks for a new sign-in.
    SignInNeeded = 4,
    NoRepository = 10,
    /// Another run holds what this one needs.
    InUse = 11,
    WrongKey = 12,
    NoSpace = 13,
    /// The place of the repository cannot be reached.
    Unreachable = 14,
    /// A person has to answer, and there is no terminal.
    NeedsAnswer = 15,
    /// `status`: safe, but.
    NeedsAttention = 20,
    /// `status`: at risk, or not protected yet.
    AtRisk = 21,
    /// `check` found damage.
    Damage = 30,
    Interrupted = 130,
    Terminated = 143,
}

impl ExitCode {
    pub const ALL: [Self; 16] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Incomplete,
        Self::SignInNeeded,
        Self::NoRepository,
        Self::InUse,
        Self::WrongKey,
        Self::NoSpace,
        Self::Unreachable,
        Self::NeedsAnswer,
        Self::NeedsAttention,
        Self::AtRisk,
        Self::Damage,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The meaning in a few words, for the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, complete",
            Self::Failed => "failed",
            Self::Usage => "wrong usage or configuration",
            Self::Incomplete => "done, but incomplete: something could not be read or restored",
            Self::SignInNeeded => "a sign-in is needed",
            Self::NoRepository => "there is no repository",
            Self::InUse => "another run is in the way",
            Self::WrongKey => "wrong passphrase or key file",
            Self::NoSpace => "no space",
            Self::Unreachable => "the place of the repository cannot be reached",
            Self::NeedsAnswer => "needs an answer, and there is no terminal to ask on",
            Self::NeedsAttention => "status: safe, but something needs attention",
            Self::AtRisk => "status: at risk, or not protected yet",
            Self::Damage => "check found damage, or a drill failed",
            Self::Interrupted => "stopped by Ctrl-C",
            Self::Terminated => "stopped by SIGTERM",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_scripts_rely_on() {
        let numbers = ExitCode::ALL.map(ExitCode::number);

        assert_eq!(numbers, [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 20, 21, 30, 130, 143]);
    }
}

//! What an answer other than success means, told by status and reason.
//!
//! A body may be JSON of two generations, HTML, empty or cut; whatever it is, the status alone
//! must lead to the right class. Reasons that nobody lists here are taken by their status.

use std::time::Duration;

use super::http::Answer;
use crate::backend::{Error, SetUp};

/// Longest piece of the store's own words that goes into an error.
const WHY_CHARS_MAX: usize = 200;
/// Nobody may make us wait longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Classes of answers that call for different behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The bearer token is not accepted.
    Token,
    /// Too much just now; wait and ask again.
    Slow,
    /// Hours, not seconds.
    Paused,
    /// The account is full.
    Full,
    /// This folder is full, or as deep as can be.
    Structure,
    /// Not for this client, user or project.
    Forbidden,
    /// The interface is switched off in the client's project.
    Disabled,
    /// Google thinks that the bytes are malware, which encrypted bytes may look like.
    Abusive,
    /// Not there, or hidden from this client.
    Absent,
    /// The id is taken.
    Taken,
    /// The server failed; ask again.
    Server,
    /// The range lies beyond the end.
    Range,
    /// Any other no.
    Other,
}

const REASONS: &[(&str, Class)] = &[
    ("authError", Class::Token),
    ("userRateLimitExceeded", Class::Slow),
    ("rateLimitExceeded", Class::Slow),
    ("sharingRateLimitExceeded", Class::Slow),
    ("RATE_LIMIT_EXCEEDED", Class::Slow),
    ("backendError", Class::Server),
    ("internalError", Class::Server),
    ("transientError", Class::Server),
    ("dailyLimitExceeded", Class::Paused),
    ("quotaExceeded", Class::Paused),
    ("downloadQuotaExceeded", Class::Paused),
    ("storageQuotaExceeded", Class::Full),
    ("teamDriveFileLimitExceeded", Class::Structure),
    ("numChildrenInNonRootLimitExceeded", Class::Structure),
    ("activeItemCreationLimitExceeded", Class::Structure),
    ("myDriveHierarchyDepthLimitExceeded", Class::Structure),
    ("appNotAuthorizedToFile", Class::Forbidden),
    ("insufficientFilePermissions", Class::Forbidden),
    ("insufficientPermissions", Class::Forbidden),
    ("domainPolicy", Class::Forbidden),
    ("accessNotConfigured", Class::Disabled),
    ("SERVICE_DISABLED", Class::Disabled),
    ("cannotDownloadAbusiveFile", Class::Abusive),
    ("cannotDownloadFile", Class::Forbidden),
];

/// An answer that is not the one hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct No {
    pub status: u16,
    pub class: Class,
    /// The reason's name, and the message, as far as there are any.
    pub why: String,
    pub reason: String,
    pub retry_after: Option<Duration>,
}

impl No {
    /// Reads what the answer says.
    pub fn read(answer: &Answer) -> Self {
        let words = Words::read(&answer.body);
        let known = words.reasons.iter().find_map(|reason| {
            REASONS.iter().find(|(name, _)| name == reason).map(|(name, class)| (*name, *class))
        });
        // Reasons refine a refusal; no body can turn a broken server into a decision.
        let refines = matches!(answer.status, 400..=499);
        let class = match known {
            Some((_, class)) if refines => by_status_first(answer.status).unwrap_or(class),
            _ => by_status(answer.status),
        };
        let reason =
            known.map(|(name, _)| name.to_owned()).or_else(|| words.reasons.first().cloned());
        let reason = reason.unwrap_or_default();
        let why = brief(&format!("{} {reason} {}", answer.status, words.message));
        Self { status: answer.status, class, why, reason, retry_after: retry_after(answer) }
    }

    /// Turns it into the error of a call that had no better use for it.
    pub fn into_error(self, action: &'static str, what: &str, place: &str) -> Error {
        let (what, place, why) = (what.to_owned(), place.to_owned(), self.why);
        match self.class {
            Class::Token => Error::SignIn { place, why },
            Class::Slow => Error::RateLimited { place, retry_after: self.retry_after },
            Class::Paused => Error::Paused { place, why },
            Class::Full => Error::QuotaFull { place, why },
            Class::Structure | Class::Forbidden | Class::Abusive => {
                Error::Refused { action, what, place, why }
            }
            Class::Disabled => Error::SetUp { place, why: SetUp::Disabled { why } },
            Class::Server => Error::Io { action, what, place, source: std::io::Error::other(why) },
            Class::Absent | Class::Taken | Class::Range | Class::Other => {
                Error::BadAnswer { place, why }
            }
        }
    }
}

/// Statuses that mean one thing whatever reason stands in the body.
fn by_status_first(status: u16) -> Option<Class> {
    matches!(status, 401 | 404 | 408 | 409 | 410 | 416 | 429).then(|| by_status(status))
}

fn by_status(status: u16) -> Class {
    match status {
        401 => Class::Token,
        403 => Class::Forbidden,
        404 | 410 => Class::Absent,
        // 405 is seen when Google takes a burst of requests for abuse.
        405 | 408 | 429 => Class::Slow,
        409 => Class::Taken,
        416 => Class::Range,
        500..=599 => Class::Server,
        _ => Class::Other,
    }
}

/// The parts of an error body that are of use.
#[derive(Debug, Default)]
struct Words {
    reasons: Vec<String>,
    message: String,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Self::default();
        };
        let error = &body["error"];
        let each = |list: &'static str| error[list].as_array().into_iter().flatten();
        let reasons = each("errors")
            .chain(each("details"))
            .filter_map(|entry| entry["reason"].as_str())
            .map(str::to_owned)
            .collect();
        Self { reasons, message: error["message"].as_str().unwrap_or_default().to_owned() }
    }
}

/// Cuts foreign words to what fits a line and cannot play tricks on a terminal.
pub fn brief(words: &str) -> String {
    let clean = words.split_whitespace().collect::<Vec<_>>().join(" ");
    clean.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect()
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn class(status: u16, body: &str) -> Class {
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
        No::read(&answer).class
    }

    fn with_reason(reason: &str) -> String {
        format!(r#"{{"error":{{"code":403,"errors":[{{"reason":"{reason}"}}],"message":"m"}}}}"#)
    }

    #[test]
    fn a_403_is_told_apart_by_its_reason() {
        for (reason, expected) in REASONS {
            assert_eq!(class(403, &with_reason(reason)), *expected, "{reason}");
        }
        assert_eq!(class(403, &with_reason("somethingNew")), Class::Forbidden);
    }

    #[test]
    fn reasons_of_the_newer_kind_are_read_too() {
        let body = r#"{"error":{"status":"PERMISSION_DENIED","details":[{"@type":"x"},
            {"reason":"RATE_LIMIT_EXCEEDED"}]}}"#;

        assert_eq!(class(403, body), Class::Slow);
    }

    #[test]
    fn whatever_the_body_is_the_status_decides() {
        for body in ["", "<html>502</html>", r#"{"error":"#, r#"{"error":[]}"#, "null", "[1]"] {
            for (status, expected) in [
                (401, Class::Token),
                (404, Class::Absent),
                (409, Class::Taken),
                (410, Class::Absent),
                (416, Class::Range),
                (429, Class::Slow),
                (400, Class::Other),
                (500, Class::Server),
                (503, Class::Server),
            ] {
                assert_eq!(class(status, body), expected, "{status} {body}");
            }
        }
        assert_eq!(class(503, &with_reason("storageQuotaExceeded")), Class::Server);
        assert_eq!(class(404, &with_reason("storageQuotaExceeded")), Class::Absent);
    }

    #[test]
    fn a_wait_is_honoured_up_to_a_bound() {
        let wait = |value: &str| {
            let mut headers = HeaderMap::new();
            let _ = headers.insert("retry-after", HeaderValue::from_str(value).unwrap());
            No::read(&Answer { status: 429, headers, body: Vec::new() }).retry_after
        };

        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn foreign_words_are_cut_and_cleaned() {
        assert_eq!(brief("a\n\u{1b}[31mb"), "a [31mb");
        assert_eq!(brief(&"x".repeat(5000)).len(), WHY_CHARS_MAX);
    }
}

//! What a store's refusal means. The words differ from provider to provider; what matters is who
//! has to do something about it.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;

use super::Failure;
use crate::backend::Error;

/// Longest explanation of a server that is kept.
const WHY_CHARS_MAX: usize = 240;

/// Codes of the answer's body, and what they mean whatever the status is.
const CODES: [(&str, Meaning); 26] = [
    ("RequestTimeTooSkewed", Meaning::Clock),
    ("InvalidAccessKeyId", Meaning::SignIn),
    ("SignatureDoesNotMatch", Meaning::SignIn),
    ("ExpiredToken", Meaning::SignIn),
    ("InvalidToken", Meaning::SignIn),
    ("InvalidSecurity", Meaning::SignIn),
    ("AuthenticationFailed", Meaning::SignIn),
    ("NotSignedUp", Meaning::SignIn),
    ("NoSuchBucket", Meaning::WrongPlace),
    ("InvalidBucketName", Meaning::WrongPlace),
    ("ContainerNotFound", Meaning::WrongPlace),
    ("PermanentRedirect", Meaning::WrongPlace),
    ("AuthorizationHeaderMalformed", Meaning::WrongPlace),
    ("IllegalLocationConstraint", Meaning::WrongPlace),
    ("QuotaExceeded", Meaning::Full),
    ("XMinioStorageFull", Meaning::Full),
    ("InsufficientStorage", Meaning::Full),
    ("SlowDown", Meaning::Busy),
    ("ServerBusy", Meaning::Busy),
    ("TooManyRequests", Meaning::Busy),
    ("RequestTimeout", Meaning::Passing),
    ("ConditionalRequestConflict", Meaning::Passing),
    ("OperationAborted", Meaning::Passing),
    ("InternalError", Meaning::Passing),
    ("BadDigest", Meaning::Garbled),
    ("XAmzContentSHA256Mismatch", Meaning::Garbled),
];

/// Who has to do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    SignIn,
    WrongPlace,
    Clock,
    Full,
    /// Wait, as long as it asks for.
    Busy,
    /// Try again.
    Passing,
    /// Something on the way changed what was sent.
    Garbled,
    Forbidden,
    Nonsense,
}

/// Puts a failure into our words.
pub fn explain(place: &str, failure: Failure) -> Error {
    let text = chain(&failure.error);
    let (place, why) = (place.to_owned(), why(&text));
    let status = failure.answer.map(|answer| answer.status);
    match meaning(&failure, &text) {
        Meaning::SignIn => Error::SignIn { place, why },
        Meaning::WrongPlace => Error::WrongPlace { place, why },
        Meaning::Clock => Error::ClockSkew { place, why },
        Meaning::Full => Error::QuotaFull { place, why },
        Meaning::Busy => Error::RateLimited {
            place,
            retry_after: failure.answer.and_then(|answer| answer.retry_after),
        },
        Meaning::Passing => {
            let kind = match status {
                Some(_) => io::ErrorKind::Other,
                None => io::ErrorKind::NotConnected,
            };
            Error::Unreachable { place, source: io::Error::new(kind, why) }
        }
        Meaning::Garbled | Meaning::Nonsense => Error::BadAnswer { place, why },
        Meaning::Forbidden => {
            Error::Refused { action: failure.action, what: failure.what, place, why }
        }
    }
}

/// Whether a range was asked for that begins behind the end of the object.
pub fn is_behind_the_end(failure: &Failure) -> bool {
    failure.answer.is_some_and(|answer| answer.status == 416)
        || chain(&failure.error).contains("InvalidRange")
}

/// Whether the store does not know how to refuse a key that is taken.
pub fn is_not_implemented(failure: &Failure) -> bool {
    matches!(*failure.error, StoreError::NotImplemented { .. })
        || failure.answer.is_some_and(|answer| answer.status == 501)
}

/// Whether the store refused because the key is taken.
pub fn is_taken(failure: &Failure) -> bool {
    matches!(*failure.error, StoreError::AlreadyExists { .. })
        && !chain(&failure.error).contains("ConditionalRequestConflict")
}

/// Whether the server understood and said no.
pub fn is_refusal(failure: &Failure) -> bool {
    failure.answer.is_some_and(|answer| matches!(answer.status, 400 | 403 | 404 | 409 | 410))
        && meaning(failure, &chain(&failure.error)) != Meaning::Passing
}

fn meaning(failure: &Failure, text: &str) -> Meaning {
    let named = CODES.iter().find(|(code, _)| text.contains(&format!(">{code}<")));
    let status = failure.answer.map(|answer| answer.status);
    match (named, status) {
        (Some((_, meaning)), _) => *meaning,
        (None, None) if is_of_our_own(&failure.error) => Meaning::Nonsense,
        (None, None) => Meaning::Passing,
        (None, Some(401)) => Meaning::SignIn,
        (None, Some(301 | 307 | 308)) => Meaning::WrongPlace,
        (None, Some(429)) => Meaning::Busy,
        (None, Some(503)) if failure.answer.is_some_and(|answer| answer.retry_after.is_some()) => {
            Meaning::Busy
        }
        (None, Some(507)) => Meaning::Full,
        (None, Some(408 | 409 | 500 | 502..=504)) => Meaning::Passing,
        (None, Some(400 | 403 | 404 | 405 | 411..=413)) => Meaning::Forbidden,
        (None, Some(_)) => Meaning::Nonsense,
    }
}

/// Errors that come about without a request.
const fn is_of_our_own(error: &StoreError) -> bool {
    !matches!(error, StoreError::Generic { .. })
}

/// The whole chain of causes, for codes that stand somewhere in it.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the server says for people, or the end of the chain, which is the nearest cause.
fn why(text: &str) -> String {
    let said = text
        .split_once("<Message>")
        .and_then(|(_, rest)| rest.split_once("</Message>"))
        .map_or_else(|| text.rsplit(": ").next().unwrap_or(text), |(said, _)| said);
    said.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::store::watch::Answer;

    fn explained(status: Option<u16>, body: &str) -> Error {
        let source = format!("Server returned error response: {body}").into();
        let failure = Failure {
            error: Box::new(StoreError::Generic { store: "S3", source }),
            answer: status.map(|status| Answer { status, retry_after: None }),
            action: "write",
            what: "packs/1".to_owned(),
        };
        explain("s3:shop", failure)
    }

    fn code(code: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>")
    }

    #[test]
    fn every_code_says_who_has_to_do_something() {
        let is = |error: &Error| match error {
            Error::SignIn { .. } => "sign in",
            Error::WrongPlace { .. } => "place",
            Error::ClockSkew { .. } => "clock",
            Error::QuotaFull { .. } => "full",
            Error::RateLimited { .. } => "wait",
            Error::Unreachable { .. } => "again",
            Error::BadAnswer { .. } => "nonsense",
            Error::Refused { .. } => "forbidden",
            _ => "other",
        };
        for (status, body, expected) in [
            (Some(403), code("RequestTimeTooSkewed"), "clock"),
            (Some(403), code("InvalidAccessKeyId"), "sign in"),
            (Some(400), code("ExpiredToken"), "sign in"),
            (Some(403), code("AccessDenied"), "forbidden"),
            (Some(404), code("NoSuchBucket"), "place"),
            (Some(301), String::new(), "place"),
            (Some(503), code("SlowDown"), "wait"),
            (Some(429), String::new(), "wait"),
            (Some(400), code("RequestTimeout"), "again"),
            (Some(500), "<html>".to_owned(), "again"),
            (Some(507), String::new(), "full"),
            (Some(400), code("BadDigest"), "nonsense"),
            (Some(200), "cut".to_owned(), "nonsense"),
            (None, "connection refused".to_owned(), "again"),
        ] {
            assert_eq!(is(&explained(status, &body)), expected, "{status:?} {body}");
        }
    }

    #[test]
    fn the_servers_own_words_are_kept_and_nothing_of_the_request() {
        let Error::SignIn { why, .. } = explained(Some(403), &code("InvalidAccessKeyId")) else {
            panic!("a wrong key is a matter of signing in");
        };

        assert_eq!(why, "so it is");
    }
}

//! What goes wrong on request, and at which request.

use super::{
    refusals::{detailed, html, refusal},
    uploads::{Appetite, UNIT_BYTES},
    wire::{Answer, Reply, Request},
};

/// One way in which a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection ends before anything is done.
    CutBefore,
    /// Everything is done, and the connection ends before the answer.
    CutAfter,
    /// The connection ends in the middle of the request's body.
    CutInBody,
    /// The connection ends in the middle of the answer.
    CutInAnswer,
    /// Done, but nothing is answered until the client has had enough.
    Silence,
    /// The answer comes so slowly that it never ends.
    Trickle,
    Unavailable,
    /// Done, and an error reported.
    ErrorAfter,
    BadGateway,
    TooMany,
    RateLimited,
    RateLimitedNewKind,
    Timeout,
    MethodNotAllowed,
    Unauthorized,
    NotFound,
    Gone,
    BadRequest,
    StorageFull,
    DailyLimit,
    /// A piece is stored in part.
    LowerRange,
    /// A piece is not stored at all.
    NothingStored,
    /// A piece is stored, and the answer does not say how far.
    NoRange,
    /// The answer claims bytes that were never sent.
    TooFarRange,
    /// The session goes on at another address.
    MovedSession,
    /// A whole answer that is none.
    Garbage,
    /// A whole answer without a body.
    Empty,
    /// The answer states another checksum.
    WrongChecksum,
    /// The store keeps another byte than it was sent.
    CorruptStore,
    /// The answer has another byte than the store.
    CorruptAnswer,
    /// A listing that lacks everything, and says nothing about it.
    EmptyListing,
    /// A listing that says itself that it is not whole.
    Incomplete,
    /// Every file twice.
    TwiceListed,
}

impl Fault {
    pub const ALL: [Self; 33] = [
        Self::CutBefore,
        Self::CutAfter,
        Self::CutInBody,
        Self::CutInAnswer,
        Self::Silence,
        Self::Trickle,
        Self::Unavailable,
        Self::ErrorAfter,
        Self::BadGateway,
        Self::TooMany,
        Self::RateLimited,
        Self::RateLimitedNewKind,
        Self::Timeout,
        Self::MethodNotAllowed,
        Self::Unauthorized,
        Self::NotFound,
        Self::Gone,
        Self::BadRequest,
        Self::StorageFull,
        Self::DailyLimit,
        Self::LowerRange,
        Self::NothingStored,
        Self::NoRange,
        Self::TooFarRange,
        Self::MovedSession,
        Self::Garbage,
        Self::Empty,
        Self::WrongChecksum,
        Self::CorruptStore,
        Self::CorruptAnswer,
        Self::EmptyListing,
        Self::Incomplete,
        Self::TwiceListed,
    ];

    /// Whether it makes a difference to a request of this kind.
    pub fn concerns(self, what: &str) -> bool {
        let is_session = what == "PUT session";
        match self {
            Self::LowerRange
            | Self::NothingStored
            | Self::NoRange
            | Self::TooFarRange
            | Self::MovedSession => is_session,
            Self::EmptyListing | Self::Incomplete | Self::TwiceListed => what == "GET list",
            Self::WrongChecksum | Self::CorruptStore => is_session || what == "POST whole",
            // Of a part there is no checksum; its seal is for whoever asked for it.
            Self::CorruptAnswer => what == "GET content",
            Self::CutInBody => is_session || what.starts_with("POST"),
            // Google may be believed that what is to be deleted is gone.
            Self::NotFound | Self::Gone => what != "PATCH file",
            _ => true,
        }
    }

    /// Whether the client has to lose its patience.
    pub const fn takes_for_ever(self) -> bool {
        matches!(self, Self::Silence | Self::Trickle)
    }

    /// Whether what a session has is lost by it, so that it begins anew.
    pub const fn loses_the_session(self) -> bool {
        matches!(
            self,
            Self::NotFound
                | Self::Gone
                | Self::BadRequest
                | Self::TooFarRange
                | Self::WrongChecksum
                | Self::CorruptStore
        )
    }

    /// How much of a request's body is read.
    pub fn body_bytes_max(self, head: &Request) -> Option<usize> {
        let length: usize = head.header("content-length")?.parse().ok()?;
        // In the middle of a unit, so that what is kept of it is less than what came.
        (self == Self::CutInBody && length > 0).then_some((length / 2).max(1) | (UNIT_BYTES / 3))
    }

    /// Says no instead of doing anything.
    pub fn instead(self) -> Option<Answer> {
        Some(Answer::Reply(match self {
            Self::CutBefore => return Some(Answer::Close),
            Self::Unavailable => refusal(503, "backendError"),
            Self::BadGateway => html(502),
            Self::TooMany => refusal(429, "rateLimitExceeded").header("Retry-After", "1"),
            Self::RateLimited => refusal(403, "userRateLimitExceeded"),
            Self::RateLimitedNewKind => detailed(403, "RATE_LIMIT_EXCEEDED"),
            Self::Timeout => Reply::status(408),
            Self::MethodNotAllowed => Reply::status(405),
            Self::Unauthorized => refusal(401, "authError"),
            Self::NotFound => refusal(404, "notFound"),
            Self::Gone => refusal(410, "gone"),
            Self::BadRequest => refusal(400, "badRequest"),
            Self::StorageFull => refusal(403, "storageQuotaExceeded"),
            Self::DailyLimit => refusal(403, "dailyLimitExceeded"),
            _ => return None,
        }))
    }

    pub const fn appetite(self) -> Appetite {
        match self {
            Self::LowerRange => Appetite::Half,
            Self::NothingStored => Appetite::Nothing,
            _ => Appetite::All,
        }
    }

    /// Spoils the answer to what was done.
    pub fn spoil(self, mut reply: Reply) -> Answer {
        match self {
            Self::CutAfter => return Answer::Close,
            Self::CutInAnswer => return Answer::Truncated(reply),
            Self::Silence => return Answer::Silence,
            Self::Trickle => return Answer::Trickle(reply),
            Self::ErrorAfter => return Answer::Reply(refusal(500, "internalError")),
            Self::NoRange => reply.headers.retain(|(name, _)| name != "Range"),
            Self::TooFarRange if reply.status == 308 => {
                reply.headers.retain(|(name, _)| name != "Range");
                reply = reply.header("Range", "bytes=0-9999999999");
            }
            Self::Garbage => reply.body = b"<html>Sign in to the hotel's network</html>".to_vec(),
            Self::Empty => reply.body.clear(),
            Self::CorruptAnswer => reply.body.iter_mut().take(1).for_each(|byte| *byte ^= 1),
            Self::WrongChecksum => replace(&mut reply.body, b"\"md5Checksum\":\"", b"ffff"),
            Self::Incomplete => replace(&mut reply.body, b"\"incompleteSearch\":", b"true "),
            _ => {}
        }
        Answer::Reply(reply)
    }
}

/// Writes over what follows the mark.
fn replace(body: &mut [u8], mark: &[u8], by: &[u8]) {
    let at = body.windows(mark.len()).position(|window| window == mark);
    if let Some(at) = at.map(|at| at + mark.len())
        && let Some(target) = body.get_mut(at..at + by.len())
    {
        target.copy_from_slice(by);
    }
}

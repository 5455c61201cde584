//! The bodies of Drive's errors.

use serde_json::json;

use super::wire::Reply;

/// An error as Drive words it, with one reason.
pub fn refusal(status: u16, reason: &str) -> Reply {
    let domain = match reason {
        _ if reason.contains("LimitExceeded") || reason.contains("quota") => "usageLimits",
        _ => "global",
    };
    let message = match reason {
        "userRateLimitExceeded" => "User rate limit exceeded.",
        "fileIdInUse" => "A file already exists with the provided ID.",
        "notFound" => "File not found: .",
        _ => reason,
    };
    let body = json!({"error": {
        "code": status,
        "message": message,
        "errors": [{"domain": domain, "reason": reason, "message": message}],
    }});
    Reply::json(status, &body)
}

/// An error of the newer kind, which says its reason in the details.
pub fn detailed(status: u16, reason: &str) -> Reply {
    let body = json!({"error": {
        "code": status,
        "status": "RESOURCE_EXHAUSTED",
        "message": "Quota exceeded for quota metric",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}],
    }});
    Reply::json(status, &body)
}

/// An error of the token service.
pub fn oauth(status: u16, error: &str) -> Reply {
    let body = json!({"error": error, "error_description": "Token has been expired or revoked."});
    Reply::json(status, &body)
}

/// What a load balancer says.
pub fn html(status: u16) -> Reply {
    Reply::status(status)
        .header("Content-Type", "text/html")
        .body(b"<html><title>Error</title><body>That's an error.</body></html>".to_vec())
}

//! The consent page, the token service and the device flow.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    refusals::oauth,
    store::{Code, Store},
    wire::{Reply, Request, form},
};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The secret of every client here.
pub const CLIENT_SECRET: &str = "not-really-secret";

/// Answers the consent page as a person would who just clicks.
pub fn consent(store: &mut Store, request: &Request) -> Reply {
    let parameter = |name: &str| request.parameter(name).unwrap_or_default().to_owned();
    let (redirect, state) = (parameter("redirect_uri"), parameter("state"));
    if parameter("response_type") != "code" || !redirect.starts_with("http://127.0.0.1:") {
        return Reply::status(400);
    }
    let end = match store.knobs.consent {
        None => "error=access_denied".to_owned(),
        Some(_) => {
            let code = store.fresh("4/");
            let kept = Code {
                project: project(&parameter("client_id")),
                redirect: redirect.clone(),
                challenge: request.parameter("code_challenge").map(str::to_owned),
            };
            let _ = store.codes.insert(code.clone(), kept);
            format!("code={code}")
        }
    };
    Reply::status(302).header("Location", &format!("{redirect}?state={state}&{end}"))
}

/// Answers the token service.
pub fn token(store: &mut Store, request: &Request) -> Reply {
    let fields: BTreeMap<_, _> =
        form(&String::from_utf8_lossy(&request.body)).into_iter().collect();
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if field("client_secret") != CLIENT_SECRET {
        return oauth(401, "invalid_client");
    }
    let project = project(field("client_id"));
    match field("grant_type") {
        "refresh_token" => match store.refresh.get(field("refresh_token")) {
            Some(owner) if *owner == project => {
                let changed = store.knobs.changes_refresh_tokens.then(|| {
                    let _ = store.refresh.remove(field("refresh_token"));
                    grant(store, &project)
                });
                bearer(store, &project, changed)
            }
            _ => oauth(400, "invalid_grant"),
        },
        "authorization_code" => {
            // A code is good once, whatever comes of it.
            let Some(code) = store.codes.remove(field("code")) else {
                return oauth(400, "invalid_grant");
            };
            let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(field("code_verifier")));
            let proven = code.challenge.is_none_or(|expected| expected == challenge);
            if !proven || code.project != project || code.redirect != field("redirect_uri") {
                return oauth(400, "invalid_grant");
            }
            let refresh = grant(store, &project);
            bearer(store, &project, Some(refresh))
        }
        DEVICE_GRANT => poll(store, field("device_code")),
        _ => oauth(400, "unsupported_grant_type"),
    }
}

/// Answers a device that asks for a code.
pub fn device(store: &mut Store, request: &Request) -> Reply {
    let fields: BTreeMap<_, _> =
        form(&String::from_utf8_lossy(&request.body)).into_iter().collect();
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if !field("scope").ends_with("/auth/drive.file") {
        return oauth(400, "invalid_scope");
    }
    let code = store.fresh("device");
    let waits = store.knobs.device_waits;
    let _ = store.devices.insert(code.clone(), (project(field("client_id")), waits));
    let body = json!({
        "device_code": code,
        "user_code": "GQVQ-JKEC",
        // Google's own name for what the standard calls verification_uri.
        "verification_url": "https://www.google.com/device",
        "expires_in": 1800,
        "interval": 5,
    });
    Reply::json(200, &body)
}

fn poll(store: &mut Store, code: &str) -> Reply {
    if store.knobs.consent.is_none() {
        return oauth(403, "access_denied");
    }
    let Some((project, pending)) = store.devices.get_mut(code) else {
        return oauth(400, "invalid_grant");
    };
    if *pending > 0 {
        *pending -= 1;
        return match *pending {
            1 => oauth(428, "authorization_pending"),
            _ => oauth(403, "slow_down"),
        };
    }
    let project = project.clone();
    let refresh = grant(store, &project);
    bearer(store, &project, Some(refresh))
}

/// Makes a refresh token, as if somebody had signed in.
pub fn grant(store: &mut Store, project: &str) -> String {
    let refresh = store.fresh("1//");
    let _ = store.refresh.insert(refresh.clone(), project.to_owned());
    refresh
}

fn bearer(store: &mut Store, project: &str, refresh: Option<String>) -> Reply {
    let token = store.fresh("ya29.");
    let life = store.knobs.token_seconds;
    let _ = store.bearers.insert(token.clone(), (project.to_owned(), store.now + life));
    let mut body = json!({
        "access_token": token,
        "expires_in": life,
        "token_type": "Bearer",
        "scope": store.knobs.consent.clone().unwrap_or_default(),
    });
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    Reply::json(200, &body)
}

fn project(client: &str) -> String {
    client.split('-').next().unwrap_or_default().to_owned()
}

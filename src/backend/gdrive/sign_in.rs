//! Signing in with a browser: on this machine, or on another one whose address line is pasted back.
//!
//! [`begin`] gives the address to open; the browser ends at a loopback address with a code in it,
//! which [`Loopback`] waits for, or which a person copies; [`Started::finish`] turns it into an
//! [`Account`]. Another program of this machine may send things to the loopback address, so nothing
//! without our state counts there; and a code is worth nothing without the verifier that never
//! leaves this process.

use oauth2::{
    AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
};
use reqwest::Url;
use subtle::ConstantTimeEq;

use super::{
    account::{Account, OAuthClient, SCOPE},
    answer::brief,
    endpoints::Endpoints,
    http::Http,
    oauth,
};
use crate::backend::{Error, SetUp};

pub use super::loopback::Loopback;

/// Where the browser of another machine is sent; nobody listens there, and the address line keeps
/// the code.
pub const ELSEWHERE: &str = "http://127.0.0.1:49151/";

/// A sign-in that waits for a person.
pub struct Started {
    /// To be opened in a browser.
    pub url: String,
    client: OAuthClient,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    redirect: RedirectUrl,
}

/// Begins a sign-in that ends at the redirect address.
pub fn begin(
    client: &OAuthClient,
    endpoints: &Endpoints,
    redirect: &str,
    place: &str,
) -> Result<Started, Error> {
    let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| oauth::bad_address(place))?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = oauth::client(client, endpoints, place)?
        .set_redirect_uri(redirect.clone())
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new(SCOPE.to_owned()))
        .set_pkce_challenge(challenge)
        .add_extra_param("access_type", "offline")
        // Without it a second sign-in brings no refresh token.
        .add_extra_param("prompt", "consent")
        .url();
    Ok(Started { url: url.into(), client: client.clone(), state, verifier, redirect })
}

impl Started {
    /// Ends the sign-in with what came back: the address that the browser was sent to, or the code
    /// alone.
    ///
    /// # Errors
    /// [`SetUp::Declined`] if the person said no or the answer belongs to another sign-in,
    /// [`SetUp::Permission`] if the box was not ticked.
    pub fn finish(
        self,
        http: &Http,
        endpoints: &Endpoints,
        answer: &str,
    ) -> Result<Account, Error> {
        let place = http.place();
        let code = self.code(answer.trim()).map_err(|why| declined(place, why))?;
        let tokens = oauth::client(&self.client, endpoints, place)?
            .set_redirect_uri(self.redirect)
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(self.verifier)
            .request(&oauth::transport(http))
            .map_err(|failure| match oauth::refused(failure, place) {
                // Here it is the code that was wrong, used or old, not an earlier permission.
                Error::SignIn { why, .. } => declined(place, why),
                error => error,
            })?;
        oauth::granted(self.client, &tokens, place)
    }

    /// Whether the answer is one to this sign-in.
    pub(super) fn is_answered_by(&self, answer: &Url) -> bool {
        parameter(answer, "state").is_some_and(|state| self.is_ours(&state))
            && (parameter(answer, "code").is_some() || parameter(answer, "error").is_some())
    }

    fn is_ours(&self, state: &str) -> bool {
        state.as_bytes().ct_eq(self.state.secret().as_bytes()).into()
    }

    fn code(&self, answer: &str) -> Result<String, String> {
        let Ok(url) = Url::parse(answer) else {
            let is_code = !answer.is_empty() && answer.bytes().all(|byte| byte.is_ascii_graphic());
            return match is_code && !answer.contains(['?', '&', '=']) {
                true => Ok(answer.to_owned()),
                false => Err("that is neither an address nor a code".to_owned()),
            };
        };
        if !parameter(&url, "state").is_some_and(|state| self.is_ours(&state)) {
            return Err("the address belongs to another sign-in".to_owned());
        }
        if let Some(error) = parameter(&url, "error") {
            return Err(brief(&error));
        }
        parameter(&url, "code").ok_or_else(|| "the address has no code in it".to_owned())
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(super) fn declined(place: &str, why: String) -> Error {
    Error::SetUp { place: place.to_owned(), why: SetUp::Declined { why } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Started {
        let client = OAuthClient { id: "42-x".to_owned(), secret: String::new() };
        begin(&client, &Endpoints::google(), ELSEWHERE, "drive").unwrap()
    }

    #[test]
    fn the_address_asks_for_a_permission_that_lasts_and_hides_the_verifier() {
        let started = started();

        let url = Url::parse(&started.url).unwrap();
        for (name, value) in [
            ("client_id", "42-x"),
            ("redirect_uri", ELSEWHERE),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("code_challenge_method", "S256"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ] {
            assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
        }
        assert!(parameter(&url, "state").unwrap().len() >= 16);
        assert!(!started.url.contains(started.verifier.secret()));
    }

    #[test]
    fn only_an_answer_with_our_state_gives_a_code() {
        let started = started();
        let state = started.state.secret();

        let code = |answer: &str| started.code(answer);
        assert_eq!(code(&format!("{ELSEWHERE}?code=4/x&state={state}")), Ok("4/x".to_owned()));
        assert_eq!(code("4/0Abc-d_e"), Ok("4/0Abc-d_e".to_owned()));
        for answer in [
            format!("{ELSEWHERE}?code=4/x&state=other"),
            format!("{ELSEWHERE}?code=4/x"),
            format!("{ELSEWHERE}?error=access_denied&state={state}"),
            format!("{ELSEWHERE}?state={state}"),
            String::new(),
            "code=4/x".to_owned(),
        ] {
            assert!(code(&answer).is_err(), "{answer}");
        }
    }
}

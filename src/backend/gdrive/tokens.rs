//! The bearer token of the hour, renewed before it ends, by one thread at a time.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use oauth2::{RefreshToken, TokenResponse};
use zeroize::Zeroizing;

use super::{account::Account, endpoints::Endpoints, http::Http, oauth};
use crate::{backend::Error, clock::Clock};

/// A token is renewed so long before its end: requests take their time, and clocks differ.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// Keeps an account after the service changed its refresh token; called before the new one is used.
pub type Keep = Box<dyn Fn(&Account) -> io::Result<()> + Send + Sync>;

/// Gives out bearer tokens.
pub struct Tokens {
    endpoints: Endpoints,
    clock: Arc<dyn Clock>,
    keep: Keep,
    state: Mutex<State>,
}

struct State {
    account: Account,
    bearer: Option<Bearer>,
    /// Why there is no permission any more; nobody asks twice.
    ended: Option<String>,
}

struct Bearer {
    token: Zeroizing<String>,
    renew_at: Duration,
}

impl Tokens {
    pub fn new(account: Account, endpoints: Endpoints, clock: Arc<dyn Clock>, keep: Keep) -> Self {
        let state = Mutex::new(State { account, bearer: None, ended: None });
        Self { endpoints, clock, keep, state }
    }

    /// Returns a token that is good for some minutes.
    ///
    /// # Errors
    /// [`Error::SignIn`] once the permission has ended; what is kept of it stays as it is.
    pub fn bearer(&self, http: &Http) -> Result<Zeroizing<String>, Error> {
        let mut state = self.lock();
        if let Some(why) = &state.ended {
            return Err(Error::SignIn { place: http.place().to_owned(), why: why.clone() });
        }
        match &state.bearer {
            Some(bearer) if self.clock.elapsed() < bearer.renew_at => Ok(bearer.token.clone()),
            _ => self.renew(&mut state, http),
        }
    }

    /// Takes note that the store did not accept the token.
    pub fn reject(&self, token: &str) {
        let mut state = self.lock();
        if state.bearer.as_ref().is_some_and(|bearer| *bearer.token == token) {
            state.bearer = None;
        }
    }

    fn renew(&self, state: &mut State, http: &Http) -> Result<Zeroizing<String>, Error> {
        let start = self.clock.elapsed();
        let refresh = RefreshToken::new(state.account.refresh_token.clone());
        let granted = oauth::client(&state.account.client, &self.endpoints, http.place())?
            .exchange_refresh_token(&refresh)
            .request(&oauth::transport(http))
            .map_err(|failure| oauth::refused(failure, http.place()))
            .inspect_err(|error| {
                if let Error::SignIn { why, .. } = error {
                    state.ended = Some(why.clone());
                }
            })?;
        if let Some(rotated) = granted.refresh_token()
            && rotated.secret() != refresh.secret()
        {
            state.account.refresh_token = rotated.secret().clone();
            (self.keep)(&state.account).map_err(|source| Error::Io {
                action: "keep",
                what: "the renewed sign-in".to_owned(),
                place: http.place().to_owned(),
                source,
            })?;
        }
        let life = granted.expires_in().unwrap_or(AHEAD * 2);
        let token = Zeroizing::new(granted.access_token().secret().clone());
        let renew_at = start + life.saturating_sub(AHEAD.min(life / 2));
        state.bearer = Some(Bearer { token: token.clone(), renew_at });
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

//! Signing in on a machine without a browser, by a short code that is typed on a telephone.
//!
//! It needs a client of type "TVs and Limited Input devices"; a desktop client is refused.

use std::time::Duration;

use oauth2::{
    DeviceAuthorizationUrl, DeviceCodeErrorResponseType, RequestTokenError, Scope,
    StandardDeviceAuthorizationResponse,
};

use super::{
    account::{Account, OAuthClient, SCOPE},
    answer::brief,
    endpoints::Endpoints,
    http::Http,
    oauth,
    sign_in::declined,
};
use crate::{
    backend::{Error, SetUp},
    clock::Clock,
};

/// What the person is told.
pub struct Code {
    pub address: String,
    pub code: String,
    details: StandardDeviceAuthorizationResponse,
    client: OAuthClient,
}

/// Asks for a code.
pub fn begin(client: &OAuthClient, endpoints: &Endpoints, http: &Http) -> Result<Code, Error> {
    let place = http.place();
    let address = DeviceAuthorizationUrl::new(endpoints.device.clone())
        .map_err(|_| oauth::bad_address(place))?;
    let details: StandardDeviceAuthorizationResponse = oauth::client(client, endpoints, place)?
        .set_device_authorization_url(address)
        .exchange_device_code()
        .add_scope(Scope::new(SCOPE.to_owned()))
        .request(&oauth::transport(http))
        .map_err(|failure| oauth::refused(failure, place))?;
    Ok(Code {
        address: details.verification_uri().as_str().to_owned(),
        code: details.user_code().secret().clone(),
        details,
        client: client.clone(),
    })
}

impl Code {
    /// Asks again and again until the person has typed the code, or until it is too old.
    pub fn wait(
        self,
        endpoints: &Endpoints,
        http: &Http,
        clock: &dyn Clock,
    ) -> Result<Account, Error> {
        let place = http.place();
        let patience: Duration = self.details.expires_in();
        let tokens = oauth::client(&self.client, endpoints, place)?
            .exchange_device_access_token(&self.details)
            .request(&oauth::transport(http), |pause| clock.sleep(pause), Some(patience))
            .map_err(|failure| match failure {
                RequestTokenError::ServerResponse(answer) => refused(&answer, place),
                RequestTokenError::Request(error) => error,
                RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                    oauth::nonsense(place)
                }
            })?;
        oauth::granted(self.client, &tokens, place)
    }
}

fn refused(answer: &oauth2::DeviceCodeErrorResponse, place: &str) -> Error {
    let why = brief(&answer.to_string());
    match answer.error() {
        DeviceCodeErrorResponseType::Basic(
            oauth2::basic::BasicErrorResponseType::InvalidClient
            | oauth2::basic::BasicErrorResponseType::UnauthorizedClient,
        ) => Error::SetUp { place: place.to_owned(), why: SetUp::Client { why } },
        _ => declined(place, why),
    }
}

//! What all conversations with the token service share: the transport, the client, and what its
//! refusals mean.

use oauth2::{
    AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, RequestTokenError, StandardErrorResponse, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenResponse},
};

use super::{
    account::{Account, OAuthClient, SCOPE},
    answer::{Class, No, brief},
    endpoints::Endpoints,
    http::{Http, Request, Room},
};
use crate::backend::{Error, SetUp};

const ROOM: Room = Room { bytes_max: 256 * 1024, bytes_expected: 0 };

/// The client of the sign-in crate with the two addresses that every flow needs.
pub type Client =
    BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

pub type Failure = RequestTokenError<Error, BasicErrorResponse>;

/// Puts the user's client together.
pub fn client(of: &OAuthClient, endpoints: &Endpoints, place: &str) -> Result<Client, Error> {
    let token = TokenUrl::new(endpoints.token.clone()).map_err(|_| bad_address(place))?;
    let consent = AuthUrl::new(endpoints.consent.clone()).map_err(|_| bad_address(place))?;
    let client = BasicClient::new(ClientId::new(of.id.clone()))
        .set_auth_type(AuthType::RequestBody)
        .set_auth_uri(consent)
        .set_token_uri(token);
    Ok(match of.secret.is_empty() {
        true => client,
        false => client.set_client_secret(ClientSecret::new(of.secret.clone())),
    })
}

/// Carries requests of the sign-in crate; answers that say nothing about the grant are errors here.
pub fn transport(http: &Http) -> impl Fn(HttpRequest) -> Result<HttpResponse, Error> + '_ {
    |request| {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().parse().map_err(|_| bad_address(http.place()))?;
        let request =
            Request { method: parts.method, url, headers: parts.headers, body: body.into() };
        let answer = http.send("sign in to", request, ROOM)?;
        let no = No::read(&answer);
        if matches!(no.class, Class::Server | Class::Slow) {
            return Err(no.into_error("sign in to", "the account", http.place()));
        }
        let mut response = HttpResponse::new(answer.body);
        *response.status_mut() = oauth2::http::StatusCode::from_u16(answer.status)
            .expect("the status was one when it came in");
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Makes an account of what the token service granted.
///
/// # Errors
/// [`SetUp::Permission`] if the person left the box unticked, or there is nothing to stay with.
pub fn granted(
    client: OAuthClient,
    tokens: &BasicTokenResponse,
    place: &str,
) -> Result<Account, Error> {
    let missing = |missing: &str| Error::SetUp {
        place: place.to_owned(),
        why: SetUp::Permission { missing: missing.to_owned() },
    };
    // A service that does not name the scope granted the one that was asked for.
    if let Some(scopes) = tokens.scopes()
        && !scopes.iter().any(|scope| scope.as_str() == SCOPE)
    {
        return Err(missing("drive.file"));
    }
    let refresh = tokens.refresh_token().ok_or_else(|| missing("offline access"))?;
    Ok(Account { client, scope: SCOPE.to_owned(), refresh_token: refresh.secret().clone() })
}

/// Says what a refused grant means.
pub fn refused(failure: Failure, place: &str) -> Error {
    match failure {
        RequestTokenError::ServerResponse(answer) => refused_as(&answer, place),
        RequestTokenError::Request(error) => error,
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => nonsense(place),
    }
}

/// Only the error's name decides: descriptions differ from year to year.
pub fn refused_as(answer: &StandardErrorResponse<BasicErrorResponseType>, place: &str) -> Error {
    let why = brief(&answer.to_string());
    let set_up = |why| Error::SetUp { place: place.to_owned(), why };
    match answer.error() {
        BasicErrorResponseType::InvalidGrant => Error::SignIn { place: place.to_owned(), why },
        BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
            set_up(SetUp::Client { why })
        }
        BasicErrorResponseType::InvalidScope => set_up(SetUp::Permission { missing: why }),
        _ => set_up(SetUp::Declined { why }),
    }
}

pub fn nonsense(place: &str) -> Error {
    let why = "the token service says nothing of sense".to_owned();
    Error::BadAnswer { place: place.to_owned(), why }
}

pub fn bad_address(place: &str) -> Error {
    let why = "an address of the service is none".to_owned();
    Error::WrongPlace { place: place.to_owned(), why }
}

//! Sees the answers of the server that the library above it swallows: status, and how long we are
//! asked to wait.

use std::{cell::Cell, future::Future, pin::Pin, time::Duration};

use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};

/// Longest wait that a header can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What an answer said outside of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
}

tokio::task_local! {
    static LAST: Cell<Option<Answer>>;
}

/// Runs a call, and returns the last answer that it got with its result.
pub async fn watched<T>(call: impl Future<Output = T>) -> (T, Option<Answer>) {
    LAST.scope(Cell::new(None), async {
        let result = call.await;
        (result, LAST.with(Cell::get))
    })
    .await
}

/// Connects as the library does, and watches.
#[derive(Debug, Default)]
pub struct Watching(ReqwestConnector);

impl HttpConnector for Watching {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

type Called<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Watched {
    fn call<'call, 'future>(&'call self, request: HttpRequest) -> Called<'future>
    where
        'call: 'future,
        Self: 'future,
    {
        Box::pin(async {
            // An error has no answer; one of an earlier request would explain it wrongly.
            let _ = LAST.try_with(|last| last.set(None));
            let response = self.0.execute(request).await?;
            let _ = LAST.try_with(|last| last.set(Some(answer(&response))));
            Ok(response)
        })
    }
}

fn answer(response: &HttpResponse) -> Answer {
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.trim().parse().ok());
    Answer {
        status: response.status().as_u16(),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
    }
}

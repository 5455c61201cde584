//! Where Google answers.

/// Addresses of the services; tests and proxies put their own in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Everything about files.
    pub api: String,
    /// The page that a person sees.
    pub consent: String,
    pub token: String,
    pub device: String,
}

impl Endpoints {
    /// Google's own.
    pub fn google() -> Self {
        Self {
            api: "https://www.googleapis.com".to_owned(),
            consent: "https://accounts.google.com/o/oauth2/v2/auth".to_owned(),
            token: "https://oauth2.googleapis.com/token".to_owned(),
            device: "https://oauth2.googleapis.com/device/code".to_owned(),
        }
    }

    /// All services below one address, with Google's paths.
    pub fn below(base: &str) -> Self {
        let base = base.trim_end_matches('/');
        Self {
            api: base.to_owned(),
            consent: format!("{base}/o/oauth2/v2/auth"),
            token: format!("{base}/token"),
            device: format!("{base}/device/code"),
        }
    }
}

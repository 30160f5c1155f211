//! Why the store did not do it, and what mends that.

use std::io;

use sc_client::kv::KvError;
use sc_proto::store::problem::Code;
use sc_transport::RpcError;

/// Who was spoken to, and so what whoever asks has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A gateway, which goes by tokens.
    Gateway,
    /// The store itself, whose coder goes by certificates.
    Store,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RemoteError {
    /// The word of the gateway or the store; [`Self::code`] says who acts.
    #[error("{}", told(.title, .detail, .code, *.by))]
    Problem {
        /// The kind, as a word: the same by either way.
        code: String,
        /// Of the kind; may be empty.
        title: String,
        /// What is wrong this time.
        detail: String,
        /// Who says so.
        by: By,
    },
    /// Nobody was reached.
    #[error("{url} is not reached: {cause}; {fix}")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        cause: String,
        /// What to do.
        fix: String,
    },
    /// Whoever answers there is no gateway.
    #[error("{url} answers with status {status} and no problem document: is it a gateway's URL?")]
    NotAGateway {
        /// Where.
        url: String,
        /// The status.
        status: u16,
    },
    /// Nothing moved for a while; a write may have been done or not.
    #[error(
        "nothing has come for {0} s: whether a write was done is not known, so look before you try again"
    )]
    Stalled(u64),
    /// The answer ended before it was whole.
    #[error("the answer broke off: {0}; try again")]
    BrokeOff(String),
    /// What was to be stored cannot be read.
    #[error("{0}")]
    Body(#[source] io::Error),
    /// The answer is not what was asked for: of another version, or no gateway's.
    #[error("the answer is not understood: {0}")]
    Malformed(&'static str),
    /// The answer is not of a coder of this tenant: never retry.
    #[error("the store's answer is not authentic: tell whoever owns the data")]
    NotAuthentic,
    /// A path of REST cannot name this key.
    #[error(
        "the key {0} is no UTF-8, which no URL of a gateway can name: speak to the store itself, by --key and its tcp:// URL"
    )]
    KeyIsNoText(String),
}

impl RemoteError {
    /// The kind of problem, as a word, if it is a problem.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Problem { code, .. } => code,
            _ => "",
        }
    }

    /// Whether the command itself is wrong.
    pub(crate) fn is_wrong_use(&self) -> bool {
        self.code() == "malformed"
    }

    /// Whether it is about this one object, so that others may well succeed.
    pub(crate) fn is_about_one(&self) -> bool {
        match self {
            Self::Problem { code, .. } => matches!(
                &**code,
                "not-found"
                    | "condition-failed"
                    | "malformed"
                    | "too-large"
                    | "limit"
                    | "lost"
                    | "exists"
                    | "range"
                    | "incomplete"
            ),
            Self::Body(_) | Self::BrokeOff(_) | Self::KeyIsNoText(_) => true,
            _ => false,
        }
    }
}

/// A problem in one line: what it is, this time's particulars, and what mends it.
fn told(title: &str, detail: &str, code: &str, by: By) -> String {
    let mut text = match (title, detail) {
        (title, "") => title.to_owned(),
        ("", detail) => detail.to_owned(),
        (title, detail) if title.eq_ignore_ascii_case(detail) => title.to_owned(),
        (title, detail) => format!("{title}: {detail}"),
    };
    if text.is_empty() {
        text.push_str(code);
    }
    if let Some(fix) = fix(code, by) {
        text.push_str("; ");
        text.push_str(fix);
    }
    text
}

/// What mends a problem, where its detail does not say so.
fn fix(code: &str, by: By) -> Option<&'static str> {
    Some(match code {
        "forbidden" if by == By::Store => {
            "name the file of credentials that grant this, with --key: the owner makes them with `securecloud credentials issue`"
        }
        "not-provisioned" if by == By::Store => {
            "a gateway on the owner's folder brings the coder its root: start one at this store"
        }
        "unauthenticated" => {
            "name the file of a token that is neither deleted nor expired, with --token"
        }
        "forbidden" => {
            "take a token that grants this: its maker runs `securecloud kv token create`"
        }
        "not-found" => "`securecloud kv ls` tells what there is",
        "no-datastore" => {
            "`securecloud kv datastore ls` tells what there is, and `datastore create` makes one"
        }
        "no-policy" => {
            "`securecloud kv policy ls` tells what there is, and `policy create` makes one"
        }
        "upload-gone" => "`securecloud kv upload ls` tells which are under way",
        "no-token" => "`securecloud kv token ls` tells what there is",
        "not-empty" => "delete what is in it first: `securecloud kv rm -r --versions NAME`",
        "quota" => {
            "delete something, or raise it: `securecloud kv datastore set NAME --quota BYTES`"
        }
        "placement" => {
            "`securecloud kv location ls` tells which locations there are and what they are"
        }
        "condition-failed" => "read the object again, then decide",
        "busy" | "unavailable" => "try again soon",
        "not-provisioned" => "its owner provides the coder with the root",
        "lost" => "see `securecloud kv stat`, and bring locations back",
        "late" => "whether it was done is not known, so look before you try again",
        "not-authentic" => "tell whoever owns the data",
        "internal" => "report it: the gateway is at fault",
        _ => return None,
    })
}

impl From<KvError> for RemoteError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Problem { code, message } => Self::Problem {
                code: word(code).to_owned(),
                title: String::new(),
                detail: message,
                by: By::Store,
            },
            KvError::Link(RpcError::Deadline) => Self::Problem {
                code: "late".to_owned(),
                title: "the store did not answer in time".to_owned(),
                detail: String::new(),
                by: By::Store,
            },
            KvError::Link(cause) => Self::Unreachable {
                url: "the store".to_owned(),
                cause: cause.to_string(),
                fix: "it was there at first: does it still run?".to_owned(),
            },
            KvError::NotAuthentic => Self::NotAuthentic,
            KvError::Malformed(what) => Self::Malformed(what),
            KvError::Body(cause) => Self::Body(cause),
            other => Self::BrokeOff(other.to_string()),
        }
    }
}

/// A code of the store as REST writes it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Unspecified => "store-malformed",
        Code::Malformed => "malformed",
        Code::NotFound => "not-found",
        Code::NoDatastore => "no-datastore",
        Code::Exists => "exists",
        Code::NotEmpty => "not-empty",
        Code::ConditionFailed => "condition-failed",
        Code::Quota => "quota",
        Code::NoPolicy => "no-policy",
        Code::Placement => "placement",
        Code::Range => "range",
        Code::Forbidden => "forbidden",
        Code::NotProvisioned => "not-provisioned",
        Code::Session | Code::Unavailable => "unavailable",
        Code::Lost => "lost",
        Code::Limit => "limit",
        Code::NotAuthentic => "not-authentic",
        Code::UploadGone => "upload-gone",
        Code::InUse => "in-use",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_its_fix() {
        let error = RemoteError::Problem {
            code: "no-datastore".into(),
            title: "There is no such datastore".into(),
            detail: "there is no datastore named logs".into(),
            by: By::Gateway,
        };

        let text = error.to_string();

        assert!(text.starts_with(
            "There is no such datastore: there is no datastore named logs; `securecloud kv datastore ls`"
        ));
    }

    #[test]
    fn a_problem_without_words_is_told_by_its_code() {
        assert_eq!(told("", "", "method", By::Gateway), "method");
        assert_eq!(told("", "why", "method", By::Gateway), "why");
    }

    #[test]
    fn who_shows_a_token_is_told_of_tokens_and_who_shows_a_certificate_of_certificates() {
        let refusal = |by| told("It is not granted", "", "forbidden", by);

        assert!(refusal(By::Gateway).contains("kv token create"));
        assert!(refusal(By::Store).contains("credentials issue"));
        assert!(!refusal(By::Store).contains("token"));
    }
}

//! What a store asks of a backend elsewhere and what that answers, in frames.
//!
//! Invariant: whatever a peer sends, parsing gives a message whose parts are what they claim to be, or says that it is none; and each
//! message fits into a frame.
//! Source: docs/FORMATS.md, "Backends at a distance".

use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;
use sc_proto::backend as wire;
use sc_proto::backend::problem::Kind;
use sc_proto::backend::{reply, request};
use sc_transport::{Frame, RPC_HEAD_MAX};

use crate::recoding::SCALARS_MAX;
use crate::{BackendError, Description, FragmentName, Listed, LocationId, NAME_BYTES_MAX, Usage};

/// Most bytes that one entry of a page takes: its tag and length, name and length of the fragment with their tags.
const ENTRY_BYTES_MAX: usize = 2 + (2 + NAME_BYTES_MAX) + 11;
/// What encloses the entries: tag and length of the page.
const ENVELOPE_BYTES: usize = 8;
/// Most entries of a page: so many fit into a head, whatever they are.
pub(super) const PAGE_MAX: usize = (RPC_HEAD_MAX - ENVELOPE_BYTES) / ENTRY_BYTES_MAX;
/// Longest text that comes with an error, in characters.
const TEXT_MAX: usize = 256;

/// A request, and whose answer it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Which location is meant; none: whichever answers.
    pub(super) location: Option<LocationId>,
    pub(super) request: Request,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Put(FragmentName, Bytes),
    Get(FragmentName),
    Read(FragmentName, Range<u64>),
    Delete(FragmentName),
    List {
        after: Option<FragmentName>,
        /// At most [`PAGE_MAX`].
        limit: usize,
    },
    Usage,
    Describe,
    /// The scalars are at most [`SCALARS_MAX`].
    Recode(FragmentName, Bytes),
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Problem(BackendError),
    Stored,
    Body(Bytes),
    Deleted(bool),
    /// Ascending, at most [`PAGE_MAX`].
    Page(Vec<Listed>),
    Usage(Usage),
    Description(Description),
    /// Tags, then packets.
    Recoded(Bytes),
}

/// Why a frame is no message: whoever sent it breaks the rules, or speaks another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a message does not decode")]
    Head,
    #[error("a message of an unknown kind")]
    Kind,
    #[error("a message names what is no fragment")]
    Name,
    #[error("a message names what is no location")]
    Location,
    #[error("a message with {0} attachments")]
    Attachments(usize),
    #[error("a page that is too long or not in order")]
    Page,
    #[error("a message with more scalars than a fragment has")]
    Scalars,
}

impl TryFrom<Frame> for Call {
    type Error = Malformed;

    fn try_from(frame: Frame) -> Result<Self, Malformed> {
        let Frame { head, attachments } = frame;
        let call = wire::Request::decode(head).map_err(|_| Malformed::Head)?;
        let request = call.request.ok_or(Malformed::Kind)?;
        let meant = Some(call.location).filter(|location| !location.is_empty());
        Ok(Self {
            location: meant.map(|meant| location(&meant)).transpose()?,
            request: Request::parse(request, attachments)?,
        })
    }
}

impl Request {
    fn parse(request: request::Request, attachments: Vec<Bytes>) -> Result<Self, Malformed> {
        if let request::Request::Put(put) = request {
            return Ok(Self::Put(name(&put.name)?, only(attachments)?));
        }
        none(&attachments)?;
        match request {
            request::Request::Put(_) => Err(Malformed::Kind),
            request::Request::Get(get) => Ok(Self::Get(name(&get.name)?)),
            request::Request::Read(read) => Ok(Self::Read(name(&read.name)?, read.start..read.end)),
            request::Request::Delete(delete) => Ok(Self::Delete(name(&delete.name)?)),
            request::Request::List(list) => {
                let after = Some(&list.after).filter(|after| !after.is_empty());
                let limit = usize::try_from(list.limit).unwrap_or(PAGE_MAX);
                Ok(Self::List {
                    after: after.map(|after| name(after)).transpose()?,
                    limit: limit.min(PAGE_MAX),
                })
            }
            request::Request::Usage(_) => Ok(Self::Usage),
            request::Request::Describe(_) => Ok(Self::Describe),
            request::Request::Recode(recode) if recode.scalars.len() > SCALARS_MAX => {
                Err(Malformed::Scalars)
            }
            request::Request::Recode(recode) => {
                Ok(Self::Recode(name(&recode.name)?, recode.scalars))
            }
        }
    }
}

impl From<Call> for Frame {
    fn from(Call { location, request }: Call) -> Self {
        let text = |name: FragmentName| name.as_str().to_owned();
        let mut body = None;
        let request = match request {
            Request::Put(name, bytes) => {
                body = Some(bytes);
                request::Request::Put(wire::Put { name: text(name) })
            }
            Request::Get(name) => request::Request::Get(wire::Get { name: text(name) }),
            Request::Read(name, Range { start, end }) => {
                let name = text(name);
                request::Request::Read(wire::Read { name, start, end })
            }
            Request::Delete(name) => request::Request::Delete(wire::Delete { name: text(name) }),
            Request::List { after, limit } => request::Request::List(wire::List {
                after: after.map(text).unwrap_or_default(),
                limit: u32::try_from(limit.min(PAGE_MAX)).expect("a page has few entries"),
            }),
            Request::Usage => request::Request::Usage(wire::GetUsage {}),
            Request::Describe => request::Request::Describe(wire::Describe {}),
            Request::Recode(name, scalars) => {
                let name = text(name);
                request::Request::Recode(wire::Recode { name, scalars })
            }
        };
        let call = wire::Request {
            location: location.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0)),
            request: Some(request),
        };
        framed(call.encode_to_vec(), body)
    }
}

impl TryFrom<Frame> for Answer {
    type Error = Malformed;

    fn try_from(frame: Frame) -> Result<Self, Malformed> {
        let Frame { head, attachments } = frame;
        let reply = wire::Reply::decode(head).map_err(|_| Malformed::Head)?;
        let reply = reply.reply.ok_or(Malformed::Kind)?;
        match reply {
            reply::Reply::Body(_) => return Ok(Self::Body(only(attachments)?)),
            reply::Reply::Recoded(_) => return Ok(Self::Recoded(only(attachments)?)),
            _ => {}
        }
        none(&attachments)?;
        match reply {
            reply::Reply::Problem(problem) => Ok(Self::Problem(parse_problem(problem)?)),
            reply::Reply::Stored(_) => Ok(Self::Stored),
            reply::Reply::Body(_) | reply::Reply::Recoded(_) => Err(Malformed::Kind),
            reply::Reply::Deleted(deleted) => Ok(Self::Deleted(deleted.existed)),
            reply::Reply::Page(page) => Ok(Self::Page(listed(&page)?)),
            reply::Reply::Usage(usage) => Ok(Self::Usage(Usage {
                fragments: usage.fragments,
                bytes: usage.bytes,
                free_bytes: usage.free_bytes,
            })),
            reply::Reply::Description(description) => Ok(Self::Description(Description {
                id: location(&description.id)?,
                durable: description.durable,
                computes: description.computes,
            })),
        }
    }
}

impl From<Answer> for Frame {
    fn from(answer: Answer) -> Self {
        let mut body = None;
        let reply = match answer {
            Answer::Problem(error) => reply::Reply::Problem(problem_of(&error)),
            Answer::Stored => reply::Reply::Stored(wire::Stored {}),
            Answer::Body(bytes) => {
                body = Some(bytes);
                reply::Reply::Body(wire::Body {})
            }
            Answer::Deleted(existed) => reply::Reply::Deleted(wire::Deleted { existed }),
            Answer::Page(page) => {
                let fragments = page.into_iter().map(|listed| wire::Listed {
                    name: listed.name.as_str().to_owned(),
                    bytes: listed.bytes,
                });
                let fragments = fragments.collect();
                reply::Reply::Page(wire::Page { fragments })
            }
            Answer::Usage(usage) => reply::Reply::Usage(wire::Usage {
                fragments: usage.fragments,
                bytes: usage.bytes,
                free_bytes: usage.free_bytes,
            }),
            Answer::Description(description) => reply::Reply::Description(wire::Description {
                durable: description.durable,
                computes: description.computes,
                id: Bytes::copy_from_slice(&description.id.0),
            }),
            Answer::Recoded(packets) => {
                body = Some(packets);
                reply::Reply::Recoded(wire::Recoded {})
            }
        };
        let reply = Some(reply);
        framed(wire::Reply { reply }.encode_to_vec(), body)
    }
}

fn parse_problem(problem: wire::Problem) -> Result<BackendError, Malformed> {
    let kind = Kind::try_from(problem.kind).map_err(|_| Malformed::Kind)?;
    let wire::Problem { bytes, message, .. } = problem;
    match kind {
        Kind::Unspecified => Err(Malformed::Kind),
        Kind::NotFound => Ok(BackendError::NotFound),
        Kind::Exists => Ok(BackendError::Exists),
        Kind::OutOfRange => Ok(BackendError::OutOfRange { length: bytes }),
        Kind::TooLarge => Ok(BackendError::TooLarge { bytes }),
        Kind::Full => Ok(BackendError::Full(presentable(&message))),
        Kind::Unavailable => Ok(BackendError::Unavailable(presentable(&message))),
        Kind::Corrupt => Ok(BackendError::Corrupt(presentable(&message))),
        Kind::Unsupported => Ok(BackendError::Unsupported(presentable(&message))),
    }
}

fn problem_of(error: &BackendError) -> wire::Problem {
    let (kind, bytes, why) = match error {
        BackendError::NotFound => (Kind::NotFound, 0, ""),
        BackendError::Exists => (Kind::Exists, 0, ""),
        BackendError::OutOfRange { length } => (Kind::OutOfRange, *length, ""),
        BackendError::TooLarge { bytes } => (Kind::TooLarge, *bytes, ""),
        BackendError::Full(why) => (Kind::Full, 0, &why[..]),
        BackendError::Unavailable(why) => (Kind::Unavailable, 0, &why[..]),
        BackendError::Corrupt(why) => (Kind::Corrupt, 0, &why[..]),
        BackendError::Unsupported(why) => (Kind::Unsupported, 0, &why[..]),
    };
    wire::Problem {
        kind: kind.into(),
        bytes,
        message: presentable(why),
    }
}

fn framed(head: Vec<u8>, body: Option<Bytes>) -> Frame {
    Frame {
        head: head.into(),
        attachments: body.into_iter().collect(),
    }
}

fn name(text: &str) -> Result<FragmentName, Malformed> {
    FragmentName::new(text).map_err(|_| Malformed::Name)
}

fn location(bytes: &[u8]) -> Result<LocationId, Malformed> {
    let id = bytes.try_into().map_err(|_| Malformed::Location)?;
    Ok(LocationId(id))
}

fn only(attachments: Vec<Bytes>) -> Result<Bytes, Malformed> {
    let [body] = <[Bytes; 1]>::try_from(attachments)
        .map_err(|attachments| Malformed::Attachments(attachments.len()))?;
    Ok(body)
}

fn none(attachments: &[Bytes]) -> Result<(), Malformed> {
    match attachments.len() {
        0 => Ok(()),
        count => Err(Malformed::Attachments(count)),
    }
}

fn listed(page: &wire::Page) -> Result<Vec<Listed>, Malformed> {
    if page.fragments.len() > PAGE_MAX {
        return Err(Malformed::Page);
    }
    let parsed = page.fragments.iter().map(|listed| {
        Ok(Listed {
            name: name(&listed.name)?,
            bytes: listed.bytes,
        })
    });
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    if !parsed.is_sorted_by(|one, next| one.name < next.name) {
        return Err(Malformed::Page);
    }
    Ok(parsed)
}

/// What an operator is shown of a text from elsewhere: its beginning, on one line.
fn presentable(text: &str) -> String {
    let shown = text.chars().take(TEXT_MAX);
    shown
        .map(|each| if each.is_control() { ' ' } else { each })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn fragment() -> FragmentName {
        FragmentName::new("0123.f").unwrap()
    }

    fn calls() -> Vec<Call> {
        let requests = [
            Request::Put(fragment(), Bytes::from_static(b"body")),
            Request::Put(fragment(), Bytes::new()),
            Request::Get(fragment()),
            Request::Read(fragment(), 3..u64::MAX),
            Request::Delete(fragment()),
            Request::List {
                after: None,
                limit: 0,
            },
            Request::List {
                after: Some(fragment()),
                limit: PAGE_MAX,
            },
            Request::Usage,
            Request::Describe,
            Request::Recode(fragment(), Bytes::from_static(b"scalars")),
        ];
        let to = [None, Some(LocationId([7; 16]))];
        let calls = requests.iter().flat_map(|request| {
            to.map(|location| Call {
                location,
                request: request.clone(),
            })
        });
        calls.collect()
    }

    fn to_any(request: Request) -> Call {
        Call {
            location: None,
            request,
        }
    }

    fn errors() -> [BackendError; 8] {
        [
            BackendError::NotFound,
            BackendError::Exists,
            BackendError::OutOfRange { length: 7 },
            BackendError::TooLarge { bytes: 8 },
            BackendError::Full("full".to_owned()),
            BackendError::Unavailable("away".to_owned()),
            BackendError::Corrupt("rotten".to_owned()),
            BackendError::Unsupported("no".to_owned()),
        ]
    }

    fn answers() -> Vec<Answer> {
        let listed = |text: &str, bytes| Listed {
            name: FragmentName::new(text).unwrap(),
            bytes,
        };
        let mut answers = vec![
            Answer::Stored,
            Answer::Body(Bytes::from_static(b"body")),
            Answer::Body(Bytes::new()),
            Answer::Recoded(Bytes::from_static(b"tags and packets")),
            Answer::Deleted(true),
            Answer::Deleted(false),
            Answer::Page(Vec::new()),
            Answer::Page(vec![listed("a", 0), listed("b", u64::MAX)]),
            Answer::Usage(Usage::default()),
            Answer::Usage(Usage {
                fragments: 1,
                bytes: 2,
                free_bytes: Some(0),
            }),
            Answer::Description(Description {
                id: LocationId([7; 16]),
                durable: true,
                computes: true,
            }),
        ];
        answers.extend(errors().map(Answer::Problem));
        answers
    }

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        for call in calls() {
            let frame = Frame::from(call.clone());
            assert_eq!(Call::try_from(frame), Ok(call));
        }
        for answer in answers() {
            let frame = Frame::from(answer.clone());
            assert_eq!(Answer::try_from(frame), Ok(answer));
        }
    }

    #[test]
    fn a_body_is_the_one_attachment_of_its_message_and_others_have_none() {
        for call in calls() {
            let bodies = usize::from(matches!(call.request, Request::Put(..)));
            let frame = Frame::from(call);
            assert_eq!(frame.attachments.len(), bodies);

            let more = Call::try_from(frame.with("more"));

            assert_eq!(more, Err(Malformed::Attachments(bodies + 1)));
        }
        let mut put = Frame::from(to_any(Request::Put(fragment(), Bytes::new())));
        put.attachments.clear();
        assert_eq!(Call::try_from(put), Err(Malformed::Attachments(0)));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "..", "a/b", &"z".repeat(NAME_BYTES_MAX + 1)] {
            let get = wire::Get {
                name: text.to_owned(),
            };
            let request = Some(request::Request::Get(get));

            let call = wire::Request {
                request,
                ..wire::Request::default()
            };

            let frame = Frame::new(call.encode_to_vec());

            assert_eq!(Call::try_from(frame), Err(Malformed::Name));
        }
    }

    #[test]
    fn more_scalars_than_a_fragment_has_are_refused() {
        let recode = wire::Recode {
            name: "f".to_owned(),
            scalars: vec![1; SCALARS_MAX + 1].into(),
        };
        let request = Some(request::Request::Recode(recode));
        let call = wire::Request {
            request,
            ..wire::Request::default()
        };

        let frame = Frame::new(call.encode_to_vec());

        assert_eq!(Call::try_from(frame), Err(Malformed::Scalars));
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for length in [1, 15, 17] {
            let call = wire::Request {
                location: vec![7; length].into(),
                request: Some(request::Request::Usage(wire::GetUsage {})),
            };

            let frame = Frame::new(call.encode_to_vec());

            assert_eq!(Call::try_from(frame), Err(Malformed::Location));
        }
    }

    #[test]
    fn an_error_of_an_unknown_kind_is_refused() {
        for kind in [0, 9, -1] {
            let problem = wire::Problem {
                kind,
                ..wire::Problem::default()
            };
            let reply = Some(reply::Reply::Problem(problem));

            let frame = Frame::new(wire::Reply { reply }.encode_to_vec());

            assert_eq!(Answer::try_from(frame), Err(Malformed::Kind));
        }
    }

    #[test]
    fn the_longest_page_fits_into_a_head() {
        let longest = |at: usize| Listed {
            name: FragmentName::new(&format!("{at:0>NAME_BYTES_MAX$}")).unwrap(),
            bytes: u64::MAX,
        };
        let page = Answer::Page((0..PAGE_MAX).map(longest).collect());

        let frame = Frame::from(page.clone());

        assert!(frame.head.len() <= RPC_HEAD_MAX, "{}", frame.head.len());
        assert_eq!(Answer::try_from(frame), Ok(page));
    }

    #[test]
    fn a_page_out_of_order_or_too_long_is_refused() {
        let page = |names: Vec<String>| {
            let fragments = names
                .into_iter()
                .map(|name| wire::Listed { name, bytes: 1 });
            let fragments = fragments.collect();
            let reply = Some(reply::Reply::Page(wire::Page { fragments }));
            Answer::try_from(Frame::new(wire::Reply { reply }.encode_to_vec()))
        };

        for names in [["b", "a"], ["a", "a"]] {
            let names = names.map(str::to_owned).to_vec();
            assert_eq!(page(names), Err(Malformed::Page));
        }
        let ascending = (0..=PAGE_MAX).map(|at| format!("{at:06}"));
        assert_eq!(page(ascending.collect()), Err(Malformed::Page));
    }

    #[test]
    fn a_text_is_shortened_and_stays_on_its_line() {
        let long = format!("one\ntwo\u{1b}[31m{}", "é".repeat(TEXT_MAX));

        let problem = problem_of(&BackendError::Full(long));

        assert!(problem.message.starts_with("one two [31m"));
        assert_eq!(problem.message.chars().count(), TEXT_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(
            head in vec(any::<u8>(), 0..300),
            attachments in vec(vec(any::<u8>(), 0..3), 0..3),
        ) {
            let attachments = attachments.into_iter().map(Bytes::from).collect();
            let frame = Frame { head: head.into(), attachments };

            if let Ok(call) = Call::try_from(frame.clone()) {
                prop_assert_eq!(Call::try_from(Frame::from(call.clone())), Ok(call));
            }
            if let Ok(answer) = Answer::try_from(frame) {
                prop_assert_eq!(Answer::try_from(Frame::from(answer.clone())), Ok(answer));
            }
        }

        #[test]
        fn a_message_with_altered_bytes_is_a_message_or_refused(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let alter = |frame: &Frame| {
                let mut head = frame.head.to_vec();
                if !head.is_empty() {
                    let at = at.index(head.len());
                    head[at] = byte;
                }
                Frame { head: head.into(), attachments: frame.attachments.clone() }
            };

            let (calls, answers) = (calls(), answers());
            let call = Frame::from(which.get(&calls).clone());
            let answer = Frame::from(which.get(&answers).clone());

            let _ = Call::try_from(alter(&call));
            let _ = Answer::try_from(alter(&answer));
        }
    }
}

//! The trusted program behind its door: started, asked what it is, and started again when it has ended.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sc_launcher::{Door, LaunchError};
use sc_proto::cbr::{self, call, reply};
use tokio::time::Instant;

/// The name by which the routing program calls itself.
const NAME: &str = "sc-cbr";
/// The longest pause before a program that keeps ending is started again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A program that has lived for so long is started again at once.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// What has become of the program.
pub(super) enum Happening {
    Reply(u64, Bytes),
    /// It has said what it is: its name and version, and what protects it.
    Started {
        program: String,
        tee: String,
    },
    Ended {
        why: Ended,
        /// After which pause it is started again.
        pause: Duration,
    },
}

/// Why there is no program.
#[derive(Debug)]
pub(super) enum Ended {
    Launch(LaunchError),
    Gone,
    Unfit(String),
}

enum State {
    /// To be started at this time.
    Due(Instant),
    /// It was asked what it is.
    Asked(Door),
    Serving(Door),
}

pub(super) struct Program<L> {
    launch: L,
    state: State,
    since: Instant,
    /// How often it has ended without having been steady.
    ends: u32,
}

impl<L: FnMut() -> Result<Door, LaunchError>> Program<L> {
    pub(super) fn new(launch: L) -> Self {
        let now = Instant::now();
        Self {
            launch,
            state: State::Due(now),
            since: now,
            ends: 0,
        }
    }

    /// Makes a call. One to a program that has ended is lost, and its end is told by [`Program::next`].
    pub(super) fn call(&self, token: u64, request: Bytes) {
        if let State::Serving(door) = &self.state {
            let _ = door.call(token, request);
        }
    }

    /// What happens next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Happening {
        loop {
            match &mut self.state {
                State::Due(at) => {
                    tokio::time::sleep_until(*at).await;
                    match self.start() {
                        Ok(door) => self.state = State::Asked(door),
                        Err(why) => return self.end(why),
                    }
                }
                State::Asked(door) => {
                    let described = match door.reply().await {
                        Ok((_, reply)) => description(reply),
                        Err(_) => Err(Ended::Gone),
                    };
                    return match described {
                        Ok(description) => self.serve(description),
                        Err(why) => self.end(why),
                    };
                }
                State::Serving(door) => {
                    return match door.reply().await {
                        Ok((token, reply)) => Happening::Reply(token, reply),
                        Err(_) => self.end(Ended::Gone),
                    };
                }
            }
        }
    }

    /// A reply that is there already.
    pub(super) fn try_reply(&mut self) -> Option<(u64, Bytes)> {
        match &mut self.state {
            State::Serving(door) => door.try_reply(),
            _ => None,
        }
    }

    /// Starts it, and asks it what it is before anything depends on that.
    fn start(&mut self) -> Result<Door, Ended> {
        let door = (self.launch)().map_err(Ended::Launch)?;
        let call = cbr::Call {
            call: Some(call::Call::Describe(cbr::Describe {})),
        };
        let asked = door.call(0, call.encode_to_vec().into());
        asked.map_err(|_| Ended::Gone)?;
        self.since = Instant::now();
        Ok(door)
    }

    fn serve(&mut self, description: cbr::Description) -> Happening {
        let due = State::Due(self.since);
        if let State::Asked(door) = core::mem::replace(&mut self.state, due) {
            self.state = State::Serving(door);
        }
        Happening::Started {
            program: format!("{} {}", description.program, description.version),
            tee: description.tee,
        }
    }

    fn end(&mut self, why: Ended) -> Happening {
        if self.since.elapsed() >= STEADY_AFTER {
            self.ends = 0;
        }
        let pause = pause(self.ends);
        self.ends += 1;
        self.state = State::Due(Instant::now() + pause);
        Happening::Ended { why, pause }
    }
}

/// 0, 1, 2, 4 … 10 s.
fn pause(ends: u32) -> Duration {
    match ends {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (ends - 1).min(4)).min(PAUSE_MAX),
    }
}

/// Whether what answers is the routing program of this version.
fn description(reply: Bytes) -> Result<cbr::Description, Ended> {
    let reply = cbr::Reply::decode(reply).ok().and_then(|reply| reply.reply);
    let Some(reply::Reply::Description(description)) = reply else {
        return Err(Ended::Unfit("it does not say what it is".into()));
    };
    if description.program == NAME && description.version == env!("CARGO_PKG_VERSION") {
        Ok(description)
    } else {
        let cbr::Description {
            program, version, ..
        } = description;
        Err(Ended::Unfit(format!("{program} {version}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_the_first_is_none() {
        let seconds: Vec<u64> = (0..8).map(|ends| pause(ends).as_secs()).collect();

        assert_eq!(seconds, [0, 1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}

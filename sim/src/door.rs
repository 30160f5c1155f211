//! The door: calls go to the trusted program, replies come back in their order, some time later.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sc_enclave::Program;
use sc_proto::Message as _;
use sc_proto::cbr::{self, call, reply};

use crate::fault::{Fault, Weather};
use crate::party::Party;
use crate::queue::Happening;
use crate::random::Random;
use crate::trace::Digest;
use crate::violation::Violation;
use crate::world::{World, note};

/// What a call takes at least.
const CALL: Duration = Duration::from_micros(20);
/// What it may take more, without a fault.
const JITTER: Duration = Duration::from_micros(30);

/// A program in one life, with its own randomness.
pub(crate) struct Enclave {
    pub(crate) program: Box<dyn Program>,
    pub(crate) entropy: Random,
}

impl Enclave {
    fn ask(&mut self, request: Bytes) -> Bytes {
        let entropy = &mut self.entropy;
        self.program
            .handle(request, &mut |bytes: &mut [u8]| entropy.fill(bytes))
    }
}

pub(crate) struct Door {
    enclave: Enclave,
    /// Another that a hostile host shows everything to.
    second: Option<Enclave>,
    timing: Random,
    weather: Weather,
    calm_from: Duration,
    calls: VecDeque<(u64, Bytes)>,
    /// When the last call made so far is answered.
    free: Duration,
    /// How many programs there have been.
    pub(crate) life: usize,
    pub(crate) violations: Vec<Violation>,
}

impl Door {
    pub(crate) fn new(
        enclave: Enclave,
        second: Option<Enclave>,
        timing: Random,
        weather: Weather,
        calm_from: Duration,
        life: usize,
    ) -> Self {
        Self {
            enclave,
            second,
            timing,
            weather,
            calm_from,
            calls: VecDeque::new(),
            free: Duration::ZERO,
            life,
            violations: Vec::new(),
        }
    }

    /// The program has died, and with it what it was asked; another takes its place later.
    pub(crate) fn renew(&mut self, enclave: Enclave) {
        self.enclave = enclave;
        self.calls.clear();
        self.life += 1;
    }

    /// Makes a call whose reply [`Door::reply`] gives when its time has come.
    pub(crate) fn call(&mut self, world: &mut World, token: u64, request: Bytes) {
        let mut answered = self.timing.time(world.now.max(self.free) + CALL, JITTER);
        if world.now < self.calm_from && self.timing.chance(self.weather.door_delay) {
            world.faults.count(Fault::DoorDelay);
            answered = self.timing.time(answered, self.weather.door_delay_max);
        }
        self.free = answered;
        self.calls.push_back((token, request));
        world.queue.at(answered, Happening::Reply(self.life));
    }

    /// Answers the oldest call.
    pub(crate) fn reply(&mut self, world: &mut World) -> Option<(u64, Bytes)> {
        let (token, request) = self.calls.pop_front()?;
        let reply = self.ask(request.clone());
        world.oracle.on_call(world.now, &request, &reply);
        if self.ask_second(&request) {
            world.faults.count(Fault::TwoEnclaves);
        }
        let reply = world.plants.reply(&world.oracle, &request, reply);
        note!(
            world,
            Party::Router,
            "gets reply {token} {}",
            Digest::of(&reply)
        );
        Some((token, reply))
    }

    /// Calls without delay, before anything else happens.
    pub(crate) fn ask(&mut self, request: Bytes) -> Bytes {
        self.enclave.ask(request)
    }

    /// A second enclave must refuse what the first was given the keys of; whether there is one that was asked.
    fn ask_second(&mut self, request: &Bytes) -> bool {
        let Some(second) = &mut self.second else {
            return false;
        };
        let call = cbr::Call::decode(request.clone()).ok();
        let Some(call::Call::Secrets(_) | call::Call::Control(_) | call::Call::Batch(_)) =
            call.and_then(|call| call.call)
        else {
            return false;
        };
        let answer = cbr::Reply::decode(second.ask(request.clone())).ok();
        let answer = answer.and_then(|reply| reply.reply);
        if !matches!(answer, Some(reply::Reply::Refusal(_))) {
            let what = format!("{} bytes", request.len());
            self.violations.push(Violation::SecondEnclave { what });
        }
        true
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }
}

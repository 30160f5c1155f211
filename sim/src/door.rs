//! The door: calls go to the trusted program, replies come back in their order, some time later.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sc_enclave::Program;

use crate::fault::{Fault, Weather};
use crate::queue::Happening;
use crate::random::Random;
use crate::world::World;

/// What a call takes at least.
const CALL: Duration = Duration::from_micros(20);
/// What it may take more, without a fault.
const JITTER: Duration = Duration::from_micros(30);

pub(crate) struct Door {
    program: Box<dyn Program>,
    entropy: Random,
    timing: Random,
    weather: Weather,
    calm_from: Duration,
    calls: VecDeque<(u64, Bytes)>,
    /// When the last call made so far is answered.
    free: Duration,
}

impl Door {
    pub(crate) fn new(
        program: Box<dyn Program>,
        entropy: Random,
        timing: Random,
        weather: Weather,
        calm_from: Duration,
    ) -> Self {
        Self {
            program,
            entropy,
            timing,
            weather,
            calm_from,
            calls: VecDeque::new(),
            free: Duration::ZERO,
        }
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
        world.queue.at(answered, Happening::Reply);
    }

    /// Answers the oldest call.
    pub(crate) fn reply(&mut self) -> Option<(u64, Bytes)> {
        let (token, request) = self.calls.pop_front()?;
        Some((token, self.ask(request)))
    }

    /// Calls without delay, before anything else happens.
    pub(crate) fn ask(&mut self, request: Bytes) -> Bytes {
        let entropy = &mut self.entropy;
        self.program
            .handle(request, &mut |bytes: &mut [u8]| entropy.fill(bytes))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }
}

//! A tap on a TCP address: passes every connection on and records all bytes of both directions.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::process::holds;

/// One recording for each direction of each connection, so that nothing is torn apart.
type Recordings = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

pub(crate) struct Tap {
    address: String,
    recordings: Recordings,
}

impl Tap {
    /// A tap in front of `target`.
    pub(crate) fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let recordings = Recordings::default();
        let (target, kept) = (target.to_owned(), Arc::clone(&recordings));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(&target).unwrap();
                pass(near.try_clone().unwrap(), far.try_clone().unwrap(), &kept);
                pass(far, near, &kept);
            }
        });
        Self {
            address,
            recordings,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn recorded(&self, text: &[u8]) -> bool {
        self.recordings
            .lock()
            .unwrap()
            .iter()
            .any(|recording| holds(&recording.lock().unwrap(), text))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.recordings
            .lock()
            .unwrap()
            .iter()
            .map(|recording| recording.lock().unwrap().len())
            .sum()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, recordings: &Recordings) {
    let recording = Arc::new(Mutex::new(Vec::new()));
    recordings.lock().unwrap().push(Arc::clone(&recording));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            recording.lock().unwrap().extend_from_slice(&buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

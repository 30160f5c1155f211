//! Every message between components, compiled from the `.proto` files in the folder `securecloud`.
//!
//! Types here are bytes that arrived, not facts: each room parses them at its edge into types of its own.
#![allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications)]

macro_rules! package {
    ($name:ident, $file:literal) => {
        pub mod $name {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/", $file));
            }
            pub use v1::*;
        }
    };
}

package!(link, "securecloud.link.v1.rs");
package!(provision, "securecloud.provision.v1.rs");
package!(cbr, "securecloud.cbr.v1.rs");
package!(routing, "securecloud.routing.v1.rs");
package!(storage, "securecloud.storage.v1.rs");
package!(coder, "securecloud.coder.v1.rs");
package!(store, "securecloud.store.v1.rs");
package!(backend, "securecloud.backend.v1.rs");

pub use prost::{DecodeError, Message};

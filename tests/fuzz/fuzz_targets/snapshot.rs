//! Snapshots of the producers: what is accepted encodes to the same again.

#![no_main]

use brooklet_log::producer_state::snapshot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(states) = snapshot::decode(data) {
        let again = snapshot::encode(&states);
        assert_eq!(snapshot::decode(&again).as_ref(), Ok(&states));
    }
});

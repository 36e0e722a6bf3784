//! Record batches: parsed, checked, decompressed within a limit, iterated. The checksum is made
//! right, so that the fuzzer gets behind it.

#![no_main]

use brooklet_protocol::records::Batches;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for batch in Batches(Bytes::copy_from_slice(data)).map_while(Result::ok) {
        let _verdict = (batch.verify_crc(), batch.validate_for_produce());
        // A batch that is written anew has a right checksum, whatever it says.
        let batch = batch.with_log_append_time(brooklet_protocol::Timestamp(1));
        assert_eq!(batch.verify_crc(), Ok(()));
        if let Ok(records) = batch.records(1 << 20) {
            for record in records.iter().map_while(Result::ok) {
                let _headers = record.headers().count();
            }
        }
    }
});

//! The table of departures inside the binary: 90 KB of gzip; `cli/data/README.md` has its source
//! and licence.

use std::io::Read;

use anyhow::Context as _;

const PACKED: &[u8] = include_bytes!("../data/departures-2013-03-04.csv.gz");

/// The table as CSV, with its header.
///
/// # Errors
/// Only if the binary itself is damaged.
pub(crate) fn text() -> anyhow::Result<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(PACKED)
        .read_to_string(&mut text)
        .context("the table of departures inside this program is damaged")?;
    Ok(text)
}

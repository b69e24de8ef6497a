//! The texts that several packages read, each with one parser: passwords, durations. No I/O, no clock.

pub mod duration;
pub mod password;

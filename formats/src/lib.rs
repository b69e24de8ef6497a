//! The texts that several packages read, each with one parser: passwords, durations, `INFO`. No I/O, no clock.

pub mod duration;
pub mod info;
pub mod password;

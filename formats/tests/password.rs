//! Passwords, by the table that the start script is held against too.
#![allow(clippy::unwrap_used)]

use redis_replication_formats::password::Password;
use test_support::passwords::cases;

#[test]
fn a_password_is_one_line_of_text() {
    for (bytes, expected) in cases() {
        let read = Password::read(&bytes).map(|password| password.text().to_owned());
        assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
    }
}

#[test]
fn it_is_not_in_what_is_printed() {
    assert_eq!(format!("{:?}", Some(Password::read(b"hunter2").unwrap())), "Some(Password)");
}

//! One table of cases, for the function that reads a password and for the start script of a container.

use formats::password::{LONGEST, PasswordError as E};

/// What a Secret holds, and the password in it.
pub fn cases() -> Vec<(Vec<u8>, Result<String, E>)> {
    let fine = [
        "simple",
        " two  words ",
        r"back\slash",
        r"ends in a backslash\",
        r#"quo"te and 'quote'"#,
        r"\n \x41 \\",
        "$HOME `id` $(id) ${x} !! %s %d",
        "# no comment",
        "-n",
        "*",
        ".",
        "\"",
        "0",
        "tab\there",
        "pässwörd 密码 🔑",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}",
        "a\u{feff}b",
    ];
    let refused: &[(&[u8], E)] = &[
        (b"", E::Empty),
        (b"\n", E::Empty),
        (b"\n\n", E::SeveralLines),
        (b"two\nlines", E::SeveralLines),
        (b"line\n\n", E::SeveralLines),
        (b"\nline", E::SeveralLines),
        (b"windows\r\n", E::CarriageReturn),
        (b"mac\r", E::CarriageReturn),
        (b"in\rside", E::CarriageReturn),
        (b"\r", E::CarriageReturn),
        (b"\r\n", E::CarriageReturn),
        (b"line\n\r", E::SeveralLines),
        (b"nul\0inside", E::ControlCharacter),
        (b"nul\0", E::ControlCharacter),
        (b"\0", E::ControlCharacter),
        (b"bell\x07", E::ControlCharacter),
        (b"\x1b[31mred", E::ControlCharacter),
        (b"\xef\xbb\xbfmarked", E::ByteOrderMark),
        (b"\xff\xfep\0w\0", E::NotText),
        (b"lat\xefn", E::NotText),
        (b"cut \xc3", E::NotText),
        (b"cut \xc3\n", E::NotText),
        (b"cut \xf0\x9f\x94", E::NotText),
        (b"alone \x80", E::NotText),
        (b"overlong \xc0\xaf", E::NotText),
        (b"overlong \xe0\x80\xaf", E::NotText),
        (b"overlong \xf0\x8f\xbf\xbf", E::NotText),
        (b"surrogate \xed\xa0\x80", E::NotText),
        (b"beyond \xf4\x90\x80\x80", E::NotText),
        (b"beyond \xf5\x80\x80\x80", E::NotText),
    ];
    let mut all: Vec<_> = fine.iter().map(|text| (text.as_bytes().to_vec(), Ok((*text).to_owned()))).collect();
    all.extend(fine.iter().take(3).map(|text| (format!("{text}\n").into_bytes(), Ok((*text).to_owned()))));
    all.extend(refused.iter().map(|(bytes, error)| (bytes.to_vec(), Err(*error))));
    let longest = "x".repeat(LONGEST);
    all.push((format!("{longest}x").into_bytes(), Err(E::TooLong)));
    all.push((format!("{longest}\n").into_bytes(), Ok(longest)));
    all
}

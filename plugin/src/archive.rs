//! A tar.gz of texts, with a list of what is in it and of what is missing.

use std::{fmt::Write as _, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

use crate::error::Error;

/// Texts on their way into an archive.
#[derive(Debug, Default)]
pub struct Archive {
    files: Vec<File>,
    missing: Vec<(String, String)>,
}

#[derive(Debug)]
struct File {
    name: String,
    about: String,
    text: String,
}

impl Archive {
    /// Takes a file, or notes why it is missing.
    pub fn add(&mut self, name: &str, about: &str, text: Result<String, Error>) {
        match text {
            Ok(text) => self.files.push(File { name: name.to_owned(), about: about.to_owned(), text }),
            Err(error) => self.missing.push((name.to_owned(), error.to_string())),
        }
    }

    /// What is in it, and what is not.
    pub fn manifest(&self, head: &str) -> String {
        let mut text = format!("{head}\n\nIn this archive:\n");
        let width = self.files.iter().map(|file| file.name.len()).max().unwrap_or(0);
        for file in &self.files {
            let _ = writeln!(text, "  {:width$}  {} ({} bytes)", file.name, file.about, file.text.len());
        }
        if !self.missing.is_empty() {
            text.push_str("\nNot in it:\n");
        }
        for (name, why) in &self.missing {
            let _ = writeln!(text, "  {name}: {why}");
        }
        text
    }

    /// Writes all files below one folder, the list first. Only the owner may read the result.
    pub fn write(&self, path: &Path, folder: &str, head: &str) -> Result<(), Error> {
        let failed = |error| Error::io(path.display().to_string())(error);
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.write(true).create_new(true).open(path).map_err(failed)?;
        self.pack(file, folder, head).map_err(failed)
    }

    fn pack(&self, out: impl Write, folder: &str, head: &str) -> std::io::Result<()> {
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let manifest = self.manifest(head);
        let list = std::iter::once(("MANIFEST.txt", manifest.as_str()));
        for (name, text) in list.chain(self.files.iter().map(|file| (file.name.as_str(), file.text.as_str()))) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
            tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_what_is_missing_is_told() {
        let mut archive = Archive::default();
        archive.add("a/b.txt", "a text", Ok("ümläut\n".into()));
        archive.add("c.txt", "another", Err(Error::Unauthorized));
        let mut packed = Vec::new();
        archive.pack(&mut packed, "report", "head").unwrap();

        let mut unpacked = tar::Archive::new(GzDecoder::new(packed.as_slice()));
        let files: Vec<(String, String)> = unpacked
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["report/MANIFEST.txt", "report/a/b.txt"]);
        assert_eq!(files[1].1, "ümläut\n");
        let manifest = &files[0].1;
        assert!(manifest.starts_with("head\n"), "{manifest}");
        assert!(manifest.contains("a/b.txt  a text (9 bytes)"), "{manifest}");
        assert!(manifest.contains("c.txt: the API server does not accept"), "{manifest}");
    }
}

//! The page of paper that opens a repository. Pure.

use std::fmt::Write;

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use zeroize::Zeroizing;

use crate::{
    crypto::recovery::{RECOVERY_BYTES, written_groups},
    id::{ObjectId, RepositoryId},
};

/// Begins the text of the QR code, for the program that reads one.
const QR_PREFIX: &str = "STILLPOINT-RECOVERY";
/// Digits of ids that a person compares.
const ID_DIGITS: usize = 16;

/// What a sheet says besides its key.
#[derive(Debug, Clone)]
pub struct Sheet<'a> {
    pub repository: RepositoryId,
    pub slot: ObjectId,
    /// Where the repository lies.
    pub place: String,
    pub host: String,
    pub made: String,
    /// What the configuration says of each mirror, a line for each.
    pub mirrors: Vec<String>,
    pub key: &'a [u8; RECOVERY_BYTES],
}

impl Sheet<'_> {
    /// Returns the sheet as text, one page of 72 columns.
    pub fn text(&self) -> Zeroizing<String> {
        let mut page = Zeroizing::new(String::with_capacity(8192));
        // Writing into a string cannot fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let groups = written_groups(self.key);
        let (repository, slot) = (self.repository.to_string(), self.slot.to_string());
        writeln!(page, "STILLPOINT RECOVERY SHEET\n")?;
        writeln!(page, "This page opens the backups named below without any passphrase.")?;
        writeln!(page, "Print it, keep it where you keep the deeds, and delete the file.\n")?;
        writeln!(page, "Repository   {}", &repository[..ID_DIGITS])?;
        writeln!(page, "Place        {}", self.place)?;
        writeln!(page, "Machine      {}", self.host)?;
        writeln!(page, "Made         {}", self.made)?;
        writeln!(page, "Key          {}", &slot[..ID_DIGITS])?;
        writeln!(page, "\nRecovery key\n")?;
        for half in [&groups[..4], &groups[4..]] {
            let half: Vec<&str> = half.iter().map(|group| group.as_str()).collect();
            writeln!(page, "    {}", half.join("   "))?;
        }
        writeln!(page, "\nThere is no letter O, I, L or U in it: they are 0, 1, 1 and V.")?;
        writeln!(page, "{}", self.qr_code().as_str())?;
        self.write_mirrors(page)?;
        writeln!(page, "\nTo get everything back, on any Linux machine with Stillpoint:\n")?;
        writeln!(page, "    stillpoint restore latest --repo PLACE --target DIR")?;
        writeln!(page, "\nand type the recovery key where the passphrase is asked for. Capitals,")?;
        writeln!(page, "blanks and dashes do not matter. A mistyped group is named.")?;
        writeln!(page, "\nTyped in again, to be sure, on:  ____________  ____________")
    }

    fn write_mirrors(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "Copies elsewhere (kind, folder, sign-in; OAuth client id for Drive):\n")?;
        for mirror in &self.mirrors {
            writeln!(page, "    {mirror}")?;
        }
        for _ in self.mirrors.len()..2 {
            writeln!(page, "    {}", "_".repeat(64))?;
        }
        Ok(())
    }

    /// For paper: dark is ink.
    fn qr_code(&self) -> Zeroizing<String> {
        let groups = written_groups(self.key);
        let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
        let id = self.repository.to_string()[..ID_DIGITS].to_uppercase();
        let text = Zeroizing::new(format!("{QR_PREFIX}:{id}:{}", groups.join("-")));
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M)
            .expect("a code has room for so few characters");
        Zeroizing::new(code.render::<Dense1x2>().module_dimensions(1, 1).build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{recovery::read_file, secret::Credential};

    const KEY: [u8; RECOVERY_BYTES] = [0x5a; RECOVERY_BYTES];

    fn page(mirrors: &[&str]) -> String {
        let sheet = Sheet {
            repository: RepositoryId([0xab; 32]),
            slot: ObjectId([0xcd; 32]),
            place: "/srv/stillpoint".to_owned(),
            host: "till".to_owned(),
            made: "2026-11-20 15:00".to_owned(),
            mirrors: mirrors.iter().map(|&line| line.to_owned()).collect(),
            key: &KEY,
        };
        sheet.text().to_string()
    }

    #[test]
    fn the_text_of_a_sheet_opens_what_its_key_opens() {
        let found = read_file(page(&[]).as_bytes());

        assert!(matches!(found, Ok(Credential::Recovery(key)) if key == KEY), "{found:?}");
    }

    #[test]
    fn a_sheet_fits_one_page_and_leaves_room_for_mirrors() {
        let page = page(&["gdrive  POS backups"]);

        assert!(page.lines().count() <= 60, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 72), "{page}");
        assert!(page.contains("abababababababab") && page.contains("/srv/stillpoint"));
        assert!(page.contains("gdrive  POS backups") && page.contains("______"));
    }
}

//! The recovery key as people write, read aloud and type it. Spec: `format-spec/25-keys.md`,
//! "Recovery key".

use zeroize::Zeroizing;

use crate::crypto::{Error, secret::Credential};

/// Bytes of a recovery key.
pub const RECOVERY_BYTES: usize = 16;
/// Groups of the written form.
pub const GROUPS: usize = 8;
/// Symbols of a group, the last of which checks the others.
const GROUP_SYMBOLS: usize = 5;
const CHECKED_SYMBOLS: usize = GROUP_SYMBOLS - 1;
const SUM_BYTES: usize = 4;
const _: () = assert!((RECOVERY_BYTES + SUM_BYTES) * 8 == GROUPS * CHECKED_SYMBOLS * 5);

const SUM_CONTEXT: &str = "stillpoint 2026 v1 recovery checksum";
/// Crockford's: without the letters that look like digits, and without U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns the written form, group by group.
pub fn written_groups(key: &[u8; RECOVERY_BYTES]) -> [Zeroizing<String>; GROUPS] {
    let values = values(key);
    std::array::from_fn(|group| {
        let checked = &values[group * CHECKED_SYMBOLS..][..CHECKED_SYMBOLS];
        let values = checked.iter().copied().chain([check(group, checked)]);
        Zeroizing::new(values.map(|value| char::from(ALPHABET[usize::from(value)])).collect())
    })
}

/// Reads what a person typed: blanks, dashes and capitals do not matter, nor does O for 0.
///
/// # Errors
/// [`Error::NotARecoveryKey`] names the groups that are mistyped, where that can be told.
pub fn read_typed(text: &[u8]) -> Result<Credential, Error> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(text.len()));
    for byte in text {
        match byte {
            b'-' | b'_' | b'.' | b',' => {}
            byte if byte.is_ascii_whitespace() => {}
            byte => symbols.push(*byte),
        }
    }
    read_symbols(&symbols)
}

/// Finds the recovery key in a file: one that holds nothing else, or the text of a whole sheet.
///
/// # Errors
/// As [`read_typed`].
pub fn read_file(text: &[u8]) -> Result<Credential, Error> {
    let words: Vec<&[u8]> = text
        .split(|byte| byte.is_ascii_whitespace() || *byte == b'-')
        .filter(|word| word.len() == GROUP_SYMBOLS)
        .collect();
    let alone = read_typed(text);
    let mut found = words.windows(GROUPS).map(|groups| {
        let symbols = Zeroizing::new(groups.concat());
        read_symbols(&symbols)
    });
    match alone {
        Ok(credential) => Ok(credential),
        Err(error) => found.find_map(Result::ok).ok_or(error),
    }
}

fn read_symbols(symbols: &[u8]) -> Result<Credential, Error> {
    if symbols.len() != GROUPS * GROUP_SYMBOLS {
        let (wanted, given) = (GROUPS * GROUP_SYMBOLS, symbols.len());
        let why =
            format!("it has {GROUPS} groups of {GROUP_SYMBOLS}, {wanted} in all, not {given}");
        return Err(Error::NotARecoveryKey { why });
    }
    let mut all = Zeroizing::new([0_u8; GROUPS * CHECKED_SYMBOLS]);
    let mut mistyped = Vec::new();
    for (at, group) in symbols.chunks_exact(GROUP_SYMBOLS).enumerate() {
        let values: Option<Vec<u8>> = group.iter().map(|symbol| value_of(*symbol)).collect();
        let values = values.map(Zeroizing::new);
        match values {
            Some(values) if check(at, &values[..CHECKED_SYMBOLS]) == values[CHECKED_SYMBOLS] => {
                all[at * CHECKED_SYMBOLS..][..CHECKED_SYMBOLS]
                    .copy_from_slice(&values[..CHECKED_SYMBOLS]);
            }
            _ => mistyped.push((at + 1).to_string()),
        }
    }
    match mistyped.len() {
        0 => {}
        1 => {
            let why = format!("group {} is mistyped", mistyped[0]);
            return Err(Error::NotARecoveryKey { why });
        }
        _ => {
            let why = format!("groups {} are mistyped", mistyped.join(", "));
            return Err(Error::NotARecoveryKey { why });
        }
    }
    let key = key_of(&all);
    if *values(&key) != *all {
        let why = "its groups fit, but not together".to_owned();
        return Err(Error::NotARecoveryKey { why });
    }
    Ok(Credential::Recovery(*key))
}

/// Cuts key and checksum into 5 bits a symbol.
fn values(key: &[u8; RECOVERY_BYTES]) -> Zeroizing<[u8; GROUPS * CHECKED_SYMBOLS]> {
    let sum = Zeroizing::new(blake3::derive_key(SUM_CONTEXT, key));
    let bytes = Zeroizing::new([&key[..], &sum[..SUM_BYTES]].concat());
    let mut values = Zeroizing::new([0; GROUPS * CHECKED_SYMBOLS]);
    for (at, value) in values.iter_mut().enumerate() {
        *value = (0..5).fold(0, |value, bit| {
            let at = at * 5 + bit;
            value << 1 | (bytes[at / 8] >> (7 - at % 8) & 1)
        });
    }
    values
}

fn key_of(values: &[u8; GROUPS * CHECKED_SYMBOLS]) -> Zeroizing<[u8; RECOVERY_BYTES]> {
    let mut key = Zeroizing::new([0; RECOVERY_BYTES]);
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = (0..8).fold(0, |byte, bit| {
            let at = at * 8 + bit;
            byte << 1 | (values[at / 5] >> (4 - at % 5) & 1)
        });
    }
    key
}

/// The symbol that makes a group right. Every symbol has a weight of its own, and the group's place
/// has one too, so that one wrong symbol and any two that changed places show.
fn check(group: usize, values: &[u8]) -> u8 {
    // Horner, from the last symbol's weight down; addition in this field is exclusive or.
    let weighted = values.iter().rev().fold(0, |sum, value| times_two(sum ^ value));
    weighted ^ group as u8
}

/// Doubles in GF(32) modulo x^5 + x^2 + 1.
const fn times_two(value: u8) -> u8 {
    let doubled = value << 1;
    if doubled & 32 != 0 { doubled ^ 0b10_0101 } else { doubled }
}

fn value_of(symbol: u8) -> Option<u8> {
    let symbol = match symbol.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|known| *known == symbol).map(|at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
        0xff,
    ];

    fn written() -> String {
        written_groups(&KEY).map(|group| group.to_string()).join("-")
    }

    fn is_read(text: &str) -> bool {
        matches!(read_typed(text.as_bytes()), Ok(Credential::Recovery(key)) if key == KEY)
    }

    fn why(text: &str) -> String {
        match read_typed(text.as_bytes()) {
            Err(Error::NotARecoveryKey { why }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_recovery_key_is_read_however_it_is_typed() {
        let text = written();

        assert_eq!(text.len(), 8 * 5 + 7);
        assert!(text.starts_with("008J"), "{text}");
        assert!(is_read(&text));
        assert!(is_read(&text.to_lowercase()));
        assert!(is_read(&text.replace('-', "")));
        assert!(is_read(&format!("  {}\r\n", text.replace('-', " \n "))));
        assert!(is_read(&text.replace('0', "O").replace('1', "l")));
        assert!(is_read(&text.replace('0', "o").replace('1', "I")));
    }

    #[test]
    fn every_wrong_symbol_and_every_swap_names_its_group() {
        let text = written().replace('-', "");
        for at in 0..text.len() {
            for symbol in ALPHABET {
                let mut typed = text.clone().into_bytes();
                typed[at] = *symbol;
                let typed = String::from_utf8(typed).unwrap();
                if typed != text {
                    assert_eq!(why(&typed), format!("group {} is mistyped", at / 5 + 1));
                }
            }
            for other in at - at % 5..at {
                let mut typed = text.clone().into_bytes();
                typed.swap(at, other);
                let typed = String::from_utf8(typed).unwrap();
                if typed != text {
                    assert_eq!(why(&typed), format!("group {} is mistyped", at / 5 + 1));
                }
            }
        }
    }

    #[test]
    fn groups_that_changed_places_are_both_named() {
        let mut groups: Vec<String> = written().split('-').map(str::to_owned).collect();
        groups.swap(2, 6);

        assert_eq!(why(&groups.join(" ")), "groups 3, 7 are mistyped");
        assert!(why(&groups[..7].join(" ")).contains("not 35"));
    }

    #[test]
    fn right_groups_of_two_keys_do_not_make_a_third() {
        let other = written_groups(&[7; 16]).map(|group| group.to_string());
        let mut mixed: Vec<String> = written().split('-').map(str::to_owned).collect();
        mixed[1].clone_from(&other[1]);

        assert_eq!(why(&mixed.join("-")), "its groups fit, but not together");
    }

    #[test]
    fn a_recovery_key_is_found_in_the_text_of_a_sheet() {
        let text = written();
        let (first, second) = text.split_at(24);
        let sheet = format!(
            "A sheet that opens the shop\n\nkey\n\n    {}\n    {}\n\nThese are other words\n",
            first.trim_end_matches('-'),
            second
        );

        let found = read_file(sheet.as_bytes());
        assert!(matches!(found, Ok(Credential::Recovery(key)) if key == KEY), "{sheet}");
        assert!(read_file(b"nothing of the kind").is_err());
    }
}

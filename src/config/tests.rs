use super::*;
use crate::ops::set::{FileContent, SetSource};

/// The whole point-of-sale shop.
const SAMPLE: &str = include_str!("sample.toml");

fn load(text: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stillpoint.toml");
    #[expect(clippy::disallowed_methods, reason = "a scratch file")]
    std::fs::write(&file, text).unwrap();
    let flags = Flags { config: Some(file), ..Flags::default() };
    Config::load(&flags, &Variables::default())
}

fn variables(values: &'static [(&'static str, &'static str)]) -> Variables {
    Variables::from_lookup(|name| {
        values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    })
}

#[test]
fn the_whole_sample_parses_and_names_what_is_not_acted_on_yet() {
    let config = load(SAMPLE).unwrap();

    assert_eq!(config.repository, Some(Place::Folder("/srv/stillpoint".into())));
    assert_eq!(config.credentials, [CredentialSource::KeyFile("/etc/stillpoint/repo.key".into())]);
    assert_eq!(config.zone.iana_name(), Some("Europe/Madrid"));
    let names: Vec<&str> = config.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["pos", "uploads"]);
    assert_eq!(
        config.inactive,
        [
            "database.every",
            "database.full_at",
            "database.trial_restore",
            "files.weekly_at",
            "alerts"
        ]
    );
}

#[test]
fn an_unknown_key_is_shown_where_it_stands_with_the_key_that_was_meant() {
    let text = "version = 1\n[[database]]\nname = \"pos\"\nkind = \"sqlite\"\npath = \"/p\"\n\
                evry = \"1h\"\n";

    let error = load(text).unwrap_err();

    let Error::UnknownKey { key, suggestion, spot } = error else { panic!("{error:?}") };
    assert_eq!((key.as_str(), suggestion.as_deref()), ("evry", Some("every")));
    assert_eq!((spot.line, spot.column, spot.length), (6, 1, 4));
    assert_eq!(spot.text, "evry = \"1h\"");
}

#[test]
fn a_value_that_means_nothing_is_shown_where_it_stands() {
    for (text, line, why) in [
        ("version = 2", 1, "version = 1"),
        ("\ntimezone = \"Mars/Olympus\"", 2, "time zone"),
        ("min_free = \"much\"", 1, "size"),
        ("[[database]]\nname = \"POS\"\nkind = \"sqlite\"\npath = \"/p\"", 2, "lower-case"),
        ("[[database]]\nname = \"pos\"\nkind = \"postgres\"\npath = \"/p\"", 3, "not supported"),
        ("[[files]]\nname = \"a\"\npaths = []", 3, "at least one"),
        ("[[files]]\nname = \"a\"\npaths = \"/a\"", 3, "sequence"),
        ("[[files]]\nname = \"a\"\npaths = [\"/a\"]\nkind = \"poem\"", 4, "config"),
        ("[repository]\nkey_file = \"/a\"\npassword_file = \"/b\"", 3, "one of"),
        ("[app]\nversion_sql = \"select 1\"\ndatabase = \"x\"", 3, "no [[database]]"),
        ("version = ", 1, ""),
    ] {
        let error = load(text).unwrap_err();

        let Error::Invalid { message, spot } = error else { panic!("{text}: {error:?}") };
        assert!(message.contains(why), "{text}: {message}");
        assert_eq!(spot.line, line, "{text}");
    }
}

#[test]
fn two_sets_of_one_name_are_refused() {
    let text = "[[database]]\nname = \"a\"\nkind = \"sqlite\"\npath = \"/p\"\n\
                [[files]]\nname = \"a\"\npaths = [\"/q\"]";

    assert!(load(text).unwrap_err().to_string().contains("two sets"));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    #[expect(clippy::disallowed_methods, reason = "a scratch file")]
    std::fs::write(&file, "[repository]\npath = \"/file\"\nkey_file = \"/file.key\"").unwrap();
    let from_file = Flags { config: Some(file), ..Flags::default() };
    let from_flag = Flags { repo: Some("/flag".into()), ..from_file.clone() };
    let variables =
        variables(&[("STILLPOINT_REPO", "/variable"), ("STILLPOINT_PASSWORD_FILE", "/pw")]);

    let all = Config::load(&from_flag, &variables).unwrap();
    let two = Config::load(&from_file, &variables).unwrap();
    let one = Config::load(&from_file, &Variables::default()).unwrap();

    assert_eq!(all.repository, Some(Place::Folder("/flag".into())));
    assert_eq!(two.repository, Some(Place::Folder("/variable".into())));
    assert_eq!(two.credentials, [CredentialSource::PasswordFile("/pw".into())]);
    assert_eq!(one.repository, Some(Place::Folder("/file".into())));
    assert_eq!(one.credentials, [CredentialSource::KeyFile("/file.key".into())]);
}

#[test]
fn the_state_folder_follows_xdg_and_falls_back_to_var_lib() {
    let root = |variables: &Variables| state_root(&Flags::default(), variables);

    assert_eq!(root(&variables(&[("HOME", "/h")])), Path::new("/h/.local/state/stillpoint"));
    assert_eq!(root(&variables(&[("XDG_STATE_HOME", "/x")])), Path::new("/x/stillpoint"));
    assert_eq!(root(&variables(&[("STILLPOINT_STATE_DIR", "/s")])), Path::new("/s"));
    assert_eq!(root(&Variables::default()), Path::new("/var/lib/stillpoint"));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let flags = Flags { config: Some("/nowhere/at/all.toml".into()), ..Flags::default() };

    let error = Config::load(&flags, &Variables::default()).unwrap_err();

    assert!(matches!(error, Error::Unreadable { .. }));
}

#[test]
fn paths_are_meant_from_where_the_file_lies() {
    assert_eq!(
        resolve(Some(Path::new("/etc/stillpoint/a.toml")), Path::new("x")),
        Path::new("/etc/stillpoint/x")
    );
    assert_eq!(resolve(Some(Path::new("/etc/a.toml")), Path::new("/x")), Path::new("/x"));
}

#[test]
fn the_record_keeps_the_settings_without_arguments_of_commands_and_reads_back() {
    let secret = "[app]\nversion_command = [\"pos\", \"--token=hunter2\"]\n";
    let config = load(&format!("{SAMPLE}\n{secret}")).unwrap();
    let ad_hoc = Set {
        name: "extra".to_owned(),
        source: SetSource::Files(crate::ops::set::FileSet {
            paths: vec!["/extra".into()],
            content: FileContent::Config,
            ..Default::default()
        }),
    };
    let sets: Vec<Set> = config.sets.iter().cloned().chain([ad_hoc]).collect();

    let text = config.to_toml_without_secrets(&sets);

    assert!(!text.contains("hunter2"), "{text}");
    let again = load(&text).unwrap();
    assert_eq!(again.sets, sets);
    assert_eq!(again.inactive, config.inactive);
}

#[test]
fn a_mirror_is_a_place_with_a_name_and_a_rate() {
    let config = load(
        "[[mirror]]\nname = \"away\"\nkind = \"s3\"\nbucket = \"shop\"\nprefix = \"/pos/\"\n\
         endpoint = \"http://store\"\nlimit_upload = \"2MB/s\"\n\
         [[mirror]]\nname = \"disk\"\nkind = \"local\"\npath = \"/mnt/disk\"\n",
    )
    .unwrap();

    let [away, disk] = config.mirrors.as_slice() else { panic!("{:?}", config.mirrors) };
    assert_eq!(away.place.to_string(), "s3:shop/pos?endpoint=http://store");
    assert_eq!(away.limit_upload, Some(2_000_000));
    assert_eq!(disk.place, Place::Folder("/mnt/disk".into()));
    assert!(config.inactive.is_empty());
}

#[test]
fn a_mirror_that_means_nothing_is_shown_where_it_stands() {
    let mirror = |rest: &str| format!("[[mirror]]\nname = \"m\"\n{rest}\n");
    for (text, line, why) in [
        (mirror("kind = \"ftp\""), 3, "`gdrive`"),
        (mirror("kind = \"s3\""), 3, "needs `bucket`"),
        (mirror("kind = \"local\""), 3, "needs `path`"),
        (mirror("kind = \"gdrive\"\nfolder = \"f\"\nlimit_upload = \"2MB\""), 5, "2MB/s"),
        (mirror("kind = \"local\"\npath = \"/p\"").repeat(2), 6, "two mirrors"),
    ] {
        let error = load(&text).unwrap_err();
        let Error::Invalid { message, spot } = error else { panic!("{error:?}") };
        assert!(message.contains(why), "{message}");
        assert_eq!(spot.line, line, "{text}");
    }
}

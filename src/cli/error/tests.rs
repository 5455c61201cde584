use std::sync::Arc;

use super::*;
use crate::{
    backend::{
        SetUp,
        name::{Copy, ObjectName},
    },
    id::ChunkId,
    ops::{live, moment},
};

fn explained(error: impl Into<Error>) -> Explanation {
    explain(&error.into())
}

fn set_up(why: SetUp) -> backend::Error {
    backend::Error::SetUp { place: place(), why }
}

fn place() -> String {
    "/srv/stillpoint".to_owned()
}

#[test]
fn every_exit_code_of_the_contract_has_its_error() {
    let no_space = io::Error::from(io::ErrorKind::StorageFull);
    let unreachable = io::Error::from(io::ErrorKind::NotConnected);
    let cases: [(Error, ExitCode, &str); 9] = [
        (repo::Error::NotFound { place: place() }.into(), ExitCode::NoRepository, "SP0010"),
        (
            ops::Error::Busy { part: "pos".to_owned(), holder: "pid 1".to_owned() }.into(),
            ExitCode::InUse,
            "SP0011",
        ),
        (repo::Error::WrongCredential { place: place() }.into(), ExitCode::WrongKey, "SP0012"),
        (
            ops::Error::NoSpace { place: place(), needed_bytes: 2_000, free_bytes: 1_000 }.into(),
            ExitCode::NoSpace,
            "SP0013",
        ),
        (
            backend::Error::NoSpace { place: place(), source: no_space }.into(),
            ExitCode::NoSpace,
            "SP0013",
        ),
        (
            backend::Error::Unreachable { place: place(), source: unreachable }.into(),
            ExitCode::Unreachable,
            "SP0014",
        ),
        (Error::NoCredential, ExitCode::NeedsAnswer, "SP0015"),
        (Error::NoRepositoryNamed, ExitCode::Usage, "SP0105"),
        (ops::Error::Stopped.into(), ExitCode::Interrupted, "SP0130"),
    ];
    for (error, exit_code, code) in cases {
        let explanation = explain(&error);
        assert_eq!((explanation.exit_code, explanation.code), (exit_code, code), "{error:?}");
    }
}

#[test]
fn errors_that_people_meet_say_the_effect_and_the_next_step() {
    let errors: [Error; 6] = [
        repo::Error::NotFound { place: place() }.into(),
        repo::Error::WrongCredential { place: place() }.into(),
        repo::Error::AlreadyThere { place: place() }.into(),
        chunk::Error::Missing(ChunkId([1; 32])).into(),
        format::Error::Newer { object: "pack", what: "version 9".to_owned() }.into(),
        Error::NoCredential,
    ];
    for error in errors {
        let explanation = explain(&error);
        assert!(explanation.effect.is_some(), "{error:?}");
        assert!(!explanation.help.is_empty(), "{error:?}");
    }
}

#[test]
fn every_refusal_of_a_place_has_its_own_code_an_effect_and_a_next_step() {
    let why = || "so it says".to_owned();
    let name = ObjectName::Descriptor { generation: 1, copy: Copy::First };
    let errors = [
        backend::Error::SignIn { place: place(), why: why() },
        backend::Error::QuotaFull { place: place(), why: why() },
        backend::Error::RateLimited { place: place(), retry_after: None },
        backend::Error::Refused { action: "write", what: why(), place: place(), why: why() },
        backend::Error::WrongPlace { place: place(), why: why() },
        backend::Error::ClockSkew { place: place(), why: why() },
        backend::Error::BadAnswer { place: place(), why: why() },
        backend::Error::NotAsSent { name, place: place(), why: why() },
        backend::Error::Unproven { place: place(), why: why() },
        backend::Error::Paused { place: place(), why: why() },
        set_up(SetUp::OtherClient { remembered: "1".to_owned(), given: "2".to_owned() }),
        set_up(SetUp::SeveralFolders { ids: vec!["a".to_owned(), "b".to_owned()] }),
        set_up(SetUp::Client { why: why() }),
        set_up(SetUp::Permission { missing: "drive.file".to_owned() }),
        set_up(SetUp::Declined { why: why() }),
        set_up(SetUp::Disabled { why: why() }),
        backend::Error::InUse { place: place() },
    ];
    let count = errors.len();

    let mut codes: Vec<_> = errors
        .into_iter()
        .map(|error| {
            let explanation = explained(error);
            assert!(explanation.effect.is_some() && !explanation.help.is_empty());
            explanation.code
        })
        .collect();

    codes.dedup();
    assert_eq!((codes.len(), codes[0]), (count, "SP0402"));
}

#[test]
fn a_full_disk_is_found_however_deep_it_lies() {
    let deep = chunk::Error::Repository(Arc::new(repo::Error::State {
        action: "write",
        what: "index".to_owned(),
        path: "/state".into(),
        source: io::Error::from(io::ErrorKind::QuotaExceeded),
    }));

    assert_eq!(explained(deep).exit_code, ExitCode::NoSpace);
}

#[test]
fn a_stop_inside_a_worker_is_a_stop() {
    let deep = chunk::Error::Repository(Arc::new(repo::Error::Stopped));

    assert_eq!(explained(deep).exit_code, ExitCode::Interrupted);
}

#[test]
fn a_missing_object_is_damage_and_its_cause_is_told_once() {
    let name = ObjectName::Descriptor { generation: 1, copy: Copy::First };
    let missing = backend::Error::Missing { name, place: place() };

    let explanation = explained(repo::Error::Backend(missing));

    assert_eq!(explanation.code, "SP0301");
    assert!(explanation.causes.is_empty(), "{:?}", explanation.causes);
}

#[test]
fn a_mistyped_part_is_answered_with_the_one_that_was_meant() {
    let error = moment::Error::UnknownPart {
        part: "upload".to_owned(),
        text: "latest".to_owned(),
        known: vec!["pos".to_owned(), "uploads".to_owned()],
    };

    let explanation = explained(error);

    assert!(explanation.help.iter().any(|help| help.what.contains("did you mean `uploads`")));
}

#[test]
fn what_was_taken_back_ends_as_its_cause_does_and_says_what_is_there_now() {
    let in_use = || live::Error::InUse { path: "/pos.db".into(), by: "process 7".to_owned() };
    let full = ops::Error::Io {
        action: "stage",
        path: "/srv".into(),
        source: io::Error::from(io::ErrorKind::StorageFull),
    };
    for (cause, exit_code, code) in [
        (in_use().into(), ExitCode::InUse, "SP0501"),
        (full, ExitCode::NoSpace, "SP0013"),
        (ops::Error::Stopped, ExitCode::Interrupted, "SP0130"),
    ] {
        let explanation = explained(ops::Error::from(live::Error::TakenBack(Box::new(cause))));
        assert_eq!((explanation.exit_code, explanation.code), (exit_code, code));
        assert!(explanation.effect.is_some());
    }
    let errors: [live::Error; 5] = [
        in_use(),
        live::Error::CannotSee { unseen: 3 },
        live::Error::Unfinished { why: "the disk is full".to_owned() },
        live::Error::NotSaved { what: "a/b".to_owned() },
        live::Error::SafetyGone { snapshot: "8f21c0aa".to_owned() },
    ];
    for error in errors {
        let explanation = explained(ops::Error::from(error));
        assert!(explanation.effect.is_some() && !explanation.help.is_empty(), "{explanation:?}");
    }
}

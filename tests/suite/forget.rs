//! Forgetting, the trash and pins, through the real program.

use serde_json::Value;

use crate::cli::shop::{Ran, Shop};

/// A shop with so many snapshots of everything.
fn shop_with(count: usize) -> Shop {
    let shop = Shop::open();
    for _ in 0..count {
        shop.sell(1);
        assert_eq!(shop.back_up(&[]).code, Some(0));
    }
    shop
}

/// Ids of the snapshots that a listing shows, oldest first.
fn ids(shop: &Shop, more: &[&str]) -> Vec<String> {
    let listed = shop.data(&[&["snapshots"], more].concat());
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(id).collect()
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    ran
}

/// The reasons of every decision, newest first.
fn reasons(ran: &Ran) -> Vec<String> {
    let summary = ran.summary();
    let decisions = summary["decisions"].as_array().unwrap();
    let joined = |reasons: &Value| {
        let texts = reasons.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
        texts.collect::<Vec<_>>().join(", ")
    };
    decisions.iter().map(|decision| joined(&decision["reasons"])).collect()
}

#[test]
fn what_is_forgotten_disappears_and_can_be_had_back() {
    let shop = shop_with(3);
    let all = ids(&shop, &[]);

    let preview = ok(shop.run(["forget", "latest~1", "--dry-run"]));
    assert!(preview.out.contains("1 of 3 snapshots goes"), "{}", preview.out);
    assert_eq!(ids(&shop, &[]), all);
    let forgotten = ok(shop.run(["forget", &all[1][..12], "--reason", "by mistake", "--json"]));

    assert_eq!(forgotten.summary()["forgotten"], 1);
    assert_eq!(ids(&shop, &[]), [all[0].clone(), all[2].clone()]);
    let trash = &shop.data(&["snapshots", "--forgotten"])[0];
    assert_eq!(trash["id"], all[1].as_str());
    assert_eq!(trash["forgotten"]["reason"], "by mistake");
    assert_eq!(shop.run(["ls", &all[1][..12]]).code, Some(1));
    let _ = ok(shop.run(["undelete", &all[1][..12]]));
    assert_eq!(ids(&shop, &[]), all);
    let kinds: Vec<_> =
        shop.data(&["runs"]).as_array().unwrap().iter().map(|run| run["command"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "forget").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| *kind == "undelete").count(), 1);
}

#[test]
fn a_policy_says_why_each_snapshot_stays_and_what_goes_frees() {
    let shop = shop_with(5);

    let simulated = ok(shop.run(["forget", "--policy", "--keep-last", "3", "-n", "--json"]));
    assert_eq!(reasons(&simulated), ["last 1", "last 2", "last 3", "", ""]);
    assert!(simulated.summary()["bytes_freed"].as_u64().unwrap() > 0);
    assert_eq!(ids(&shop, &[]).len(), 5);

    let refused = shop.run(["forget", "--policy", "--keep-last", "1"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("SP0803") && refused.err.contains("--allow-most"));
    let _ = ok(shop.run(["forget", "--policy", "--keep-last", "1", "--allow-most"]));
    assert_eq!(ids(&shop, &[]).len(), 1);
    assert_eq!(ids(&shop, &["--forgotten"]).len(), 4);
}

#[test]
fn the_last_of_a_group_stays_and_the_exit_code_says_so() {
    let shop = shop_with(1);

    let ran = shop.run(["forget", "latest"]);

    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.out.contains("last of its group"), "{}", ran.out);
    assert_eq!(ids(&shop, &[]).len(), 1);
}

#[test]
fn a_pinned_snapshot_stays_until_it_is_unpinned() {
    let shop = shop_with(3);
    let oldest = ids(&shop, &[])[0].clone();

    let _ = ok(shop.run(["pin", &oldest, "--reason", "year end", "--until", "2136-12-31"]));
    let pinned = &shop.data(&["snapshots"])[0]["pinned"];
    assert_eq!(pinned["reason"], "year end");
    assert_eq!(pinned["until"], "2137-01-01T00:00:00+00:00");
    assert!(shop.run(["snapshots"]).out.contains("year end, until 2136-12-31"));
    assert_eq!(shop.run(["forget", &oldest]).code, Some(3));
    let policy = ["forget", "--policy", "--keep-last", "2", "--json"];
    assert_eq!(reasons(&ok(shop.run(policy))), ["last 1", "last 2", "pinned: year end"]);

    let _ = ok(shop.run(["unpin", &oldest]));
    let _ = ok(shop.run(policy));
    assert_eq!(ids(&shop, &["--forgotten"]), [oldest]);
}

#[test]
fn a_time_or_a_part_names_nothing_to_forget() {
    let shop = shop_with(2);

    for snap in ["yesterday", "2026-01-01T00:00", "latest:pos", "0000"] {
        let ran = shop.run(["forget", snap]);
        assert!(matches!(ran.code, Some(1 | 2)), "{snap}: {}", ran.err);
    }
    for arguments in [
        &["forget"][..],
        &["forget", "latest", "--policy"],
        &["forget", "latest", "--keep-last", "3"],
        &["pin", "latest"],
        &["pin", "latest", "--reason", "x", "--until", "2020-01-01"],
        &["pin", "latest", "--reason", "x", "--until", "soon"],
    ] {
        assert_eq!(shop.run(arguments).code, Some(2), "{arguments:?}");
    }
    assert_eq!(ids(&shop, &[]).len(), 2);
}

#[test]
fn a_pin_that_cannot_be_read_keeps_everything() {
    let shop = shop_with(3);
    shop.write(&format!("repository/pinned/{}", "ab".repeat(32)), "no pin");

    let ran = shop.run(["forget", "--policy", "--keep-last", "2"]);

    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("SP0801"), "{}", ran.err);
    assert_eq!(shop.run(["check"]).code, Some(30));
}

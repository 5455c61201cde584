//! What goes with a backup: the policy behind it, a pin, a prune, and room made before it.

use serde_json::Value;

use crate::cli::shop::{Ran, Shop};

/// A shop with this configuration besides where it keeps its database.
fn shop(settings: &str) -> Shop {
    let shop = Shop::open();
    let text = format!(
        "timezone = \"Europe/Madrid\"\n{settings}\n[[database]]\nname = \"pos\"\n\
         kind = \"sqlite\"\npath = \"{}\"\n",
        shop.path("pos.db").display()
    );
    shop.write("shop.toml", &text);
    shop
}

fn back_up(shop: &Shop, more: &[&str]) -> Ran {
    shop.sell(20);
    let config = shop.path("shop.toml").display().to_string();
    let arguments = ["backup", "--config", &config].into_iter().chain(more.iter().copied());
    let ran = shop.run(arguments);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    ran
}

fn listed(shop: &Shop, more: &[&str]) -> Vec<Value> {
    let listed = shop.data(&[&["snapshots"], more].concat());
    listed.as_array().unwrap().clone()
}

#[test]
fn a_backup_ends_with_the_policy_of_its_group() {
    let shop = shop("[retention]\ndatabase = { last = 3 }");

    let outputs: Vec<Ran> = (0..5).map(|_| back_up(&shop, &[])).collect();

    assert!(!outputs[2].out.contains("forgotten"), "{}", outputs[2].out);
    assert!(outputs[3].out.contains("1 older snapshot forgotten"), "{}", outputs[3].out);
    assert_eq!(listed(&shop, &[]).len(), 3);
    let trash = listed(&shop, &["--forgotten"]);
    assert_eq!(trash.len(), 2);
    assert_eq!(trash[0]["forgotten"]["reason"], "policy");
}

#[test]
fn nothing_is_forgotten_where_nobody_configured_it() {
    for settings in ["", "[retention]\nauto = false\ndatabase = { last = 1 }"] {
        let shop = shop(settings);

        for _ in 0..3 {
            let _ = back_up(&shop, &[]);
        }

        assert_eq!(listed(&shop, &[]).len(), 3, "{settings}");
    }
}

#[test]
fn a_backup_is_pinned_before_the_policy_sees_it() {
    let shop = shop("[retention]\ndatabase = { last = 2 }");

    let _ = back_up(&shop, &["--pin", "year end", "--until", "2136-12-31"]);
    for _ in 0..3 {
        let _ = back_up(&shop, &[]);
    }

    let snapshots = listed(&shop, &[]);
    assert_eq!(snapshots.len(), 3);
    assert_eq!(snapshots[0]["pinned"]["reason"], "year end");
}

#[test]
fn a_policy_that_would_let_most_go_only_warns_behind_a_backup() {
    let shop = shop("[retention]\ndatabase = { last = 1 }\nauto = true");
    let config = shop.path("shop.toml").display().to_string();
    for _ in 0..3 {
        shop.sell(1);
        let pos = format!("pos={}", shop.path("pos.db").display());
        assert_eq!(shop.run(["backup", "--sqlite", &pos]).code, Some(0));
    }

    let ran = shop.run(["backup", "--config", &config]);

    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("more than half"), "{}", ran.err);
    assert_eq!(listed(&shop, &[]).len(), 4);
}

#[test]
fn what_is_out_of_the_trash_is_pruned_when_enough_is_dead() {
    let shop = shop("[retention]\ntrash_days = 0\ndatabase = { last = 2 }");

    let outputs: Vec<Ran> = (0..6).map(|_| back_up(&shop, &["--full"])).collect();

    let pruned = outputs.iter().filter(|ran| ran.out.contains("Pruned:")).count();
    assert!(pruned > 0, "{}", outputs[5].out);
    assert_eq!(listed(&shop, &[]).len(), 2);
    assert!(listed(&shop, &["--forgotten"]).len() < 4);
    assert_eq!(shop.run(["check", "--read-data"]).code, Some(0));
}

#[test]
fn a_backup_that_lacks_space_removes_what_is_forgotten_and_nothing_else() {
    let shop = shop("");
    for _ in 0..4 {
        let _ = back_up(&shop, &["--full"]);
    }
    assert_eq!(shop.run(["forget", "latest~2", "latest~3"]).code, Some(0));
    shop.write("full.toml", "min_free = \"1000000 TB\"\n");
    let config = shop.path("full.toml").display().to_string();
    let pos = format!("pos={}", shop.path("pos.db").display());

    let ran = shop.run(["backup", "--config", &config, "--sqlite", &pos]);

    // The disk is as full as ever, but whatever could go went, and that was said.
    assert_eq!(ran.code, Some(13), "{}", ran.err);
    assert!(ran.err.contains("2 forgotten snapshots removed for good"), "{}", ran.err);
    assert_eq!(listed(&shop, &["--forgotten"]).len(), 0);
    assert_eq!(listed(&shop, &[]).len(), 2);
    assert_eq!(shop.run(["check", "--read-data"]).code, Some(0));
}

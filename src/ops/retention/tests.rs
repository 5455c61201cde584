use jiff::tz;

use super::*;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const HISTORIES: usize = 100_000;

fn at(text: &str) -> UnixNanos {
    text.parse::<Timestamp>().unwrap().as_nanosecond() as i64
}

fn madrid() -> TimeZone {
    TimeZone::get("Europe/Madrid").unwrap()
}

/// A snapshot of one sound database.
fn snapshot(number: usize, created: UnixNanos) -> Candidate {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let databases = vec![("pos".to_owned(), Soundness::Sound)];
    Candidate { id: SnapshotId(id), created, group: Group::Database, pin: None, databases }
}

fn snapshots(created: impl IntoIterator<Item = UnixNanos>) -> Vec<Candidate> {
    created.into_iter().enumerate().map(|(number, created)| snapshot(number, created)).collect()
}

fn decide_all(candidates: &[Candidate], policy: &Policy, now: UnixNanos) -> Vec<Decision> {
    let policies = Policies::all(policy);
    decide(candidates, Choice::Policy(&policies, &Group::ALL), now, &madrid()).unwrap()
}

/// Times of what stays, newest first.
fn staying(decisions: &[Decision]) -> Vec<UnixNanos> {
    let stays = |decision: &&Decision| !decision.reasons.is_empty();
    decisions.iter().filter(stays).map(|decision| decision.created).collect()
}

#[test]
fn each_word_keeps_the_newest_of_its_units_and_the_oldest_while_it_has_some_left() {
    let now = at("2026-11-20T12:00:00Z");
    let hourly = snapshots((0..24 * 60).map(|hour| now - hour * HOUR));
    let policy = Policy { daily: Some(3), monthly: Some(9), ..Policy::default() };

    let decisions = decide_all(&hourly, &policy, now);

    let reasons = |at: usize| decisions[at].reasons.as_slice();
    assert_eq!(reasons(0), [Reason::Rule(Rule::Daily, 1), Reason::Rule(Rule::Monthly, 1)]);
    // 12:00 UTC is 13:00 in the shop: the day before ends 14 hours earlier.
    assert_eq!(reasons(14), [Reason::Rule(Rule::Daily, 2)]);
    assert_eq!(reasons(24 * 60 - 1), [Reason::OldestFor(Rule::Monthly)]);
    assert_eq!(staying(&decisions).len(), 6);
}

#[test]
fn a_pin_beats_every_rule_and_a_group_is_never_emptied() {
    let now = at("2026-11-20T12:00:00Z");
    let mut history = snapshots((0..5).map(|day| now - day * DAY));
    history[4].pin = Some("tax".to_owned());
    history[3].group = Group::Files;

    let nothing = Policy { last: Some(0), ..Policy::default() };
    let decisions = decide_all(&history, &nothing, now);

    let reasons: Vec<_> = decisions.iter().map(|decision| decision.reasons.clone()).collect();
    let pinned = Reason::Pinned("tax".to_owned());
    assert_eq!(reasons, [vec![], vec![], vec![], vec![Reason::LastOfGroup], vec![pinned]]);
}

#[test]
fn what_is_named_goes_but_for_the_last_of_its_group_and_what_is_pinned() {
    let mut history = snapshots([1, 2, 3]);
    history[1].pin = Some(String::new());
    let all: HashSet<_> = history.iter().map(|candidate| candidate.id).collect();

    let decisions = decide(&history, Choice::Named(&all), 9, &madrid()).unwrap();
    assert_eq!(staying(&decisions), [2]);
    history[1].pin = None;
    let decisions = decide(&history, Choice::Named(&all), 9, &madrid()).unwrap();
    assert_eq!(staying(&decisions), [3]);
}

#[test]
fn the_last_sound_image_of_a_database_outlives_damaged_ones() {
    let now = at("2026-11-20T12:00:00Z");
    let mut history = snapshots((0..10).map(|hour| now - hour * HOUR));
    history[..4].iter_mut().for_each(|one| one.databases[0].1 = Soundness::Damaged);
    let policy = Policy { last: Some(2), ..Policy::default() };

    let decisions = decide_all(&history, &policy, now);
    assert_eq!(decisions[4].reasons, [Reason::LastSound("pos".to_owned())]);
    assert_eq!(staying(&decisions).len(), 3);

    let named = history[4..].iter().map(|candidate| candidate.id).collect();
    let decisions = decide(&history, Choice::Named(&named), now, &madrid()).unwrap();
    assert_eq!(decisions[4].reasons, [Reason::LastSound("pos".to_owned())]);
}

#[test]
fn snapshots_from_the_future_stay_and_push_nothing_out() {
    let now = at("2026-11-20T12:00:00Z");
    let history = snapshots([now + DAY, now + 1, now, now - HOUR, now - 2 * HOUR]);
    let policy = Policy { last: Some(2), ..Policy::default() };

    let decisions = decide_all(&history, &policy, now);

    assert_eq!(staying(&decisions), [now + DAY, now + 1, now, now - HOUR]);
    assert_eq!(decisions[0].reasons, [Reason::InFuture]);
    let policies = Policies::all(&policy);
    let choice = Choice::Policy(&policies, &Group::ALL);
    let behind = decide(&history, choice, now - 1, &madrid()).unwrap_err();
    assert_eq!((behind.created, behind.now), (now + DAY, now - 1));
}

#[test]
fn the_hour_that_comes_twice_is_two_hours_and_the_day_of_25_hours_one_day() {
    let before = at("2026-10-25T00:30:00Z");
    let history = snapshots([before, before + HOUR, before + 2 * HOUR]);
    let now = before + 3 * HOUR;

    let hourly = Policy { hourly: Some(9), ..Policy::default() };
    let daily = Policy { daily: Some(1), ..Policy::default() };

    assert_eq!(staying(&decide_all(&history, &hourly, now)).len(), 3);
    assert_eq!(staying(&decide_all(&history, &daily, now)), [before + 2 * HOUR]);
}

#[test]
fn age_is_witnessed_so_a_clock_that_jumped_ahead_makes_nothing_old() {
    let now = at("2026-11-20T12:00:00Z");
    let mut created: Vec<_> = (0..48).map(|hour| now - hour * HOUR).collect();
    let within = Policy { within: Some("30d".parse().unwrap()), ..Policy::default() };
    let jumped = now + 3650 * DAY;
    created.push(jumped);

    assert_eq!(staying(&decide_all(&snapshots(created), &within, jumped)).len(), 49);
    let hourly = snapshots((0..24 * 40).map(|hour| now - hour * HOUR));
    // One of these thirty days had 25 hours.
    assert_eq!(staying(&decide_all(&hourly, &within, now)).len(), 24 * 30 + 1);
}

#[test]
fn complete_snapshots_alone_are_kept_as_those_of_databases() {
    let now = at("2026-11-20T12:30:00Z");
    let mut history = snapshots((0..100).map(|hour| now - hour * HOUR));
    history.iter_mut().for_each(|one| one.group = Group::Complete);
    let policies = Policies::default();
    let choice = Choice::Policy(&policies, &Group::ALL);
    let count =
        |history: &[Candidate]| staying(&decide(history, choice, now, &madrid()).unwrap()).len();

    assert!(count(&history) > 48);
    history[0].group = Group::Database;
    assert_eq!(count(&history), 3);
}

#[test]
fn lengths_are_read_as_restic_writes_them() {
    for (text, again) in [("30d", "30d"), ("1y6m", "1y6m"), ("36h2d", "2d36h"), (" 2w ", "2w")] {
        assert_eq!(text.parse::<Within>().unwrap().to_string(), again);
    }
    for text in ["", "30", "d", "-1d", "3x", "1d 2h", "99999d", "60000d60000d"] {
        assert_eq!(text.parse::<Within>(), Err(NotALength), "{text}");
    }
}

/// A hundred thousand histories around every change of every clock of the world, judged a second
/// time by the plainest reading of the words.
#[test]
fn any_history_is_judged_as_the_plain_reading_of_the_words_says() {
    let transitions = transitions();
    assert!(transitions.len() > 1_000, "{}", transitions.len());
    let mut kept = 0;
    let mut refused = 0;
    for number in 0..HISTORIES {
        let mut random = Random(number as u64);
        let (zone, change) = &transitions[number % transitions.len()];
        let history = history(&mut random, *change);
        let policies = [(); 3].map(|()| policy(&mut random));
        let now = change + random.below(3 * DAY as u64) as i64;

        let expected = reference(&history, &policies, now, zone);
        let [database, files, complete] = policies.clone();
        let complete_alone = complete.clone();
        let policies = Policies { database, files, complete, complete_alone };
        let choice = Choice::Policy(&policies, &Group::ALL);
        match decide(&history, choice, now, zone) {
            Err(_) => {
                assert_eq!(expected, None, "history {number}");
                refused += 1;
            }
            Ok(decisions) => {
                let stays = decisions.iter().filter(|one| !one.reasons.is_empty());
                let stays: HashSet<_> = stays.map(|one| one.id).collect();
                kept += stays.len();
                assert_eq!(Some(stays), expected, "history {number} {policies:?} {history:?}");
            }
        }
    }
    println!(
        "{HISTORIES} histories around {} changes of clocks: {kept} snapshots stay, {refused} \
         refused for a clock that is behind",
        transitions.len()
    );
}

/// Every change of every zone's clock from 2024 to 2030, and one moment of each that has none.
fn transitions() -> Vec<(TimeZone, UnixNanos)> {
    let (begin, end) = (at("2024-01-01T00:00:00Z"), at("2031-01-01T00:00:00Z"));
    let begin = Timestamp::from_nanosecond(begin.into()).unwrap();
    let mut found = Vec::new();
    for name in tz::db().available() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        let following = zone.following(begin).map(|change| change.timestamp().as_nanosecond());
        let mut times: Vec<_> = following.map(|at| at as i64).take_while(|at| *at < end).collect();
        if times.is_empty() {
            times.push(begin.as_nanosecond() as i64);
        }
        found.extend(times.into_iter().map(|at| (zone.clone(), at)));
    }
    found
}

/// Snapshots at all distances around a moment, some at the same one.
fn history(random: &mut Random, around: UnixNanos) -> Vec<Candidate> {
    let count = random.below(24) as usize;
    let reach = [HOUR, DAY, 10 * DAY, 400 * DAY][random.below(4) as usize];
    let mut history = snapshots((0..count).map(|_| {
        let back = random.below(2 * reach as u64) as i64;
        let unit = [1, HOUR / 2, DAY][random.below(3) as usize];
        around + (reach.min(2 * DAY) - back) / unit * unit
    }));
    for one in &mut history {
        one.group = Group::ALL[random.below(3) as usize];
        one.pin = (random.below(20) == 0).then(|| "pin".to_owned());
    }
    history
}

fn policy(random: &mut Random) -> Policy {
    let mut count = || (random.below(3) == 0).then(|| random.below(6) as u32);
    let [last, hourly, daily] = [(); 3].map(|()| count());
    let [weekly, monthly, yearly] = [(); 3].map(|()| count());
    let within = ["5h", "2d", "3w", "1m", "1y"][random.below(5) as usize].parse().unwrap();
    let within = (random.below(4) == 0).then_some(within);
    Policy { last, hourly, daily, weekly, monthly, yearly, within }
}

/// What stays: of each unit the newest, of the units the newest so many; the oldest of all where
/// there are fewer units. Nothing where the clock is more than a day behind.
fn reference(
    history: &[Candidate],
    policies: &[Policy; 3],
    now: i64,
    zone: &TimeZone,
) -> Option<HashSet<SnapshotId>> {
    if history.iter().any(|one| one.created > now + DAY) {
        return None;
    }
    let mut stays: HashSet<SnapshotId> = HashSet::new();
    for (group, policy) in Group::ALL.into_iter().zip(policies) {
        let mut real: Vec<_> = history.iter().filter(|one| one.group == group).collect();
        real.sort_by_key(|one| std::cmp::Reverse((one.created, one.id)));
        let is_free = |one: &&&Candidate| one.pin.is_some() || one.created > now;
        stays.extend(real.iter().filter(is_free).map(|one| one.id));
        if policy.is_empty() {
            stays.extend(real.iter().map(|one| one.id));
        }
        real.retain(|one| one.created <= now);
        let Some(oldest) = real.last() else { continue };
        let words = [policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
        let forms = ["%Y%m%d%H%z", "%Y%m%d", "%G%V", "%Y%m", "%Y"];
        stays.extend(real.iter().take(policy.last.unwrap_or(0) as usize).map(|one| one.id));
        for (form, count) in forms.into_iter().zip(words.map(|count| count.unwrap_or(0) as usize)) {
            let mut units: Vec<(String, SnapshotId)> = Vec::new();
            for one in &real {
                let unit = zoned(one.created, zone).strftime(form).to_string();
                if units.iter().all(|(known, _)| *known != unit) {
                    units.push((unit, one.id));
                }
            }
            stays.extend((units.len() < count).then_some(oldest.id));
            stays.extend(units.into_iter().take(count).map(|(_, id)| id));
        }
        let length = policy.within.map(|within| {
            let newest = zoned(real[0].created, zone);
            (&newest - within.span()).duration_until(&newest).as_nanos() as i64
        });
        let young =
            |one: &&&Candidate| age(history, one.created, real[0].created) < length.unwrap();
        stays.extend(real.iter().filter(|_| length.is_some()).filter(young).map(|one| one.id));
        if real.iter().all(|one| !stays.contains(&one.id)) {
            let _ = stays.insert(real[0].id);
        }
    }
    Some(stays)
}

/// Time between two moments, of which stretches without a snapshot count as a day at most.
fn age(history: &[Candidate], from: i64, to: i64) -> i64 {
    let between = history.iter().map(|one| one.created).filter(|at| (from..to).contains(at));
    let mut moments: Vec<i64> = between.chain([from, to]).collect();
    moments.sort_unstable();
    moments.windows(2).map(|pair| (pair[1] - pair[0]).min(DAY)).sum()
}

/// The same numbers for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
